import type { Clock } from "../adapters/clock.ts";
import type { KubeClient } from "../adapters/kube/types.ts";
import { keychainForPod, keychainForSecrets, type OnUnusableSecret } from "../adapters/registry/credentials.ts";
import type { Log } from "../adapters/telemetry/log.ts";
import { DomainError } from "../core/errors.ts";
import type { ConfigMapLookup } from "../core/policy/sources.ts";
import type { PolicyEngine, ResolveDigest } from "../core/policy/types.ts";
import type { Keychains, Snapshot } from "./case.ts";
import { Conditions } from "./conditions.ts";
import { type DenialOptions, Denials } from "./denials.ts";
import { Digests } from "./digests.ts";
import { type FactSources, Facts } from "./facts.ts";
import { Judge } from "./judge.ts";
import type { Memory } from "./memory.ts";
import type { WebhookMetrics } from "./metrics.ts";
import { Owners } from "./owners.ts";
import type { CheckRepository } from "./policies.ts";
import { policyEndpoints } from "./policy-endpoints.ts";
import { PullSecrets } from "./pullsecrets.ts";
import { Rewriter } from "./rewriting.ts";
import type { Endpoint } from "./server.ts";
import { Workloads } from "./workloads.ts";

export interface AdmissionOptions extends FactSources {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly resolve: ResolveDigest;
  readonly engine: PolicyEngine;
  readonly memory: Memory;
  readonly metrics: WebhookMetrics;
  readonly log: Log;
  readonly clock: Clock;
  readonly snapshot: () => Snapshot | undefined;
  readonly configMaps: ConfigMapLookup;
  readonly checkRepository: CheckRepository;
  readonly events: DenialOptions["events"];
}

/**
 * All webhooks together must stay below the API server's 34 s for one request, or the user sees no reason at all. A Pod that is renamed
 * is mutated twice: what is then left for its validation the API server says with the request.
 */
const MUTATE_BUDGET_MS = 12_000;
const REWRITE_BUDGET_MS = 4_000;
const VALIDATE_BUDGET_MS = 18_000;
const CREDENTIALS_MS = 10_000;

function keychainsFrom(client: KubeClient, log: Log): Keychains {
  const unusable: OnUnusableSecret = (namespace, name, problem) =>
    log.warn("pull Secret of no use", { namespace, name, problem });
  const deadline = () => AbortSignal.timeout(CREDENTIALS_MS);
  return {
    forPod: (identity) => keychainForPod(client, identity, deadline(), unusable)(),
    forSecrets: (namespace, names) => keychainForSecrets(client, namespace, names, deadline(), unusable)(),
  };
}

/** The admission endpoints by path, wired. */
export function createAdmission(options: AdmissionOptions): ReadonlyMap<string, Endpoint> {
  const { client, memory, metrics, log, clock } = options;
  const judge = new Judge(
    new Digests(options.resolve, memory, metrics),
    new Facts(options, memory, metrics),
    new Conditions(options.engine),
  );
  const owners = new Owners(client, memory, metrics, log);
  const workloads = new Workloads({
    judge,
    owners,
    memory,
    metrics,
    log,
    clock,
    keychains: keychainsFrom(client, log),
    denials: new Denials({ events: options.events, clock, log }),
  });
  const current = (): Snapshot => {
    const snapshot = options.snapshot();
    if (snapshot !== undefined) return snapshot;
    throw new DomainError("NOT_READY", "policies are not loaded yet; try again in a few seconds");
  };
  const pullSecrets = new PullSecrets({ client, log, clock });
  const rewriter = new Rewriter({ current, systemNamespace: options.namespace, pullSecrets, metrics, log });
  return new Map<string, Endpoint>([
    [
      "/mutations",
      {
        name: "mutate",
        budgetMs: MUTATE_BUDGET_MS,
        answer: (request, signal) => workloads.mutate(request, current(), signal),
      },
    ],
    [
      "/validations",
      {
        name: "validate",
        budgetMs: VALIDATE_BUDGET_MS,
        answer: (request, signal) => workloads.validate(request, current(), signal),
      },
    ],
    [
      "/rewriting",
      {
        name: "rewrite",
        budgetMs: REWRITE_BUDGET_MS,
        answer: (request, signal) => rewriter.answer(request, signal),
      },
    ],
    ...policyEndpoints({
      current,
      systemNamespace: options.namespace,
      engine: options.engine,
      configMaps: options.configMaps,
      checkRepository: options.checkRepository,
    }),
  ]);
}
