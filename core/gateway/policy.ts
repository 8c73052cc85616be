import type { GatewaySpec } from "../gatewayaccess/types.ts";
import { normaliseHost } from "../image/reference.ts";

/** The audience of ServiceAccount tokens where spec names none. */
export const DEFAULT_AUDIENCE = "entrepot-cache";
/** The audience of tokens that our own processes show to gateways: no other client's token has it. */
export const OWN_AUDIENCE = "entrepot-gateway";

/** The user names of our own processes that pull: the operator fetches ahead, the webhook reads signatures. */
export function ownUsers(namespace: string): ReadonlySet<string> {
  return new Set(["operator", "webhook"].map((account) => `system:serviceaccount:${namespace}:${account}`));
}

/** What a CacheRegistry says of who may pull, as a gateway goes by it. */
export interface AccessPolicy {
  readonly registry: string;
  readonly generation: number;
  /** Whoever reaches the gateway may have everything. */
  readonly anonymous: boolean;
  /** Upstream hosts (normalised) that are read with credentials. */
  readonly privateHosts: ReadonlySet<string>;
  /** The Secrets whose users may pull. */
  readonly secrets: ReadonlySet<string>;
  /** Absent: no ServiceAccount may. */
  readonly serviceAccounts?: {
    readonly audience: string;
    /** Absent: those of all namespaces. */
    readonly namespaces?: ReadonlySet<string>;
  };
  readonly limits: { readonly requestsPerSecond?: number; readonly concurrentRequests?: number };
  /** The user names of our own processes, which may pull whatever `clients` says. */
  readonly own?: ReadonlySet<string>;
}

/** The parts of a CacheRegistry that the policy is read from. */
export interface RegistryView {
  readonly metadata: { readonly name: string; readonly generation?: number };
  readonly spec: {
    readonly inCluster?: Partial<GatewaySpec>;
    readonly upstreams?: readonly { readonly host: string; readonly credentials?: object }[];
  };
}

/** Reads the policy of a CacheRegistry. Credentials make an upstream private whether or not their Secret exists. */
export function accessPolicy({ metadata, spec }: RegistryView, own?: ReadonlySet<string>): AccessPolicy {
  const { anonymous, clients, limits } = spec.inCluster ?? {};
  const accounts = clients?.serviceAccounts;
  const withCredentials = (spec.upstreams ?? []).filter(({ credentials }) => credentials !== undefined);
  return {
    registry: metadata.name,
    generation: metadata.generation ?? 0,
    anonymous: anonymous === true,
    privateHosts: new Set(withCredentials.map(({ host }) => normaliseHost(host))),
    secrets: new Set((clients?.secretRefs ?? []).map(({ name }) => name)),
    ...(accounts && {
      serviceAccounts: {
        audience: accounts.audience ?? DEFAULT_AUDIENCE,
        ...(accounts.namespaces && { namespaces: new Set(accounts.namespaces) }),
      },
    }),
    limits: { ...limits },
    ...(own !== undefined && { own }),
  };
}

/** Whether content of an upstream is given to clients with credentials only. */
export function asksFor(policy: AccessPolicy, upstreamHost: string): boolean {
  return !policy.anonymous && policy.privateHosts.has(upstreamHost);
}

/**
 * Whether `/v2/` asks for credentials. Docker, skopeo and CRI-O send credentials only after `/v2/` has asked for them, so it does as
 * soon as any upstream is private. containerd and crane answer to the 401 of the content itself, or send credentials at once.
 */
export function pingAsks(policy: AccessPolicy): boolean {
  return !policy.anonymous && policy.privateHosts.size > 0;
}
