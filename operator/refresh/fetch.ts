import type { Clock } from "../../adapters/clock.ts";
import { startDeadline } from "../../adapters/deadline.ts";
import { isRegistryError } from "../../adapters/registry/errors.ts";
import { timestamp } from "../../core/conditions.ts";
import { type HeldTag, keyOf, pullReason } from "../../core/refresh/held.ts";
import { inParallel } from "../parallel.ts";
import { inCache, type Scene, type Sight } from "./look.ts";
import type { RefreshMetrics } from "./metrics.ts";
import type { Fetched } from "./notes.ts";
import { pullImage } from "./pull.ts";

/** The bounds of one pass. */
export interface FetchLimits {
  /** Tags pulled; the rest follow in the next pass, which is due at once. */
  readonly pulls: number;
  /** After so long no pull is begun any more. */
  readonly passMs: number;
  /** For one image. */
  readonly pullMs: number;
}

export const FETCH_LIMITS: FetchLimits = { pulls: 50, passMs: 300_000, pullMs: 1_800_000 };

/** What came of a pass. */
export interface Haul {
  readonly fetched: readonly Fetched[];
  readonly failures: readonly unknown[];
  /** There is more to fetch than a pass may. */
  readonly more: boolean;
}

export interface FetchTools {
  readonly clock: Clock;
  readonly metrics: Pick<RefreshMetrics, "pulls" | "bytes">;
  readonly limits: FetchLimits;
}

const WIDTH = 2;

/**
 * Pulls through the cache what is wanted and not held, two at a time, and enters it into `held`. By the tag, as a node would; where the
 * cache then names another digest than the upstream (some ask it once a day), by the digest too, so that the content is there.
 */
export async function fetchAhead(
  scene: Scene,
  { wanted }: Sight,
  held: Map<string, HeldTag>,
  keptMs: number,
  { clock, metrics, limits }: FetchTools,
  signal: AbortSignal,
): Promise<Haul> {
  const due = wanted.flatMap((one) => {
    const reason = pullReason(one, held.get(keyOf(one)), keptMs, clock.now());
    return reason === undefined ? [] : [{ ...one, reason }];
  });
  const fetched: Fetched[] = [];
  const failures: unknown[] = [];
  const seen = new Set<string>();
  const stopAtMs = clock.monotonicMs() + limits.passMs;
  let begun = 0;
  let throttled = false;
  await inParallel(due.slice(0, limits.pulls), WIDTH, async (one) => {
    if (throttled || clock.monotonicMs() >= stopAtMs) return;
    begun += 1;
    const { puller } = scene.cache;
    const source = scene.cache.source(inCache(scene, one.repository));
    using deadline = startDeadline(limits.pullMs, signal);
    const pulledAt = timestamp(clock.now()); // what came first expires first
    try {
      let pulled = await pullImage(puller, source, one.tag, seen, deadline.signal);
      metrics.bytes.inc(pulled.readBytes);
      if (pulled.digest !== one.digest) {
        pulled = await pullImage(puller, source, one.digest, seen, deadline.signal);
        metrics.bytes.inc(pulled.readBytes);
      }
      const { repository, tag, digest, reason } = one;
      held.set(keyOf(one), { repository, tag, digest, lastPull: pulledAt, bytes: pulled.bytes });
      metrics.pulls.inc({ reason });
      fetched.push(one);
    } catch (thrown) {
      signal.throwIfAborted();
      failures.push(thrown);
      throttled ||= isRegistryError(thrown, "REGISTRY_THROTTLED");
    }
  });
  return { fetched, failures, more: due.length > begun };
}
