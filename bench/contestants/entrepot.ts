import { readdirSync, readFileSync } from "node:fs";
import { LocalProduct } from "../../hack/local/product.ts";
import type { Contestant } from "../contestant.ts";
import { makeNamespace, removeNamespace } from "../namespace.ts";
import { clusterImagePolicy, POLICY } from "../policy.ts";
import { checkout } from "../versions.ts";

const CONFIGURATION = [
  { apiVersion: "v1", kind: "Namespace", metadata: { name: "cosign-system" } },
  {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "config-policy-controller", namespace: "cosign-system" },
    data: { "dev.chainguard.enable-cip-cache": "true" },
  },
];

/** This checkout, with one key policy on every image of the bed and the cache on: operator and webhook, one replica each. */
export const entrepot: Contestant = {
  name: "entrepot",
  version: async () => checkout(),
  warm: true,
  async start(bed) {
    const { cluster } = bed;
    for (const object of CONFIGURATION) await cluster.kubectl(["apply", "-f", "-"], JSON.stringify(object));
    const product = await LocalProduct.start(cluster);
    await makeNamespace(bed, { "policy.sigstore.dev/include": "true" });
    await cluster.kubectl(["apply", "-f", "-"], JSON.stringify(clusterImagePolicy(bed)));
    await cluster.kubectl(["wait", "--for=condition=Ready", `cip/${POLICY}`, "--timeout=60s"]);
    return {
      get pids() {
        return partsOf(process.pid);
      },
      async restart() {
        await product.stopPart("webhook", "SIGKILL");
        await product.startPart("webhook");
      },
      async stop() {
        await cluster.kubectl(["delete", "cip", POLICY]);
        await product.remove();
        await removeNamespace(bed);
      },
    };
  },
};

/** The webhook that `parent` started: the operator has no part in an admission. */
function partsOf(parent: number): readonly number[] {
  return readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .filter((pid) => {
      try {
        const [, , part] = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
        const isOurs = part === "webhook";
        return isOurs && new RegExp(`^PPid:\\s+${parent}$`, "m").test(readFileSync(`/proc/${pid}/status`, "utf8"));
      } catch {
        return false; // ended meanwhile
      }
    });
}
