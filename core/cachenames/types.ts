import type { RuleMapping } from "../cacherule/mapping.ts";
import type { CacheRuleView, RuleCondition } from "../cacherule/servable.ts";
import type { ImageReference } from "../image/reference.ts";

/** Where signatures of a cached image are looked for (`spec.signatures`): `both` is the cache first, then the upstream. */
export type SignatureLookup = "cache" | "upstream" | "both";

/** The parts of a CacheRegistry that names are decided by. */
export interface CacheRegistryView {
  readonly metadata: { readonly name: string; readonly uid?: string };
  readonly spec: {
    readonly inCluster?: object;
    readonly signatures?: SignatureLookup;
    readonly imagePullSecretName?: string;
  };
  readonly status?: { readonly conditions?: readonly RuleCondition[] };
}

/** The parts of a CacheRule that names are decided by. */
export interface NamedRuleView extends CacheRuleView {
  readonly spec: CacheRuleView["spec"] & { readonly rewrite?: "Pods" | "Never" };
  readonly status?: NonNullable<CacheRuleView["status"]> & { readonly pullPrefix?: string };
}

/** A cache, as far as names go. */
export interface Cache {
  /** Name of the CacheRegistry. */
  readonly registry: string;
  /** Nobody can push to it: what it has under a name is what the upstream has. So it is with the one in the cluster. */
  readonly pullOnly: boolean;
  readonly signatures: SignatureLookup;
  /** The Secret, in the Pods' own namespaces, that nodes pull from it with. */
  readonly imagePullSecretName?: string;
  /** Why it can't be pulled from now; absent while it can. */
  readonly unreachable?: string;
}

/** An accepted rule with the names that it makes equal. */
export interface NamedRule {
  readonly rule: string;
  readonly cache: Cache;
  readonly mapping: RuleMapping;
  /** Host, in canonical spelling, and path that stand in place of the source. */
  readonly prefix: { readonly host: string; readonly path: string };
  /** Whether Pods are given its names (`spec.rewrite`). */
  readonly rewrites: boolean;
  /** Why no Pod is given a name of it now, in words for the user; absent while they are. */
  readonly obstacle?: string;
}

/** What an image is called in a cache. */
export interface CachedImage {
  readonly by: NamedRule;
  /** Tag and digest are those of the image that was asked about. */
  readonly reference: ImageReference;
}

/** The upstream image that a name in a cache stands for. */
export interface OriginalImage {
  readonly by: NamedRule;
  readonly reference: ImageReference;
}

/** Which names of images are equal, at one moment. Never changed: another state of the rules is another index. */
export interface CacheNames {
  /** How many rules are in it. */
  readonly size: number;
  /** What caches call an upstream image, by the most specific rule first; in time independent of the number of rules. */
  cachedAs(reference: ImageReference): readonly CachedImage[];
  /** The upstream image that a name in a cache stands for; undefined for a name that no rule makes. Whether the rule is Ready now does not matter. */
  originOf(reference: ImageReference): OriginalImage | undefined;
  /**
   * Every upstream image that may be behind a name in a cache, `originOf`'s first. It is more than one where the rule that wins there is
   * not served now (it is suspended, say), so that a wider one of its registry may be, and where registries share a host.
   */
  originsOf(reference: ImageReference): readonly OriginalImage[];
}
