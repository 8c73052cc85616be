import type { Clock } from "../adapters/clock.ts";
import type { Check } from "../adapters/http/status.ts";
import type { Log } from "../adapters/telemetry/log.ts";

export interface WaitingOptions {
  /** What must hold, by name (adapters/http/status.ts). */
  readonly checks: ReadonlyMap<string, Check>;
  readonly clock: Pick<Clock, "sleep">;
  readonly log: Log;
  readonly signal: AbortSignal;
}

const EVERY_MS = 1_000;
/** What starts as it should is ready before, and says nothing of what it waited for. */
const PATIENCE_MS = 5_000;

/** Logs each thing that a gateway waits for, once for each reason, until it has been ready or `signal` aborts. Never rejects. */
export async function tellWaiting({ checks, clock, log, signal }: WaitingOptions): Promise<void> {
  const told = new Set<string>();
  for (let waitedMs = 0; !signal.aborted; waitedMs += EVERY_MS) {
    const missing = [...checks].flatMap(([check, run]) => {
      const reason = run();
      return reason === undefined ? [] : [{ check, reason }];
    });
    if (missing.length === 0) {
      log.info("gateway ready");
      return;
    }
    for (const { check, reason } of missing) {
      if (waitedMs < PATIENCE_MS || told.has(reason)) continue;
      told.add(reason);
      log.warn("gateway not ready, waiting", { check, reason });
    }
    await clock.sleep(EVERY_MS, signal);
  }
}
