import type { Bed } from "./contestant.ts";

/** Name of the policy that is measured. */
export const POLICY = "bench";

/** One key for every image of the bed: as a ClusterImagePolicy, which Entrepot and policy-controller share. */
export function clusterImagePolicy({ registry, publicKey }: Bed): object {
  return {
    apiVersion: "policy.sigstore.dev/v1beta1",
    kind: "ClusterImagePolicy",
    metadata: { name: POLICY },
    spec: { images: [{ glob: `${registry}/**` }], authorities: [{ key: { data: publicKey } }] },
  };
}
