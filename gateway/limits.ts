import { LRUCache } from "lru-cache";
import type { Clock } from "../adapters/clock.ts";
import { TokenBucket } from "../adapters/tokenbucket.ts";
import { type Refusal, tooMany } from "../core/gateway/access-errors.ts";
import { clientKey } from "../core/gateway/client-address.ts";
import type { AccessPolicy } from "../core/gateway/policy.ts";

/** A request that may go on: `leave` must be called once, when it is over. */
export type Entry = { readonly leave: () => void } | { readonly refusal: Refusal };

const BURST_SECONDS = 10;
/** Addresses whose rate is remembered; who is forgotten begins anew. */
const REMEMBERED = 16_384;
const UNLIMITED: Entry = { leave: () => undefined };

/** Holds each client, by its address, to `spec.inCluster.limits`. The limits of the moment hold, without a restart. */
export class ClientLimits {
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #active = new Map<string, number>(); // as many as there are requests being served
  #buckets = new LRUCache<string, TokenBucket>({ max: REMEMBERED });
  #rate: number | undefined;

  constructor(clock: Pick<Clock, "monotonicMs">) {
    this.#clock = clock;
  }

  /** Counts a request of `address` in, or says why not. */
  enter(address: string | undefined, policy: Pick<AccessPolicy, "registry" | "limits">): Entry {
    const { requestsPerSecond, concurrentRequests } = policy.limits;
    if (requestsPerSecond === undefined && concurrentRequests === undefined) return UNLIMITED;
    const client = clientKey(address);
    const active = this.#active.get(client) ?? 0;
    if (concurrentRequests !== undefined && active >= concurrentRequests)
      return { refusal: tooMany(policy.registry, "concurrentRequests") };
    if (requestsPerSecond !== undefined && !this.#bucket(client, requestsPerSecond).take())
      return { refusal: tooMany(policy.registry, "requestsPerSecond") };
    this.#active.set(client, active + 1);
    return { leave: () => this.#leave(client) };
  }

  #bucket(client: string, rate: number): TokenBucket {
    if (rate !== this.#rate) {
      this.#rate = rate;
      this.#buckets.clear();
    }
    const known = this.#buckets.get(client);
    if (known !== undefined) return known;
    const bucket = new TokenBucket(rate * BURST_SECONDS, 1000 / rate, this.#clock);
    this.#buckets.set(client, bucket);
    return bucket;
  }

  #leave(client: string): void {
    const active = (this.#active.get(client) ?? 1) - 1;
    if (active > 0) this.#active.set(client, active);
    else this.#active.delete(client);
  }
}
