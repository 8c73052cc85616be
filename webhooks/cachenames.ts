import type { Clock } from "../adapters/clock.ts";
import { Informer } from "../adapters/kube/informer.ts";
import type { KubeMetrics } from "../adapters/kube/metrics.ts";
import type { KubeClient, KubeObject } from "../adapters/kube/types.ts";
import type { Log } from "../adapters/telemetry/log.ts";
import { buildNames } from "../core/cachenames/names.ts";
import type { CacheNames } from "../core/cachenames/types.ts";
import { messageOf } from "../core/errors.ts";
import { CACHE_REGISTRIES, CACHE_RULES, type CacheRegistryObject, type CacheRuleObject } from "../crds/index.ts";

export interface CacheNamesOptions {
  readonly client: KubeClient;
  readonly metrics: KubeMetrics;
  readonly log: Log;
  readonly clock: Pick<Clock, "monotonicMs" | "after">;
  /** Called when there is another index than before. */
  readonly onChange: () => void;
}

/** Between a change and the new index: the operator writes the status of thousands of rules one by one. */
const MOMENT_MS = 50;
/** How many times as long as a build took there is none: admissions wait for it, and with ten thousand rules it takes some 60 ms. */
const REST = 4;

/** The names that CacheRules make equal, kept true by informers: built anew a moment after changes, and swapped whole. */
export class LiveCacheNames {
  readonly #rules: Informer<KubeObject & CacheRuleObject>;
  readonly #registries: Informer<KubeObject & CacheRegistryObject>;
  readonly #clock: CacheNamesOptions["clock"];
  readonly #log: Log;
  readonly #onChange: () => void;
  #restUntil = 0;
  #names: CacheNames | undefined;
  #scheduled = false;

  constructor({ client, metrics, log, clock, onChange }: CacheNamesOptions) {
    const common = { client, metrics, log };
    this.#clock = clock;
    this.#log = log;
    this.#onChange = onChange;
    this.#rules = new Informer({ ...common, resource: CACHE_RULES });
    this.#registries = new Informer({ ...common, resource: CACHE_REGISTRIES });
  }

  /** Keeps the index true until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const informers = [this.#rules, this.#registries];
    for (const informer of informers) {
      informer.subscribe(() => this.#schedule());
      informer.synced.then(
        () => this.#build(),
        () => undefined, // it rejects only at the end
      );
    }
    await Promise.all(informers.map((informer) => informer.run(signal)));
  }

  /** The index of this moment; undefined until all rules and registries were listed once. */
  current(): CacheNames | undefined {
    return this.#names;
  }

  /** A CacheRegistry by name. */
  registry(name: string): CacheRegistryObject | undefined {
    return this.#registries.get(name);
  }

  #schedule(): void {
    if (this.#scheduled || this.#names === undefined) return;
    this.#scheduled = true;
    const rest = this.#restUntil - this.#clock.monotonicMs();
    this.#clock.after(Math.max(MOMENT_MS, rest), () => this.#build());
  }

  #build(): void {
    this.#scheduled = false;
    if (!this.#rules.hasSynced || !this.#registries.hasSynced) return;
    const began = this.#clock.monotonicMs();
    try {
      this.#names = buildNames(this.#rules.list(), this.#registries.list(), this.#names);
      this.#onChange();
    } catch (thrown) {
      this.#log.error("names in caches not read anew: the last ones hold", { error: messageOf(thrown) });
    }
    const ended = this.#clock.monotonicMs();
    this.#restUntil = ended + REST * (ended - began);
  }
}
