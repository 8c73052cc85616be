import type { LiveObject } from "../../core/cacheregistry/diff.ts";
import { backendName, gatewayName, proxyNames } from "../../core/cacheregistry/names.ts";
import { shownHost } from "../../core/cacheregistry/upstream.ts";
import { type CacheRegistryObject, REASON, type Reason, type UpstreamStatus } from "../../crds/index.ts";
import type { Progress } from "../providers/provider.ts";
import type { DeploymentObject } from "../resources.ts";
import { isRolledOut, lookAt } from "./rollout.ts";
import { canRoll, type ExaminedUpstream, hostOf } from "./upstreams.ts";

/** One line of `status.upstreams`: hosts as people write them. */
export function upstreamStatus(examined: ExaminedUpstream): UpstreamStatus {
  const host = shownHost(hostOf(examined));
  if (examined.kind === "problem") return { host, health: "Unhealthy", reason: examined.reason };
  switch (examined.health.kind) {
    case "reachable":
      return { host, health: "Healthy", reason: REASON.Reachable };
    case "refused":
      return { host, health: "Unhealthy", reason: REASON.CredentialsUnhealthy };
    case "unreachable":
      return { host, health: "Unhealthy", reason: REASON.UpstreamUnreachable };
  }
}

/**
 * Whether everything that serves a registry runs. An upstream that does not answer does not make the registry unready: its rules say
 * so, the others are served.
 */
export function inClusterReadiness(
  registry: CacheRegistryObject,
  upstreams: readonly ExaminedUpstream[],
  deployments: ReadonlyMap<string, DeploymentObject>,
  namespace: string,
): Progress {
  const { name } = registry.metadata;
  const no = (reason: Reason, message: string): Progress => ({ done: false, reason, message });
  const problem = upstreams.find((one) => one.kind === "problem");
  if (problem !== undefined) return no(problem.reason, problem.message);
  const gateway = deployments.get(gatewayName(name));
  if ((gateway?.status?.availableReplicas ?? 0) === 0) {
    return no(
      REASON.GatewayNotReady,
      `no Pod of Deployment "${gatewayName(name)}", the gateway, is ready; ${lookAt(gatewayName(name), namespace)}`,
    );
  }
  for (const one of upstreams) {
    if (one.kind === "problem") continue;
    const backend = backendName(name, one.upstream.host);
    const deployment = deployments.get(backend);
    if (deployment === undefined && !canRoll(one)) continue; // started when its upstream answers; its rules say so
    if (deployment === undefined || !isRolledOut(deployment)) {
      return no(
        REASON.BackendNotReady,
        `Deployment "${backend}", the proxy of ${shownHost(one.upstream.host)}, is not rolled out; ${lookAt(backend, namespace)}`,
      );
    }
  }
  return { done: true };
}

/**
 * The live objects that may be removed when nobody wants them: not those of upstreams whose proxies are left alone for now, which are
 * all of them where their storage can't be opened (`isOpen`).
 */
export function removable<T extends LiveObject>(
  live: readonly T[],
  registry: string,
  upstreams: readonly ExaminedUpstream[],
  isOpen: boolean,
): readonly T[] {
  const left = upstreams.filter((one) => !isOpen || !canRoll(one)).map(hostOf);
  const kept = new Set(left.flatMap((host) => proxyNames(registry, host)));
  return live.filter(({ metadata }) => !kept.has(metadata.name));
}
