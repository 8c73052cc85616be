import type { NamedRule } from "../cachenames/types.ts";
import { ancestors } from "../cacherule/pattern.ts";

/** Everything below `path` of an upstream's host, taken for everything below `cachePath` of a cache's. */
export interface Transplant {
  readonly host: string;
  readonly path: string;
  readonly cacheHost: string;
  readonly cachePath: string;
}

/** What of `path` stands below `above`: "" for `above` itself, undefined for what is elsewhere. */
export function below(path: string, above: string): string | undefined {
  if (above === "" || path === above) return path === above ? "" : path;
  return path.startsWith(`${above}/`) ? path.slice(above.length + 1) : undefined;
}

/** `hub` and `library/nginx`: `hub/library/nginx`; either may be empty. */
export function joined(above: string, path: string): string {
  return above === "" || path === "" ? above + path : `${above}/${path}`;
}

/** Whether a rule gives images the names that the transplant gives them. */
function agrees({ mapping: { source }, prefix }: NamedRule, transplant: Transplant): boolean {
  const upstream = below(source.path, transplant.path);
  return (
    source.host === transplant.host && upstream !== undefined && upstream === below(prefix.path, transplant.cachePath)
  );
}

/** What a rule says, as a transplant. */
export function transplantOf({ mapping: { source }, prefix }: NamedRule): Transplant {
  return { host: source.host, path: source.path, cacheHost: prefix.host, cachePath: prefix.path };
}

/** Which names of caches rules make, by the paths above them. */
export class CacheTree {
  /** Rules that make names below a path. */
  readonly #below = new Map<string, NamedRule[]>();
  /** Rules of everything below a path. */
  readonly #whole = new Map<string, NamedRule[]>();
  /** Rules of one name. */
  readonly #exact = new Map<string, NamedRule[]>();

  /** `rules`: the older first. */
  constructor(rules: readonly NamedRule[]) {
    for (const rule of rules) {
      const { host, path } = rule.prefix;
      for (const above of ancestors(path)) this.#enter(this.#below, `${host}/${above}`, rule);
      if (rule.mapping.source.wildcard) {
        this.#enter(this.#below, `${host}/${path}`, rule);
        this.#enter(this.#whole, `${host}/${path}`, rule);
      } else this.#enter(this.#exact, `${host}/${path}`, rule);
    }
  }

  /** An older rule that makes the very names of this one, of other images. */
  rivalOf(rule: NamedRule): NamedRule | undefined {
    const { prefix, mapping } = rule;
    const all = mapping.source.wildcard ? this.#whole : this.#exact;
    const [first = rule] = all.get(`${prefix.host}/${prefix.path}`) ?? [];
    return agrees(first, transplantOf(rule)) ? undefined : first;
  }

  /** The rules that make of names below the transplant's cache path something else than the transplant does. */
  strangersBelow(transplant: Transplant): readonly NamedRule[] {
    const { cacheHost, cachePath } = transplant;
    return (this.#below.get(`${cacheHost}/${cachePath}`) ?? []).filter((rule) => !agrees(rule, transplant));
  }

  /** The same, with wider rules that reach down to the cache path, unless a rule that agrees has all of it. */
  strangersAt(transplant: Transplant): readonly NamedRule[] {
    const { cacheHost, cachePath } = transplant;
    const whole = this.#whole.get(`${cacheHost}/${cachePath}`) ?? [];
    const wider = whole.some((rule) => agrees(rule, transplant))
      ? []
      : ancestors(cachePath).flatMap((above) => this.#whole.get(`${cacheHost}/${above}`) ?? []);
    return [...this.strangersBelow(transplant), ...wider];
  }

  #enter(map: Map<string, NamedRule[]>, key: string, rule: NamedRule): void {
    const known = map.get(key);
    if (known === undefined) map.set(key, [rule]);
    else known.push(rule);
  }
}
