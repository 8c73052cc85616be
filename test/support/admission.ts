import { generateKeyPairSync } from "node:crypto";
import type { AdmissionRequest } from "../../core/admission/request.ts";
import { type WorkloadKind, workloadKind } from "../../core/admission/workload.ts";
import { compilePolicy } from "../../core/policy/compile.ts";
import type { CompileSources } from "../../core/policy/sources.ts";
import type { CompiledPolicy } from "../../core/policy/types.ts";
import type { ClusterImagePolicyObject, ClusterImagePolicySpec } from "../../crds/types.ts";

export const PEM = generateKeyPairSync("ec", { namedCurve: "P-256" })
  .publicKey.export({ type: "spki", format: "pem" })
  .toString();
export const DIGEST = `sha256:${"a".repeat(64)}` as const;

/** Sources in which there is nothing, but for what is given. */
export function sources(some: Partial<CompileSources> = {}): CompileSources {
  const nothing = () => undefined;
  return { secrets: nothing, configMaps: nothing, resolved: nothing, trustedRoot: nothing, ...some };
}

/** A compiled policy, named p. */
export function policy(
  spec: ClusterImagePolicySpec,
  some: Partial<CompileSources> = {},
  metadata: object = {},
): CompiledPolicy {
  const object = {
    apiVersion: "policy.sigstore.dev/v1alpha1",
    kind: "ClusterImagePolicy",
    metadata: { name: "p", uid: "uid-p", generation: 1, resourceVersion: "7", creationTimestamp: "", ...metadata },
    spec,
  } as ClusterImagePolicyObject;
  return compilePolicy(object, sources(some));
}

/** A policy that asks for `PEM` on ghcr.io. */
export const keyed = policy({ images: [{ glob: "ghcr.io/**" }], authorities: [{ name: "k", key: { data: PEM } }] });

function kind(group: string, name: string): WorkloadKind {
  const found = workloadKind(group, name);
  if (found === undefined) throw new Error(`${name} is no workload kind any more`);
  return found;
}

export const podKind = kind("", "Pod");
export const deploymentKind = kind("apps", "Deployment");

/** A request about a Pod, unless told otherwise. */
export function request(object: object, more: Partial<AdmissionRequest> = {}): AdmissionRequest {
  return {
    uid: "r",
    group: "",
    version: "v1",
    kind: "Pod",
    resource: "pods",
    subResource: "",
    namespace: "team",
    name: "x",
    operation: "CREATE",
    dryRun: false,
    object: object as AdmissionRequest["object"],
    ...more,
  };
}

/** A Pod with these images. */
export const pod = (...images: readonly string[]) => ({ spec: { containers: images.map((image) => ({ image })) } });
