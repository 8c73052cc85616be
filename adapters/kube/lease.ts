import { DomainError } from "../../core/errors.ts";
import { type Clock, systemClock } from "../clock.ts";
import type { Log } from "../telemetry/log.ts";
import { Candidate } from "./candidate.ts";
import type { KubeClient } from "./types.ts";

export interface LeaderOptions {
  readonly client: Pick<KubeClient, "get" | "create" | "replace">;
  readonly namespace: string;
  readonly name: string;
  /** Unique to the process: the Pod's name and something random, so that a restarted container is not taken for its former self. */
  readonly identity: string;
  readonly log: Log;
  /** How long others wait after the last renewal that they saw (default 15 s, whole seconds). */
  readonly leaseDurationMs?: number;
  /** How long after its last renewal a leader gives up (default 10 s); shorter than the lease. */
  readonly renewDeadlineMs?: number;
  /** Between attempts (default 2 s). */
  readonly retryPeriodMs?: number;
  readonly clock?: Clock;
}

/** The lease was lost while leading. The process must end: its work may not have stopped. */
export class LeaseLostError extends DomainError<"LEASE_LOST"> {
  constructor(name: string) {
    super(
      "LEASE_LOST",
      `Lease ${JSON.stringify(name)} was not renewed in time and another replica may lead now; ending this process`,
    );
    this.name = "LeaseLostError";
  }
}

/**
 * Waits until this process holds the lease, then runs `lead` with a signal that aborts when `signal` does or when the lease is lost.
 *
 * Resolves when `signal` aborted (or `lead` ended by itself) and the work has stopped; only then is the lease given back. Rejects with
 * what `lead` threw, or with `LeaseLostError`: the caller ends the process. Expiry follows client-go's tools/leaderelection: it is counted
 * from when a renewal was *seen*, by our own monotonic clock, so the machines' clocks need not agree.
 */
export async function runAsLeader(
  options: LeaderOptions,
  lead: (signal: AbortSignal) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const clock = options.clock ?? systemClock;
  const leaseDurationMs = options.leaseDurationMs ?? 15_000;
  const renewDeadlineMs = options.renewDeadlineMs ?? 10_000;
  const retryPeriodMs = options.retryPeriodMs ?? 2_000;
  const candidate = new Candidate({ ...options, leaseDurationMs, renewDeadlineMs, retryPeriodMs, clock });
  if (!(await candidate.acquire(signal))) return;
  options.log.info("leading", { lease: options.name, identity: options.identity });

  const lost = new AbortController();
  const finished = new AbortController();
  const work = lead(AbortSignal.any([signal, lost.signal]));
  const ended = work.then(
    () => finished.abort(),
    () => finished.abort(),
  );
  // Renewing goes on while the work is stopping: until it has, nobody else may lead.
  if ((await candidate.renew(finished.signal)) === "lost") {
    const error = new LeaseLostError(options.name);
    lost.abort(error);
    await Promise.race([ended, clock.sleep(leaseDurationMs - renewDeadlineMs)]);
    throw error;
  }
  await candidate.release();
  options.log.info("lease released", { lease: options.name });
  await work;
}
