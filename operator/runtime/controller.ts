import { type Clock, systemClock } from "../../adapters/clock.ts";
import { startDeadline } from "../../adapters/deadline.ts";
import type { ObjectKey } from "../../adapters/kube/types.ts";
import type { Log } from "../../adapters/telemetry/log.ts";
import { DomainError, messageOf } from "../../core/errors.ts";
import type { RuntimeMetrics } from "./metrics.ts";
import type { WorkQueue } from "./workqueue.ts";

/** Writes lost in a row to another writer of the same object before that is an error: the informer catches up within a retry or two. */
const RACES = 2;

/** When to look again although nothing changed: after so many milliseconds; never, if absent. */
export interface Result {
  readonly requeueAfterMs?: number;
}

/**
 * Brings the world in line with the object of that key, reading it anew: the key says nothing of what happened, and the object may be
 * gone. It must be safe to repeat. A key is never reconciled twice at once. `signal` aborts at the deadline and when the process ends.
 *
 * What it throws is logged and tried again with back-off, except a `DomainError` with `terminal`: that waits until the object changes.
 * `CONFLICT`, a write that came after somebody else's, is logged as an error only if it goes on.
 */
export type Reconcile = (key: ObjectKey, signal: AbortSignal) => Promise<Result>;

export interface ControllerOptions {
  readonly queue: WorkQueue;
  readonly reconcile: Reconcile;
  readonly log: Log;
  /** Keys reconciled at once (default 2). */
  readonly workers?: number;
  /** Milliseconds for one reconcile (default 2 minutes). */
  readonly deadlineMs?: number;
  readonly metrics?: RuntimeMetrics;
  readonly clock?: Clock;
}

/** Reconciles the queue's keys until `signal` aborts; then shuts the queue down, waits for what is in hand, and resolves. */
export async function runController(options: ControllerOptions, signal: AbortSignal): Promise<void> {
  const { queue } = options;
  const log = options.log.child({ controller: queue.name });
  const onAbort = (): void => queue.shutDown();
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  const worker = async (): Promise<void> => {
    for (let key = await queue.take(); key !== undefined; key = await queue.take()) {
      try {
        await reconcileOnce(key, options, log, signal);
      } finally {
        queue.done(key);
      }
    }
  };
  await Promise.all(Array.from({ length: options.workers ?? 2 }, worker));
  signal.removeEventListener("abort", onAbort);
}

async function reconcileOnce(key: ObjectKey, options: ControllerOptions, log: Log, signal: AbortSignal): Promise<void> {
  const { queue, metrics } = options;
  const clock = options.clock ?? systemClock;
  const controller = queue.name;
  const start = clock.monotonicMs();
  metrics?.busy.inc({ controller });
  using deadline = startDeadline(options.deadlineMs ?? 120_000, signal);
  try {
    const { requeueAfterMs } = await options.reconcile(key, deadline.signal);
    queue.forget(key);
    if (requeueAfterMs !== undefined) queue.addAfter(key, requeueAfterMs);
    metrics?.reconciles.inc({ controller, outcome: "success" });
  } catch (thrown) {
    const outcome = failed(key, thrown, queue, log, signal);
    metrics?.reconciles.inc({ controller, outcome });
  } finally {
    metrics?.busy.dec({ controller });
    metrics?.duration.observe({ controller }, (clock.monotonicMs() - start) / 1000);
  }
}

function failed(
  key: ObjectKey,
  thrown: unknown,
  queue: WorkQueue,
  log: Log,
  signal: AbortSignal,
): "error" | "terminal" {
  const known: DomainError | undefined = thrown instanceof DomainError ? thrown : undefined;
  const code = known?.code ?? "UNEXPECTED";
  const fields = { key, code, error: messageOf(thrown) };
  if (signal.aborted) {
    log.info("reconcile interrupted, the process is ending", fields);
    return "error";
  }
  if (known?.terminal === true) {
    queue.forget(key);
    log.error("reconcile failed, waiting for a change of the object", fields);
    return "terminal";
  }
  const failures = queue.failures(key) + 1;
  const retryInMs = Math.round(queue.retry(key));
  if (code === "CONFLICT" && failures <= RACES) {
    log.info("somebody else wrote first, trying again", { ...fields, failures, retryInMs });
    return "error";
  }
  // A bug needs its stack; a failure of the world does not.
  const stack = known === undefined && thrown instanceof Error ? { stack: thrown.stack } : {};
  log.error("reconcile failed, trying again", { ...fields, failures, retryInMs, ...stack });
  return "error";
}
