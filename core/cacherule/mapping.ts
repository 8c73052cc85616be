import { DomainError } from "../errors.ts";
import { normaliseHost } from "../image/reference.ts";
import { patternMatches, type RulePattern, type TargetPattern, transplant, withImplicitLibrary } from "./pattern.ts";
import { parseSource, parseTarget, type RulePatternErrorCode } from "./source.ts";

/** A rule's two sides, normalised: what it names upstream and what it is called in the cache. */
export interface RuleMapping {
  readonly source: RulePattern;
  readonly target: TargetPattern;
}

/** A repository of an upstream registry, `host` in canonical spelling. */
export interface UpstreamRepository {
  readonly host: string;
  readonly repository: string;
}

/** Reads both sides of a rule. Throws `SOURCE_INVALID`, `TARGET_INVALID`, or `WILDCARD_MISMATCH` when only one has a wildcard. */
export function parseMapping(spec: { readonly source: string; readonly target: string }): RuleMapping {
  const source = parseSource(spec.source);
  const target = parseTarget(spec.target);
  if (source.wildcard !== target.wildcard) {
    const [wild, exact] = source.wildcard ? ["source", "target"] : ["target", "source"];
    throw new DomainError<RulePatternErrorCode>(
      "WILDCARD_MISMATCH",
      `the ${wild} ends with a wildcard and the ${exact} does not: put /* on both (source "${spec.source}", target "${spec.target}") or on none`,
      { terminal: true },
    );
  }
  return { source, target };
}

/** The upstream repository that a name in the cache stands for, or undefined when the rule does not name it. */
export function toUpstream(rule: RuleMapping, cacheRepository: string): UpstreamRepository | undefined {
  if (!patternMatches(rule.target, cacheRepository)) return undefined;
  const moved = transplant(rule.target, rule.source, cacheRepository);
  return moved === undefined
    ? undefined
    : { host: rule.source.host, repository: withImplicitLibrary(rule.source.host, moved) };
}

/**
 * The name in the cache of an upstream repository, or undefined when the rule does not name it. The inverse of `toUpstream`:
 * `toUpstream(rule, toCache(rule, host, repository))` is the same repository again. Aliases of `host` and Docker Hub's implicit
 * `library/` are normalised first.
 */
export function toCache(rule: RuleMapping, host: string, repository: string): string | undefined {
  const canonicalHost = normaliseHost(host);
  const canonical = withImplicitLibrary(canonicalHost, repository);
  if (canonicalHost !== rule.source.host || !patternMatches(rule.source, canonical)) return undefined;
  return transplant(rule.source, rule.target, canonical);
}
