import { parseMapping, type RuleMapping, toCache, toUpstream } from "../cacherule/mapping.ts";
import { ancestors } from "../cacherule/pattern.ts";
import { conditionIsTrue, servable } from "../cacherule/servable.ts";
import { type ImageReference, normaliseHost, parseReference } from "../image/reference.ts";
import type {
  Cache,
  CachedImage,
  CacheNames,
  CacheRegistryView,
  NamedRule,
  NamedRuleView,
  OriginalImage,
} from "./types.ts";

/** No rule at all: every image has one name. */
export const NO_NAMES: CacheNames = { size: 0, cachedAs: () => [], originOf: () => undefined, originsOf: () => [] };

function conditionOf({ status }: CacheRegistryView | NamedRuleView, type: string) {
  return status?.conditions?.find((condition) => condition.type === type);
}

function cacheOf(registry: CacheRegistryView): Cache {
  const { inCluster, signatures = "both", imagePullSecretName } = registry.spec;
  const reachable = conditionOf(registry, "Reachable");
  return {
    registry: registry.metadata.name,
    pullOnly: inCluster !== undefined,
    signatures,
    ...(imagePullSecretName !== undefined && { imagePullSecretName }),
    ...(reachable?.status === "False" && { unreachable: reachable.message ?? "it does not answer" }),
  };
}

function prefixOf(pullPrefix: string): NamedRule["prefix"] {
  const slash = pullPrefix.indexOf("/");
  const [host, path] = slash < 0 ? [pullPrefix, ""] : [pullPrefix.slice(0, slash), pullPrefix.slice(slash + 1)];
  return { host: normaliseHost(host), path };
}

/** Why no Pod is given a name of the rule now. */
function obstacleOf(rule: NamedRuleView, cache: Cache): string | undefined {
  const { name } = rule.metadata;
  if (cache.unreachable !== undefined) return `CacheRegistry "${cache.registry}": ${cache.unreachable}`;
  if (rule.metadata.deletionTimestamp !== undefined) return `CacheRule "${name}" is being deleted`;
  if (rule.spec.suspend === true) return `CacheRule "${name}" is suspended`;
  if (conditionIsTrue(rule, "Ready") && servable(rule, cache.registry)) return undefined;
  return `CacheRule "${name}" is not Ready: ${conditionOf(rule, "Ready")?.message ?? "the operator has not looked at it yet"}`;
}

/** Reading a mapping is most of the cost of a rule, and neither side of a rule ever changes. */
class Mappings {
  readonly #previous: ReadonlyMap<string, RuleMapping>;
  readonly read = new Map<string, RuleMapping>();

  constructor(previous: ReadonlyMap<string, RuleMapping>) {
    this.#previous = previous;
  }

  of({ metadata: { uid = "" }, spec: { source, target } }: NamedRuleView): RuleMapping | undefined {
    const key = `${uid} ${source} ${target}`;
    try {
      const mapping = this.#previous.get(key) ?? parseMapping({ source, target });
      this.read.set(key, mapping);
      return mapping;
    } catch {
      return undefined; // it is not accepted either, and says so in its status
    }
  }
}

function namedRule(rule: NamedRuleView, cache: Cache, mappings: Mappings): NamedRule | undefined {
  const pullPrefix = rule.status?.pullPrefix;
  if (pullPrefix === undefined || !conditionIsTrue(rule, "Accepted")) return undefined;
  const mapping = mappings.of(rule);
  if (mapping === undefined) return undefined;
  const obstacle = obstacleOf(rule, cache);
  return {
    rule: rule.metadata.name,
    cache,
    mapping,
    prefix: prefixOf(pullPrefix),
    rewrites: rule.spec.rewrite !== "Never",
    ...(obstacle !== undefined && { obstacle }),
  };
}

/** One side of all rules: by `host/path`, with and without a wildcard. The first rule of a name comes first. */
class Side {
  readonly #exact = new Map<string, NamedRule[]>();
  readonly #below = new Map<string, NamedRule[]>();

  add(host: string, path: string, rule: NamedRule): void {
    const all = rule.mapping.source.wildcard ? this.#below : this.#exact;
    const key = `${host}/${path}`;
    const known = all.get(key);
    if (known === undefined) all.set(key, [rule]);
    else known.push(rule);
  }

  /** The rules that name a repository, the most specific first. */
  *of(host: string, repository: string): Generator<NamedRule> {
    for (const rules of this.levels(host, repository)) yield* rules;
  }

  /** The same, those of equal patterns together. */
  *levels(host: string, repository: string): Generator<readonly NamedRule[]> {
    yield this.#exact.get(`${host}/${repository}`) ?? [];
    for (const prefix of ancestors(repository)) yield this.#below.get(`${host}/${prefix}`) ?? [];
  }
}

/**
 * The same image by another name; undefined where that name is longer than a reference may be, or where a runtime would read it as another:
 * without a dot or a port its host is none, but somebody's name on Docker Hub.
 */
function renamed(reference: ImageReference, host: string, repository: string): ImageReference | undefined {
  const tag = reference.tag === undefined ? "" : `:${reference.tag}`;
  const digest = reference.digest === undefined ? "" : `@${reference.digest}`;
  try {
    const other = parseReference(`${host}/${repository}${tag}${digest}`);
    return other.registry === host && other.repository === repository ? other : undefined;
  } catch {
    return undefined;
  }
}

class Index implements CacheNames {
  readonly size: number;
  readonly mappings: ReadonlyMap<string, RuleMapping>;
  readonly #sources = new Side();
  readonly #targets = new Side();

  constructor(rules: readonly NamedRule[], mappings: ReadonlyMap<string, RuleMapping>) {
    this.size = rules.length;
    this.mappings = mappings;
    for (const rule of rules) {
      this.#sources.add(rule.mapping.source.host, rule.mapping.source.path, rule);
      this.#targets.add(rule.prefix.host, rule.prefix.path, rule);
    }
  }

  cachedAs(reference: ImageReference): readonly CachedImage[] {
    const { registry, repository } = reference;
    const found: CachedImage[] = [];
    for (const by of this.#sources.of(registry, repository)) {
      const moved = toCache(by.mapping, registry, repository);
      const path = moved === undefined ? undefined : this.#inRegistry(by, moved);
      const cached = path === undefined ? undefined : renamed(reference, by.prefix.host, path);
      if (cached !== undefined) found.push({ by, reference: cached });
    }
    return found;
  }

  originOf(reference: ImageReference): OriginalImage | undefined {
    for (const by of this.#targets.of(reference.registry, reference.repository)) {
      const origin = this.#origin(by, reference);
      if (origin !== undefined) return { by, reference: origin };
    }
    return undefined;
  }

  originsOf(reference: ImageReference): readonly OriginalImage[] {
    const found: OriginalImage[] = [];
    const served = new Set<string>(); // registries of which a more specific rule has the name
    for (const rules of this.#targets.levels(reference.registry, reference.repository)) {
      for (const by of rules) {
        const origin = served.has(by.cache.registry) ? undefined : this.#origin(by, reference);
        if (origin !== undefined) found.push({ by, reference: origin });
      }
      for (const { obstacle, cache } of rules) if (obstacle === undefined) served.add(cache.registry);
    }
    return found;
  }

  #origin(by: NamedRule, reference: ImageReference): ImageReference | undefined {
    const upstream = toUpstream(by.mapping, this.#inTarget(by, reference.repository));
    return upstream && renamed(reference, upstream.host, upstream.repository);
  }

  /** What stands before every target of the registry, as in `region-docker.pkg.dev/project/repository`. */
  #before({ prefix, mapping }: NamedRule): string {
    return prefix.path.slice(0, prefix.path.length - mapping.target.path.length);
  }

  #inRegistry(rule: NamedRule, target: string): string {
    const before = this.#before(rule);
    return before === "" || before.endsWith("/") ? `${before}${target}` : `${before}/${target}`;
  }

  #inTarget(rule: NamedRule, repository: string): string {
    const before = this.#before(rule);
    return repository.slice(before === "" || before.endsWith("/") ? before.length : before.length + 1);
  }
}

/** The oldest first; what is being deleted last. */
function byAge(rules: readonly NamedRuleView[]): readonly NamedRuleView[] {
  const ranked = rules.map((rule) => {
    const { deletionTimestamp, creationTimestamp, name } = rule.metadata;
    return { rule, rank: `${deletionTimestamp === undefined ? 0 : 1} ${creationTimestamp} ${name}` };
  });
  return ranked.sort((a, b) => (a.rank < b.rank ? -1 : 1)).map(({ rule }) => rule);
}

/**
 * The index of all accepted rules. Of rules of equal standing the oldest comes first. `previous` only saves work.
 */
export function buildNames(
  rules: readonly NamedRuleView[],
  registries: readonly CacheRegistryView[],
  previous: CacheNames = NO_NAMES,
): CacheNames {
  const caches = new Map(registries.map((registry) => [registry.metadata.name, cacheOf(registry)]));
  const mappings = new Mappings(previous instanceof Index ? previous.mappings : new Map());
  const named = byAge(rules).flatMap((rule) => {
    const cache = caches.get(rule.spec.registryRef.name);
    return (cache && namedRule(rule, cache, mappings)) ?? [];
  });
  return named.length === 0 ? NO_NAMES : new Index(named, mappings.read);
}
