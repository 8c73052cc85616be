import { messageOf } from "../../core/errors.ts";
import type { Clock } from "../clock.ts";
import { startDeadline } from "../deadline.ts";
import type { Log } from "../telemetry/log.ts";
import { isKubeError } from "./errors.ts";
import { Resources } from "./resources.ts";
import { microTime } from "./time.ts";
import type { KubeClient, KubeObject } from "./types.ts";

/** coordination.k8s.io/v1 LeaseSpec; a Lease that nobody holds has no holderIdentity. */
interface LeaseSpec {
  readonly holderIdentity?: string;
  readonly leaseDurationSeconds?: number;
  readonly acquireTime?: string;
  readonly renewTime?: string;
  readonly leaseTransitions?: number;
}

interface Lease extends KubeObject {
  readonly spec?: LeaseSpec;
}

export interface CandidateOptions {
  readonly client: Pick<KubeClient, "get" | "create" | "replace">;
  readonly namespace: string;
  readonly name: string;
  readonly identity: string;
  readonly leaseDurationMs: number;
  readonly renewDeadlineMs: number;
  readonly retryPeriodMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

type Attempt = "held" | "taken" | "failed";

/** One contender for a Lease, with the rules of client-go's tools/leaderelection. */
export class Candidate {
  readonly #options: CandidateOptions;
  #seen: { readonly spec: string; readonly atMs: number } | undefined;
  #heldSinceMs = 0; // start of the last attempt that succeeded

  constructor(options: CandidateOptions) {
    this.#options = options;
  }

  /** Tries until it holds the lease (true) or `signal` aborts (false). */
  async acquire(signal: AbortSignal): Promise<boolean> {
    const { clock, retryPeriodMs, renewDeadlineMs } = this.#options;
    while (!signal.aborted) {
      if ((await this.#attempt(renewDeadlineMs, signal)) === "held") return true;
      await clock.sleep(retryPeriodMs * (1 + 0.2 * Math.random()), signal);
    }
    return false;
  }

  /** Renews until `signal` aborts (resolves to "stopped") or the lease is another's or could not be renewed in time ("lost"). */
  async renew(signal: AbortSignal): Promise<"stopped" | "lost"> {
    const { clock, retryPeriodMs, renewDeadlineMs } = this.#options;
    for (;;) {
      const left = this.#heldSinceMs + renewDeadlineMs - clock.monotonicMs();
      await clock.sleep(Math.min(retryPeriodMs, Math.max(0, left)), signal);
      if (signal.aborted) return "stopped";
      const remaining = this.#heldSinceMs + renewDeadlineMs - clock.monotonicMs();
      if (remaining <= 0 || (await this.#attempt(remaining)) === "taken") return "lost";
    }
  }

  /** Gives the lease back, so that the next one need not wait; best effort. */
  async release(): Promise<void> {
    const { client, namespace, name, identity, retryPeriodMs, log } = this.#options;
    using deadline = startDeadline(retryPeriodMs);
    const options = { signal: deadline.signal };
    try {
      const lease = await client.get<Lease>(Resources.leases, name, { namespace, ...options });
      if (lease.spec?.holderIdentity !== identity) return;
      const now = microTime(this.#options.clock.now());
      const spec: LeaseSpec = {
        leaseDurationSeconds: 1,
        acquireTime: now,
        renewTime: now,
        leaseTransitions: lease.spec.leaseTransitions ?? 0,
      };
      await client.replace<Lease>(Resources.leases, { ...lease, spec }, options);
    } catch (thrown) {
      log.warn("lease could not be released, it will expire", { lease: name, error: messageOf(thrown) });
    }
  }

  async #attempt(timeMs: number, signal?: AbortSignal): Promise<Attempt> {
    using deadline = startDeadline(timeMs, signal);
    const start = this.#options.clock.monotonicMs();
    try {
      const held = await this.#acquireOrRenew(deadline.signal);
      if (held) this.#heldSinceMs = start;
      return held ? "held" : "taken";
    } catch (thrown) {
      if (signal?.aborted !== true && !isKubeError(thrown, "CONFLICT", "ALREADY_EXISTS")) {
        this.#options.log.warn("lease attempt failed", { lease: this.#options.name, error: messageOf(thrown) });
      }
      return "failed";
    }
  }

  async #acquireOrRenew(signal: AbortSignal): Promise<boolean> {
    const { client, namespace, name, identity, clock } = this.#options;
    const lease = await this.#read(signal);
    if (lease === undefined) {
      const metadata = { name, namespace };
      const first: Lease = {
        apiVersion: "coordination.k8s.io/v1",
        kind: "Lease",
        metadata,
        spec: this.#spec(undefined),
      };
      await client.create(Resources.leases, first, { signal });
      return true;
    }
    const holder = lease.spec?.holderIdentity ?? "";
    const spec = JSON.stringify(lease.spec);
    if (spec !== this.#seen?.spec) this.#seen = { spec, atMs: clock.monotonicMs() };
    if (holder !== "" && holder !== identity && clock.monotonicMs() < this.#expiry(lease)) return false;
    await client.replace<Lease>(Resources.leases, { ...lease, spec: this.#spec(lease.spec) }, { signal });
    return true;
  }

  async #read(signal: AbortSignal): Promise<Lease | undefined> {
    const { client, namespace, name } = this.#options;
    try {
      return await client.get<Lease>(Resources.leases, name, { namespace, signal });
    } catch (thrown) {
      if (isKubeError(thrown, "NOT_FOUND")) return undefined;
      throw thrown;
    }
  }

  // By our own clock, from when we saw the last change: the holder's renewTime may be of a clock that is wrong.
  #expiry(lease: Lease): number {
    const seconds = lease.spec?.leaseDurationSeconds;
    return (this.#seen?.atMs ?? 0) + (seconds === undefined ? this.#options.leaseDurationMs : seconds * 1000);
  }

  #spec(before: LeaseSpec | undefined): LeaseSpec {
    const now = microTime(this.#options.clock.now());
    const mine = before?.holderIdentity === this.#options.identity;
    return {
      holderIdentity: this.#options.identity,
      leaseDurationSeconds: Math.ceil(this.#options.leaseDurationMs / 1000),
      acquireTime: mine ? (before.acquireTime ?? now) : now,
      renewTime: now,
      leaseTransitions: before === undefined ? 0 : (before.leaseTransitions ?? 0) + (mine ? 0 : 1),
    };
  }
}
