import { join } from "node:path";
import { messageOf } from "../../core/errors.ts";
import { distributionImage } from "../images/distribution.ts";
import { entrepotImage } from "../images/entrepot.ts";
import { push } from "../oci/push.ts";
import type { Descriptor } from "../oci/store.ts";
import { ensurePolicyEngine } from "../policy-engine.ts";
import { blobStore } from "./images.ts";
import { bin } from "./layout.ts";
import { run } from "./run.ts";
import type { Settings } from "./settings.ts";
import type { ClusterRecord } from "./state.ts";
import { ensureTool, toolVersion } from "./tools.ts";

/** The images that an installation consists of, built and ready to be pushed. */
export interface ProductImages {
  readonly entrepot: Descriptor;
  readonly distribution: Descriptor;
}

type Say = (line: string) => void;

const NAMESPACE = "cosign-system";
const DEPLOYMENTS = ["operator", "webhook"];
const IMAGE = "registry.local:5000/entrepot:dev"; // as deploy/dev writes it
const ROLLOUT_SECONDS = 180;

/** Builds the images from the checkout; needs the network the first time (npm), so it is not done in the cluster's. */
export async function buildProduct(settings: Settings): Promise<ProductImages> {
  const store = blobStore(settings, "zstd"); // pulled by our own node, which is waited for
  const registry = await ensureTool(settings, "registry");
  const policyEngine = await ensurePolicyEngine(settings);
  return {
    entrepot: entrepotImage(store, settings.root, settings.cache, policyEngine),
    distribution: distributionImage(store, registry),
  };
}

/** Pushes the images, applies deploy/dev with the image pinned to its digest (so that a changed one is rolled out), waits for the rollout if Pods can run. */
export async function installProduct(
  settings: Settings,
  cluster: ClusterRecord,
  images: ProductImages,
  say: Say,
): Promise<void> {
  const { registry, hasNode, kubeconfig } = cluster;
  const target = { dir: settings.dir, kubeconfig };
  const store = blobStore(settings);
  const version = toolVersion(settings, "registry").slice(1);
  const at = `http://${registry}`;
  await push(store, images.distribution, { registry: at, repository: "distribution", tag: version });
  await push(store, images.entrepot, { registry: at, repository: "entrepot", tag: "dev" });
  const manifests = await kubectl(target, ["kustomize", join(settings.root, "deploy/dev")]);
  const pinned = manifests
    .replaceAll(IMAGE, `${IMAGE}@${images.entrepot.digest}`)
    .replaceAll("registry.local:5000/", `${registry}/`);
  await kubectl(target, ["apply", "--server-side", "--force-conflicts", "-f", "-"], pinned);
  if (!hasNode) {
    say("Entrepot's resources are applied; its Pods stay Pending, there is no node.");
    return;
  }
  for (const name of DEPLOYMENTS) await waitForRollout(target, name);
}

/** Throws with the state of the Pods and their last words when the rollout does not end in time. */
async function waitForRollout(target: Target, name: string): Promise<void> {
  const inNamespace = (...args: readonly string[]) => kubectl(target, ["--namespace", NAMESPACE, ...args]);
  try {
    await inNamespace("rollout", "status", `deployment/${name}`, `--timeout=${ROLLOUT_SECONDS}s`);
  } catch (error) {
    const shown = [
      ["get", "pods"],
      ["logs", `deployment/${name}`, "--tail=20"],
    ].map((args) => inNamespace(...args).catch(messageOf));
    throw new Error([messageOf(error), ...(await Promise.all(shown))].join("\n"));
  }
}

interface Target {
  readonly dir: string;
  readonly kubeconfig: string;
}

async function kubectl({ dir, kubeconfig }: Target, args: readonly string[], input = ""): Promise<string> {
  const result = await run([bin(dir, "kubectl"), ...args], {
    input,
    env: { ...process.env, KUBECONFIG: kubeconfig },
    timeoutMs: (ROLLOUT_SECONDS + 30) * 1000,
  });
  if (result.code !== 0) throw new Error(`kubectl ${args.join(" ")}: ${result.stderr.trim()}`);
  return result.stdout;
}
