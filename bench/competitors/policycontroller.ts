import { settingsFrom } from "../../hack/testcluster/settings.ts";
import { toolVersion } from "../../hack/testcluster/tools.ts";
import { startPolicyController, takenPort } from "../../test/support/policy-controller-process.ts";
import type { Contestant } from "../contestant.ts";
import { makeNamespace, removeNamespace } from "../namespace.ts";
import { clusterImagePolicy } from "../policy.ts";

const CRDS = ["clusterimagepolicies.policy.sigstore.dev", "trustroots.policy.sigstore.dev"];

/**
 * The real policy-controller with its own CRDs and configuration and one key policy on every image of the bed: the policy that Entrepot has too.
 * Both systems' CRDs have the same names, so each takes the other's place: those that Entrepot leaves are removed first, and stopping removes
 * these, as Entrepot applies its own when it starts. Rejects where one of the ports that are compiled into it is taken.
 */
export function policyController(): Contestant {
  return {
    name: "policy-controller",
    version: () => Promise.resolve(toolVersion(settingsFrom(process.env), "policycontroller")),
    warm: false,
    async start(bed) {
      const { cluster, api } = bed;
      const taken = await takenPort();
      if (taken !== undefined) throw new Error(`policy-controller listens on port ${taken}, which is in use here`);
      await cluster.kubectl(["delete", "crd", ...CRDS, "--ignore-not-found"]);
      const controller = await startPolicyController(cluster, api);
      await makeNamespace(bed, { "policy.sigstore.dev/include": "true" });
      await cluster.kubectl(["apply", "-f", "-"], JSON.stringify(clusterImagePolicy(bed)));
      return {
        pids: [controller.pid],
        async stop() {
          await controller.remove();
          await removeNamespace(bed);
        },
      };
    },
  };
}
