import { messageOf } from "../../core/errors.ts";
import type { Digest } from "../../core/image/reference.ts";
import { isRegistryError } from "../registry/errors.ts";
import type { Source } from "../registry/requests.ts";
import { type Evidence, type EvidenceKind, NOTHING } from "./candidate.ts";
import type { Reads } from "./reads.ts";

/** Where to look, for which image. */
export interface Place {
  readonly source: Source;
  readonly digest: Digest;
  readonly tagPrefix?: string;
}

/** One search through what a registry holds for an image. */
export interface Search {
  readonly kind: EvidenceKind;
  readonly place: Place;
  readonly reads: Reads;
  readonly budget: Budget;
  readonly signal: AbortSignal;
}

const AT_ONCE = 4;

/** How many bytes one search may still read of large things. */
export class Budget {
  #left: number;

  constructor(bytes: number) {
    this.#left = bytes;
  }

  /** Whether there was room for `bytes`, which are then taken. */
  take(bytes: number): boolean {
    if (bytes > this.#left) return false;
    this.#left -= bytes;
    return true;
  }
}

/** Runs `work` over `items`, four at a time, keeping the order. */
export async function inBatches<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<readonly R[]> {
  const results: R[] = [];
  for (let at = 0; at < items.length; at += AT_ONCE) {
    results.push(...(await Promise.all(items.slice(at, at + AT_ONCE).map(work))));
  }
  return results;
}

/** Everything of several parts, in their order. */
export function merge(parts: readonly Evidence[]): Evidence {
  return {
    candidates: parts.flatMap(({ candidates }) => candidates),
    refusals: parts.flatMap(({ refusals }) => refusals),
    gaps: parts.flatMap(({ gaps }) => gaps),
  };
}

/** Something could not be read. */
export function gap(...gaps: readonly string[]): Evidence {
  return { ...NOTHING, gaps };
}

/** What `place` is called in messages. */
export function nameOf({ source: { registry, repository } }: Place): string {
  return `${registry}/${repository}`;
}

/** One part that cannot be read leaves a gap; a caller that gave up ends the whole. */
export async function orGap(signal: AbortSignal, read: () => Promise<Evidence>): Promise<Evidence> {
  try {
    return await read();
  } catch (thrown) {
    signal.throwIfAborted();
    if (isRegistryError(thrown)) return gap(messageOf(thrown));
    throw thrown;
  }
}

/** The newest `limit` of a list, and a gap for the rest. Signatures are appended, so the newest are the last. */
export function last<T>(
  items: readonly T[],
  limit: number,
  what: string,
): { readonly kept: readonly T[]; readonly gaps: readonly string[] } {
  const gaps = items.length > limit ? [`only ${limit} of ${items.length} ${what} were examined; remove old ones`] : [];
  return { kept: items.slice(-limit), gaps };
}
