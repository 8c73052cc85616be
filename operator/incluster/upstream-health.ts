import type { Clock } from "../../adapters/clock.ts";
import type { Upstream } from "../../core/cacheregistry/types.ts";
import { hashKey } from "../../core/hashkey.ts";
import type { UpstreamHealth } from "./upstream-probe.ts";

export interface UpstreamHealthOptions {
  readonly probe: (upstream: Upstream, signal: AbortSignal) => Promise<UpstreamHealth>;
  /** How long an answer is taken for the truth before it is asked for again. */
  readonly healthyMs: number;
  readonly unhealthyMs: number;
  readonly clock: Clock;
  /** Ends probes in flight: they belong to no single caller. */
  readonly signal: AbortSignal;
  /** Called when a later answer differs from the one that was given out. */
  readonly onChange: (upstream: Upstream) => void;
}

interface Memo {
  /** The answer to give out: of the first probe, or of the last one that ended. */
  answer: Promise<UpstreamHealth>;
  /** By the monotonic clock; undefined while a probe runs. */
  until: number | undefined;
}

const REMEMBERED = 10_000;

function identity(upstream: Upstream): string {
  const { host, plainHTTP, caBundle, credentials } = upstream;
  return hashKey([host, plainHTTP, caBundle, credentials?.username, credentials?.password]);
}

/**
 * The health of upstreams, asked once for everyone who wants to know: by all rules of a host, and by their registry. Only the first
 * question waits for an upstream; later ones get the last answer, and a difference is told. So one upstream that swallows packets
 * holds nobody else up.
 */
export class UpstreamHealthCache {
  readonly #options: UpstreamHealthOptions;
  readonly #memos = new Map<string, Memo>();

  constructor(options: UpstreamHealthOptions) {
    this.#options = options;
  }

  /** The health of an upstream as last known. */
  check(upstream: Upstream): Promise<UpstreamHealth> {
    const key = identity(upstream);
    const known = this.#memos.get(key);
    if (known === undefined) {
      if (this.#memos.size >= REMEMBERED) this.#memos.clear();
      const memo: Memo = { answer: this.#probe(upstream), until: undefined };
      this.#memos.set(key, memo);
      this.#settle(memo, memo.answer);
      return memo.answer;
    }
    if (known.until !== undefined && this.#options.clock.monotonicMs() >= known.until) this.#refresh(known, upstream);
    return known.answer;
  }

  #probe(upstream: Upstream): Promise<UpstreamHealth> {
    return this.#options.probe(upstream, this.#options.signal);
  }

  #settle(memo: Memo, probe: Promise<UpstreamHealth>): void {
    const { clock, healthyMs, unhealthyMs } = this.#options;
    const settle = (intervalMs: number) => {
      memo.until = clock.monotonicMs() + intervalMs;
    };
    probe.then(
      ({ kind }) => settle(kind === "reachable" ? healthyMs : unhealthyMs),
      () => settle(0),
    );
  }

  #refresh(memo: Memo, upstream: Upstream): void {
    memo.until = undefined;
    const probe = this.#probe(upstream);
    this.#settle(memo, probe);
    Promise.all([memo.answer, probe]).then(
      ([before, after]) => {
        memo.answer = probe;
        if (JSON.stringify(before) !== JSON.stringify(after)) this.#options.onChange(upstream);
      },
      () => undefined, // a probe never rejects; if one does, the next question asks again
    );
  }
}
