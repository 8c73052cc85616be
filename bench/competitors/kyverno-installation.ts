import { readFileSync } from "node:fs";
import { join } from "node:path";
import { load } from "js-yaml";
import { moduleFolder } from "../../hack/testcluster/gomodule.ts";
import type { Settings } from "../../hack/testcluster/settings.ts";

const MODULE = "github.com/kyverno/kyverno";
const ADMISSION_CONTROLLER = "kyverno-admission-controller";
const CRD = "CustomResourceDefinition";
/** What needs a node. */
const RUN_IN_PODS = ["Deployment", "Service"];

/** How Kyverno is installed, from the manifest that its own module has: nothing of it is in this repository. */
export interface KyvernoInstallation {
  /** YAML: its CRDs. */
  readonly crds: string;
  /** YAML: its namespace, configuration and roles; no Deployment and no Service. */
  readonly objects: string;
  /** Arguments of the admission controller's container. */
  readonly args: readonly string[];
  /** Its environment, and of a Pod's fields what it wants to know. */
  readonly env: Readonly<Record<string, string>>;
}

interface Deployment {
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly spec: { readonly template: { readonly spec: { readonly containers: readonly Container[] } } };
}

interface Container {
  readonly args: readonly string[];
  readonly env: readonly { readonly name: string; readonly value?: string }[];
}

/** Reads the manifest of the version that hack/tools/kyverno/go.mod names; it is downloaded if it is not there. Throws when it is not as expected. */
export async function kyvernoInstallation(settings: Settings): Promise<KyvernoInstallation> {
  const file = join(await moduleFolder(settings, "kyverno", MODULE), "config/install-latest-testing.yaml");
  const documents = readFileSync(file, "utf8").split(/^---$/m);
  const kindOf = (document: string) => /^kind: (\S+)$/m.exec(document)?.[1] ?? "";
  const kept = (keep: (kind: string) => boolean) => documents.filter((one) => keep(kindOf(one))).join("---");
  const deployment = documents
    .filter((document) => kindOf(document) === "Deployment")
    .map((document) => load(document) as Deployment)
    .find(({ metadata }) => metadata.name === ADMISSION_CONTROLLER);
  const [container] = deployment?.spec.template.spec.containers ?? [];
  if (deployment === undefined || container === undefined) throw new Error(`${file} has no ${ADMISSION_CONTROLLER}`);
  const { name, namespace } = deployment.metadata;
  return {
    crds: kept((kind) => kind === CRD),
    objects: kept((kind) => kind !== CRD && !RUN_IN_PODS.includes(kind)),
    args: container.args,
    env: {
      KYVERNO_NAMESPACE: namespace,
      KYVERNO_POD_NAME: name,
      ...Object.fromEntries(container.env.flatMap((one) => (one.value === undefined ? [] : [[one.name, one.value]]))),
    },
  };
}
