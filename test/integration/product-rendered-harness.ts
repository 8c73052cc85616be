import type { Log } from "../../adapters/telemetry/log.ts";
import type { Upstream as CacheUpstream } from "../../core/cacheregistry/types.ts";
import { parseMapping } from "../../core/cacherule/mapping.ts";
import { normaliseHost } from "../../core/image/reference.ts";
import type { CacheRegistryObject, CacheRuleObject, CacheRuleSpec } from "../../crds/index.ts";
import type { UpstreamHealth } from "../../operator/incluster/upstream-probe.ts";
import type { RegistryPlanView, RuleRequest } from "../../operator/providers/provider.ts";
import type { RenderedContext } from "../../operator/providers/workload-config.ts";
import type { SecretObject } from "../../operator/resources.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { MemoryKube } from "../support/memory-kube.ts";

export const NAMESPACE = "cosign-system";
export const SIGNAL = new AbortController().signal;
export const b64 = (text: string): string => Buffer.from(text).toString("base64");

/** A world for registries that are rendered into a ConfigMap: its API server, clock and upstreams. */
export function world() {
  const kube = new MemoryKube();
  const clock = new FakeClock();
  const logged: string[] = [];
  const note = (message: string, fields?: object) => void logged.push(`${message} ${JSON.stringify(fields ?? {})}`);
  const log: Log = { debug: note, info: note, warn: note, error: note, child: () => log };
  let health: UpstreamHealth = { kind: "reachable", credentials: "untried" };
  const context: RenderedContext = {
    namespace: NAMESPACE,
    client: kube,
    clock,
    secrets: { get: (key) => kube.peek<SecretObject>("Secret", key.slice(NAMESPACE.length + 1)) },
    health: { check: async (_upstream: CacheUpstream) => health },
    log,
  };
  return {
    kube,
    clock,
    logged,
    context,
    setHealth: (next: UpstreamHealth) => {
      health = next;
    },
  };
}

/** A CacheRegistry as the API server has it. */
export function registryOf(spec: CacheRegistryObject["spec"]): CacheRegistryObject {
  const metadata = {
    name: "own",
    uid: "registry-uid",
    generation: 1,
    resourceVersion: "1",
    creationTimestamp: "2030-01-01T00:00:00Z",
  };
  return { apiVersion: "entrepot.dev/v1alpha1", kind: "CacheRegistry", metadata, spec } as CacheRegistryObject;
}

/** A CacheRule as the API server has it. */
export function ruleOf(
  name: string,
  source: string,
  target: string,
  more: Partial<CacheRuleSpec> = {},
  generation = 1,
): CacheRuleObject {
  const metadata = {
    name,
    uid: `uid-of-${name}`,
    generation,
    resourceVersion: "1",
    creationTimestamp: "2030-01-01T00:00:00Z",
  };
  const spec = { registryRef: { name: "own" }, source, target, ...more };
  return { apiVersion: "entrepot.dev/v1alpha1", kind: "CacheRule", metadata, spec } as CacheRuleObject;
}

/** What the reconcilers ask of a registry for a rule. */
export function requestOf(registry: CacheRegistryObject, rule: CacheRuleObject): RuleRequest {
  const mapping = parseMapping(rule.spec);
  return { rule, registry, mapping, host: mapping.source.host };
}

/** What a registry is to serve. */
export function planOf(registry: CacheRegistryObject, rules: readonly CacheRuleObject[]): RegistryPlanView {
  const requests = rules.map((rule) => requestOf(registry, rule));
  const entries = new Map((registry.spec.upstreams ?? []).map((one) => [normaliseHost(one.host), one]));
  const used = new Set(requests.map(({ host }) => host));
  return {
    rules: requests,
    upstreams: [...new Set([...used, ...entries.keys()])].map((host) => {
      const entry = entries.get(host);
      return { host, used: used.has(host), ...(entry && { entry }) };
    }),
  };
}

/** A basic-auth Secret of the registry's owner. */
export function basicAuth(name: string, username: string, password: string): SecretObject {
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name, namespace: NAMESPACE },
    type: "kubernetes.io/basic-auth",
    data: { username: b64(username), password: b64(password) },
  };
}
