import type { KubeClient } from "../../adapters/kube/types.ts";
import { CACHE_REGISTRIES, CACHE_RULES, type CacheRuleStatus, type Condition } from "../../crds/index.ts";

/** What a rule that is shown is like; all that is absent is in order. */
export interface RuleSample {
  readonly name: string;
  readonly registry: string;
  readonly source?: string;
  readonly target?: string;
  readonly suspend?: boolean;
  /** The condition Ready; absent: the operator has not looked at the rule. */
  readonly ready?: Partial<Condition>;
  readonly conditions?: readonly Condition[];
  readonly status?: Partial<CacheRuleStatus>;
}

/** When conditions of samples changed. */
export const SAMPLE_TIME = "2026-01-01T00:00:00Z";

/** A condition of the first generation. */
export function sampleCondition(type: string, more: Partial<Condition> = {}): Condition {
  return {
    type,
    status: "True",
    reason: type,
    message: `${type} holds`,
    observedGeneration: 1,
    lastTransitionTime: SAMPLE_TIME,
    ...more,
  };
}

const identity = (name: string) => ({ apiVersion: "entrepot.dev/v1alpha1", kind: "CacheRule", metadata: { name } });

/** The spec of a sample. */
export function sampleSpec({ name, registry, source, target, suspend }: RuleSample) {
  return {
    registryRef: { name: registry },
    source: source ?? `docker.io/acme/${name}`,
    target: target ?? `acme/${name}`,
    ...(suspend !== undefined && { suspend }),
  };
}

/** The status of a sample; undefined where nobody looked. */
export function sampleStatus(sample: RuleSample): CacheRuleStatus | undefined {
  const { ready, conditions = [], status } = sample;
  if (ready === undefined) return undefined;
  const { target } = sampleSpec(sample);
  return {
    observedGeneration: 1,
    pullPrefix: `localhost:30500/${target}`,
    conditions: [...conditions, sampleCondition("Ready", ready)],
    ...status,
  };
}

/** Makes a rule with its status, as the operator would have left it. */
export async function putRule(client: Pick<KubeClient, "create" | "applyStatus">, sample: RuleSample): Promise<void> {
  await client.create(CACHE_RULES, { ...identity(sample.name), spec: sampleSpec(sample) });
  const status = sampleStatus(sample);
  if (status !== undefined) await client.applyStatus(CACHE_RULES, { ...identity(sample.name), status });
}

/** Makes an in-cluster CacheRegistry with that condition Ready. */
export async function putRegistry(
  client: Pick<KubeClient, "create" | "applyStatus">,
  name: string,
  ready: Partial<Condition> = {},
  rules: { readonly total: number; readonly limit?: number } = { total: 0 },
): Promise<void> {
  const object = { apiVersion: "entrepot.dev/v1alpha1", kind: "CacheRegistry", metadata: { name } };
  const spec = { inCluster: { pullHost: "localhost:30500", storage: { emptyDir: {} } } };
  await client.create(CACHE_REGISTRIES, { ...object, spec });
  const status = { observedGeneration: 1, provider: "inCluster", rules, conditions: [sampleCondition("Ready", ready)] };
  await client.applyStatus(CACHE_REGISTRIES, { ...object, status });
}
