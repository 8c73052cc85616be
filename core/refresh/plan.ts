import { Range } from "semver";
import { durationMs } from "../duration.ts";

/** One entry of `spec.refresh.tags`. */
export type TagSelector =
  | { readonly kind: "name"; readonly name: string }
  | { readonly kind: "glob"; readonly glob: string }
  | { readonly kind: "semver"; readonly range: Range };

/** `spec.refresh`, read. */
export interface RefreshPlan {
  readonly intervalMs: number;
  /** Absent: the tags that the cache is known to hold. */
  readonly selectors?: readonly TagSelector[];
  readonly keep?: number;
}

/** `spec.refresh` as it is written (crds/cacherule.yaml). */
export interface RefreshSpec {
  readonly interval: string;
  readonly tags?: readonly { readonly glob?: string; readonly semver?: string }[];
  readonly keep?: number;
}

export type ReadRefresh =
  | { readonly kind: "none" }
  | { readonly kind: "plan"; readonly plan: RefreshPlan }
  /** A sentence for the condition Accepted: where, why, and what to write instead. */
  | { readonly kind: "problem"; readonly message: string };

const LEAST_MS = 60_000;

function problem(message: string): ReadRefresh {
  return { kind: "problem", message };
}

function rangeOf(text: string): Range | undefined {
  try {
    return new Range(text);
  } catch {
    return undefined;
  }
}

function readSelector(entry: { readonly glob?: string; readonly semver?: string }): TagSelector | undefined {
  if (entry.semver !== undefined) {
    const range = rangeOf(entry.semver);
    return range === undefined ? undefined : { kind: "semver", range };
  }
  if (entry.glob === undefined) return undefined;
  return entry.glob.includes("*") ? { kind: "glob", glob: entry.glob } : { kind: "name", name: entry.glob };
}

/**
 * Reads `spec.refresh` of a CacheRule. Ranges are those of node-semver, as npm writes them (`>=1.20.0 <2.0.0`, `^1.2`, `1.x || 2.x`). CEL
 * holds most of what could be wrong, but not that.
 */
export function readRefresh(spec: { readonly refresh?: RefreshSpec }): ReadRefresh {
  const { refresh } = spec;
  if (refresh === undefined) return { kind: "none" };
  const intervalMs = durationMs(refresh.interval);
  if (intervalMs === undefined || intervalMs < LEAST_MS)
    return problem(`spec.refresh.interval: "${refresh.interval}" is no duration of at least 1m; write e.g. 6h`);
  const selectors: TagSelector[] = [];
  for (const [index, entry] of (refresh.tags ?? []).entries()) {
    const selector = readSelector(entry);
    if (selector === undefined)
      return problem(
        `spec.refresh.tags[${index}].semver: "${entry.semver ?? ""}" is no range of semantic versions; write e.g. ">=1.20.0 <2.0.0"`,
      );
    selectors.push(selector);
  }
  return {
    kind: "plan",
    plan: {
      intervalMs,
      ...(refresh.tags !== undefined && { selectors }),
      ...(refresh.keep !== undefined && { keep: refresh.keep }),
    },
  };
}
