import type { Clock } from "../../adapters/clock.ts";
import type { KubeClient } from "../../adapters/kube/types.ts";
import type { Log } from "../../adapters/telemetry/log.ts";
import type { RuleMapping } from "../../core/cacherule/mapping.ts";
import type { RemoteRule } from "../../core/product/step.ts";
import {
  type CacheRegistryObject,
  type CacheRegistrySpec,
  type CacheRuleObject,
  PROVIDERS,
  type Provider,
  type Reason,
  type Upstream,
  type UpstreamStatus,
} from "../../crds/index.ts";
import type { UpstreamHealth } from "../incluster/upstream-probe.ts";
import type { Objects, SecretObject } from "../resources.ts";

/** A rule that is accepted, with the registry that is to serve it. */
export interface RuleRequest {
  readonly rule: CacheRuleObject;
  readonly registry: CacheRegistryObject;
  readonly mapping: RuleMapping;
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

/** Why a product can't serve a rule as it is written; for the condition Accepted. */
export interface Refusal {
  readonly reason: Extract<Reason, "UnsupportedShape" | "UnsupportedUpstream" | "InvalidSpec">;
  readonly message: string;
}

/** What a product says of the credentials for a rule's upstream. */
export interface CredentialsHealth {
  readonly status: "True" | "False" | "Unknown";
  /** For people; with `False` it says what to do. */
  readonly message: string;
}

/** What was made in a product for a registry as a whole, and how its upstreams are. */
export interface RegistryOutcome {
  readonly ready: Progress;
  /** One for each upstream that was asked for; hosts as people write them (`shownHost`). */
  readonly upstreams: readonly UpstreamStatus[];
  /** Of all upstreams together; absent when all are read anonymously. */
  readonly credentials?: CredentialsHealth;
}

/** An upstream that accepted rules use, or that the registry's spec lists. */
export interface WantedUpstream {
  /** As `normaliseHost` spells it. */
  readonly host: string;
  /** Its entry in `spec.upstreams`, if it has one. */
  readonly entry?: Upstream;
  /** Whether an accepted rule uses it. */
  readonly used: boolean;
}

/** What a registry product works with beside what it is asked. */
export interface ProductContext {
  /** The system namespace, where the Secrets and ConfigMaps that a CacheRegistry names are. */
  readonly namespace: string;
  /** By `namespace/name`. */
  readonly secrets: Pick<Objects<SecretObject>, "get">;
  readonly client: Pick<KubeClient, "get">;
  readonly clock: Clock;
  readonly log: Log;
}

/** What is the same for every kind of registry, and needs nobody to be asked. */
export interface RegistryKind {
  readonly name: Provider;
  /** The most rules of one registry; the product's own limit. */
  readonly limit?: number;
  /** What stands before the target in the names of cached images: a host, and a path where the product's names have one. */
  pullHost(registry: CacheRegistryObject): string;
  /** The registry behind the object, in one spelling: two CacheRegistries with the same one are duplicates. */
  identity(registry: CacheRegistryObject): string;
  /** Whether the registry can serve the rule as it is written. Pure. */
  judge(request: RuleRequest): Refusal | undefined;
}

/**
 * A registry product with a management API of its own: Azure Container Registry, Amazon ECR, Artifact Registry, Harbor. One file
 * each. Everything here may be repeated, and is: nothing that a method needs to know is kept only in memory. What differs between
 * declared and found is worked out by pure functions in `core/product/`. Failures are thrown as `ProductError`s.
 */
export interface RegistryProduct extends RegistryKind {
  /** The id that the rule has in the product, whether it is there or not. Pure. */
  remoteId(request: RuleRequest): string;

  /** Makes what rules of these upstreams share (credential sets, registry endpoints), and checks that signing in works. */
  prepare(
    registry: CacheRegistryObject,
    upstreams: readonly WantedUpstream[],
    signal: AbortSignal,
  ): Promise<RegistryOutcome>;
  /** Takes away what `prepare` made. Its rules are gone by then. */
  withdraw(registry: CacheRegistryObject, signal: AbortSignal): Promise<Progress>;

  /** The rule of `remoteId` as it is now, compared with what is declared; undefined when there is none. */
  observe(request: RuleRequest, signal: AbortSignal): Promise<RemoteRule | undefined>;
  /** Makes the rule. It must not overwrite one that appeared meanwhile as far as the product can prevent it. It may return before the rule is usable. */
  create(request: RuleRequest, signal: AbortSignal): Promise<void>;
  /** Corrects what `found` differs in. Called only when all of it is correctable and the rule is ours. */
  update(request: RuleRequest, found: RemoteRule, signal: AbortSignal): Promise<void>;
  /**
   * Takes the rule away. `images` says whether cached images may go with it; if not and they would, it changes nothing and says so with
   * the reason `LeftBehind`.
   */
  remove(request: RuleRequest, found: RemoteRule, images: boolean, signal: AbortSignal): Promise<Progress>;
  /** What the product says of the credentials that this rule needs, where it tells for a single rule; for others see `prepare`. */
  credentials?(request: RuleRequest, signal: AbortSignal): Promise<CredentialsHealth | undefined>;
}

/** What the operator itself finds of an upstream that a registry in this cluster reads. */
export type UpstreamState =
  | { readonly kind: "probed"; readonly anonymous: boolean; readonly health: UpstreamHealth }
  | { readonly kind: "problem"; readonly reason: Reason; readonly message: string };

/** What stands between a rule as declared and a rule that is served. */
export interface RuleServing {
  /** Whether the registry has the rule as declared. */
  readonly synced: Progress;
  /** Whether a pull by the rule's name is answered now, at the rule's current generation. */
  readonly serving: Progress;
  readonly upstream?: UpstreamState;
}

/** Everything that a registry is to serve. */
export interface RegistryPlanView {
  /** The accepted rules that are not suspended, in the order of their names. */
  readonly rules: readonly RuleRequest[];
  readonly upstreams: readonly WantedUpstream[];
}

/**
 * A registry whose configuration is rendered as a whole, from all of its rules at once, and rolled out in this cluster: our own, a
 * zot, a CNCF distribution. Rules have no object of their own there: `prepare` makes them all, `observe` says how one of them is.
 */
export interface RenderedRegistry extends RegistryKind {
  /** Whether a deleted rule goes only when `prepare` has written the configuration without it. */
  readonly holdsRules: boolean;
  /** Makes what is live as the plan says. At rest it writes nothing. */
  prepare(registry: CacheRegistryObject, plan: RegistryPlanView, signal: AbortSignal): Promise<RegistryOutcome>;
  /** Takes away what `prepare` made; done only when it is verified gone. */
  withdraw(registry: CacheRegistryObject, signal: AbortSignal): Promise<Progress>;
  observe(request: RuleRequest, signal: AbortSignal): Promise<RuleServing>;
  /** Whether nobody serves the rule any more; it is out of the plan already. */
  removed(request: Pick<RuleRequest, "rule" | "registry">, signal: AbortSignal): Promise<Progress>;
}

/** What status is to remember of a rule in a product. */
export interface RemoteFacts {
  readonly remoteId: string;
  readonly remoteCreationTime?: string;
  readonly adopted: boolean;
  /** Fields that were found to differ in this pass, `*` for all. */
  readonly drift: readonly string[];
}

/** How a rule is after a pass over it. */
export interface RuleOutcome extends RuleServing {
  readonly credentials?: CredentialsHealth;
  readonly remote?: RemoteFacts;
}

/** How the removal of a rule stands. `left` names what stays in the product, and why. */
export type Removal = { readonly done: true; readonly left?: string } | Pending;

/** Any registry as the reconcilers see it: see `product.ts` and `rendered.ts`. What every method may throw is a `ProductError` or a failure to talk to the API server. */
export interface CacheProvider extends RegistryKind, Pick<RenderedRegistry, "prepare" | "withdraw"> {
  /** Whether the product is asked over a network that fails by itself, and so is looked at at the drift interval. */
  readonly isRemote: boolean;
  /** Whether deleted rules wait for the next `prepare`, also while the registry itself is deleted. */
  readonly holdsRules: boolean;
  /** Brings the rule as far as one pass can, and says how it is. Repeated until nothing is left to do. */
  serve(request: RuleRequest, signal: AbortSignal): Promise<RuleOutcome>;
  /** Takes the rule away: `images` says whether cached images may go with it. Done only when that was verified. */
  remove(request: RuleRequest, images: boolean, signal: AbortSignal): Promise<Removal>;
}

/** The providers of this installation by name. */
export type Providers = ReadonlyMap<Provider, CacheProvider>;

/** Which provider block a CacheRegistry has; CEL holds that it is exactly one. */
export function providerOf(spec: CacheRegistrySpec): Provider | undefined {
  return PROVIDERS.find((name) => spec[name] !== undefined);
}

/** Why a provider can't be used, in words for the condition. */
export function unsupportedProvider(name: Provider | undefined): string {
  return `this version of Entrepot has no provider ${name ?? "for it"}; upgrade Entrepot`;
}
