import { eventually } from "../support/kube.ts";
import { type Inheritance, sealOf } from "./inheritance-harness.ts";
import { type Item, workload } from "./inheritance-objects.ts";

/** What must not move when nothing of it changed. */
export interface Standing {
  readonly seal: string | undefined;
  readonly resourceVersion: string;
}

interface Written extends Item {
  readonly metadata: Item["metadata"] & {
    readonly resourceVersion: string;
    readonly generation?: number;
    readonly managedFields?: readonly { readonly manager: string; readonly fieldsV1: object }[];
  };
  readonly spec: Item["spec"] & { readonly replicas?: number };
  readonly status?: Item["status"] & {
    readonly observedGeneration?: number;
    readonly replicas?: number;
    readonly updatedReplicas?: number;
  };
}

/** An object as the API server has it. */
export async function live(at: Inheritance, what: string): Promise<Written> {
  return JSON.parse(await at.kubectl("get", what, "-o", "json", "--show-managed-fields")) as Written;
}

function standing(object: Written): Standing {
  return { seal: sealOf(object), resourceVersion: object.metadata.resourceVersion };
}

/** How a Deployment stands once its controller has nothing more to write about it. */
export function settled(at: Inheritance, name: string): Promise<Standing> {
  return eventually(`deployment ${name}, settled`, async () => {
    const object = (await at.get(`deployment/${name}`)) as Written;
    const { observedGeneration, replicas = 0, updatedReplicas = 0 } = object.status ?? {};
    const wanted = object.spec.replicas ?? 1;
    const isSettled =
      observedGeneration === object.metadata.generation && replicas === wanted && updatedReplicas === wanted;
    return isSettled && standing(object);
  });
}

/** What a file in Git would say: a Deployment of one container; `change` gets its container and metadata to write in. */
export function manifest(name: string, image: string, change: ManifestChange = {}): object {
  const { replicas = 1, labels = {}, env = [] } = change;
  const base = workload("Deployment", name, image, replicas) as {
    metadata: { labels: object };
    spec: { template: { spec: { containers: readonly object[] } } };
  };
  const { template } = base.spec;
  const containers = template.spec.containers.map((container) => ({ ...container, ...(env.length > 0 && { env }) }));
  return {
    ...base,
    metadata: { ...base.metadata, labels: { ...base.metadata.labels, ...labels } },
    spec: { ...base.spec, template: { ...template, spec: { ...template.spec, containers } } },
  };
}

export interface ManifestChange {
  readonly replicas?: number;
  readonly labels?: Readonly<Record<string, string>>;
  readonly env?: readonly { readonly name: string; readonly value: string }[];
}

/** Runs kubectl with `input`; rejects with its words if it fails. */
export function kubectl(at: Inheritance, input: object, ...args: readonly string[]): Promise<string> {
  return at.cluster.kubectl(["-n", at.name, ...args], JSON.stringify(input));
}

/** Runs kubectl with `input`; gives its output and exit code. */
export function attempt(at: Inheritance, input: object, ...args: readonly string[]) {
  const argv = [at.cluster.program("kubectl"), "-n", at.name, ...args];
  return at.cluster.run(argv, { input: JSON.stringify(input) });
}

/** How many registry requests the webhooks make while `work` is done. */
export async function cost(at: Inheritance, work: () => Promise<unknown>): Promise<number> {
  const before = at.requests();
  await work();
  return at.requests() - before;
}
