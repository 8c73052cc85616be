import type { Authority, ClusterImagePolicySpec, TrustRootSpec } from "../../crds/index.ts";

const PUBLIC_FULCIO = "https://fulcio.sigstore.dev";
const TUF_TARGETS = "targets";
const TRUSTED_ROOT_TARGET = "trusted_root.json";

/** As much of a ClusterImagePolicy, of either version, as its meaning depends on. */
export interface PolicySource {
  readonly spec?: ClusterImagePolicySpec | undefined;
}

/** As much of a TrustRoot as its meaning depends on. */
export interface TrustRootSource {
  readonly spec?: TrustRootSpec | undefined;
}

/**
 * The spec with what policy-controller's defaulting webhook would write into it (`pkg/apis/policy/*_defaults.go`):
 * `mode`, the authorities' names, the public Fulcio's URL. Nothing of it is written back. Fields that are null, which the
 * API server prunes but a file may have, are left out, so that `undefined` is the one sign of absence. The input is not
 * changed.
 */
export function defaultClusterImagePolicy(policy: PolicySource): ClusterImagePolicySpec {
  const spec = withoutNulls(policy.spec ?? {});
  return {
    ...spec,
    mode: spec.mode || "enforce",
    ...(spec.authorities !== undefined && { authorities: spec.authorities.map(defaultAuthority) }),
  };
}

function defaultAuthority(authority: Authority, index: number): Authority {
  const { key, keyless, static: fixed } = authority;
  const anyFulcio = keyless !== undefined && keyless.url === undefined && keyless["ca-cert"] === undefined;
  return {
    ...authority,
    name: authority.name || `authority-${index}`,
    ...(anyFulcio && key === undefined && fixed === undefined && { keyless: { ...keyless, url: PUBLIC_FULCIO } }),
  };
}

/** The same for a TrustRoot: where its TUF repository keeps its targets, and which of them is the trusted root. */
export function defaultTrustRoot(trustRoot: TrustRootSource): TrustRootSpec {
  const { remote, repository, ...rest } = withoutNulls(trustRoot.spec ?? {});
  return {
    ...rest,
    ...(remote !== undefined && { remote: { ...remote, ...tufDefaults(remote) } }),
    ...(repository !== undefined && { repository: { ...repository, ...tufDefaults(repository) } }),
  };
}

interface TufTargets {
  readonly targets?: string;
  readonly trustedRootTarget?: string;
}

function tufDefaults({ targets, trustedRootTarget }: TufTargets): Required<TufTargets> {
  return { targets: targets || TUF_TARGETS, trustedRootTarget: trustedRootTarget || TRUSTED_ROOT_TARGET };
}

/** A copy in which no field is null: absent and null mean the same in this API. */
export function withoutNulls<T>(value: T): T {
  if (Array.isArray(value)) return value.map(withoutNulls) as T;
  if (typeof value !== "object" || value === null) return value;
  const fields = Object.entries(value).filter(([, field]) => field !== null && field !== undefined);
  return Object.fromEntries(fields.map(([name, field]) => [name, withoutNulls(field)])) as T;
}
