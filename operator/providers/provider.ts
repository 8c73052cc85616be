import {
  type CacheRegistryObject,
  type CacheRegistrySpec,
  type CacheRuleObject,
  PROVIDERS,
  type Provider,
  type Reason,
} from "../../crds/index.ts";

/** A rule that is accepted, with the registry that is to serve it. */
export interface RuleRequest {
  readonly rule: CacheRuleObject;
  readonly registry: CacheRegistryObject;
  /** The upstream's host as `normaliseHost` spells it. */
  readonly host: string;
}

/** A state that has not been reached, and why, in words for the condition. */
export interface Pending {
  readonly done: false;
  readonly reason: Reason;
  readonly message: string;
}

export type Progress = { readonly done: true } | Pending;

/** What the registry's product has of a rule now. */
export interface RuleObservation {
  /** `absent`: create it; `different`: update it; `identical`: nothing to do; `foreign`: not ours, leave it alone. */
  readonly remote: "absent" | "different" | "identical" | "foreign";
  /** Whether everything that serves the rule is rolled out. */
  readonly rolledOut: Progress;
  /** Whether a pull by the rule's name is answered now, at the rule's current generation. */
  readonly serving: Progress;
}

/**
 * One registry product. Verbs as in every reconciler of remote things: find, compare, create, update, remove. Each may be repeated;
 * `create` and `update` may return before the thing is there: `observe` says when it is. Failures are thrown.
 */
export interface CacheProvider {
  readonly name: Provider;
  /** The host, with port, that begins the names of cached images. */
  pullHost(registry: CacheRegistryObject): string;
  observe(request: RuleRequest, signal: AbortSignal): Promise<RuleObservation>;
  create(request: RuleRequest, signal: AbortSignal): Promise<void>;
  update(request: RuleRequest, signal: AbortSignal): Promise<void>;
  /** Takes the rule away; done only when it is verified that nobody serves it any more. `registry` may be gone already. */
  remove(rule: CacheRuleObject, registry: CacheRegistryObject | undefined, signal: AbortSignal): Promise<Progress>;
}

/** The providers of this installation by name. */
export type Providers = ReadonlyMap<Provider, CacheProvider>;

/** Which provider block a CacheRegistry has; CEL holds that it is exactly one. */
export function providerOf(spec: CacheRegistrySpec): Provider | undefined {
  return PROVIDERS.find((name) => spec[name] !== undefined);
}

/** Why a provider can't be used, in words for the condition. */
export function unsupportedProvider(name: Provider | undefined): string {
  return `this version of Entrepot has no provider ${name ?? "for it"}; use inCluster, or upgrade Entrepot`;
}
