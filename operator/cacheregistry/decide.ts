import type { LiveObject } from "../../core/cacheregistry/diff.ts";
import { backendName, gatewayName } from "../../core/cacheregistry/names.ts";
import { shownHost } from "../../core/cacheregistry/upstream.ts";
import { type Condition, setCondition } from "../../core/conditions.ts";
import {
  type CacheRegistryObject,
  CONDITION,
  type Provider,
  REASON,
  type Reason,
  type UpstreamStatus,
} from "../../crds/index.ts";
import { isRolledOut } from "../providers/incluster.ts";
import type { DeploymentObject } from "../resources.ts";
import { canRoll, type ExaminedUpstream, hostOf } from "./upstreams.ts";

/** Whether a registry is ready, and why. */
export interface Readiness {
  readonly status: Condition["status"];
  readonly reason: Reason;
  readonly message: string;
}

/** Everything that a registry's status is decided from. */
export interface RegistryFacts {
  readonly registry: CacheRegistryObject;
  readonly provider?: Provider;
  readonly readiness: Readiness;
  readonly rules: number;
  readonly upstreams: readonly UpstreamStatus[];
}

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
): Readiness {
  const { name } = registry.metadata;
  const no = (reason: Reason, message: string): Readiness => ({ status: "False", reason, message });
  const problem = upstreams.find((one) => one.kind === "problem");
  if (problem !== undefined) return no(problem.reason, problem.message);
  const gateway = deployments.get(gatewayName(name));
  const look = (deployment: string) => `see kubectl describe deployment ${deployment} in the system namespace`;
  if ((gateway?.status?.availableReplicas ?? 0) === 0) {
    return no(
      REASON.GatewayNotReady,
      `no Pod of Deployment "${gatewayName(name)}", the gateway, is ready; ${look(gatewayName(name))}`,
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
        `Deployment "${backend}", the proxy of ${shownHost(one.upstream.host)}, is not rolled out; ${look(backend)}`,
      );
    }
  }
  return {
    status: "True",
    reason: REASON.Ready,
    message: "the gateway and the proxies of all upstreams that rules use are running",
  };
}

/** The status of a registry, from what was found. Pure; equal facts give an equal status whatever the time. */
export function decideRegistryStatus(facts: RegistryFacts, now: Date): NonNullable<CacheRegistryObject["status"]> {
  const { registry, readiness, provider, rules, upstreams } = facts;
  const { generation } = registry.metadata;
  const known = (registry.status?.conditions ?? []) as readonly Condition[];
  const conditions = setCondition(known, { type: CONDITION.Ready, ...readiness, observedGeneration: generation }, now);
  return {
    observedGeneration: generation,
    ...(provider !== undefined && { provider }),
    conditions: conditions.map((condition) => ({ ...condition })),
    rules: { total: rules, ...(registry.spec.limit !== undefined && { limit: registry.spec.limit }) },
    upstreams: [...upstreams].sort((a, b) => (a.host < b.host ? -1 : 1)),
  };
}

/** The live objects that may be removed when nobody wants them: not those of upstreams whose proxies are left alone for now. */
export function removable<T extends LiveObject>(
  live: readonly T[],
  registry: string,
  upstreams: readonly ExaminedUpstream[],
): readonly T[] {
  const kept = new Set(upstreams.filter((one) => !canRoll(one)).map((one) => backendName(registry, hostOf(one))));
  return live.filter(({ metadata }) => !kept.has(metadata.name));
}
