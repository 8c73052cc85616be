import type { Log } from "../adapters/telemetry/log.ts";
import { buildRoutes, type RouteTable } from "../core/cacherule/routes.ts";
import type { CacheRuleView } from "../core/cacherule/servable.ts";
import type { GatewayMetrics } from "./metrics.ts";

/** Where the rules come from: an informer, or a test. */
export interface RuleSource {
  /** Whether `list` is the whole truth. */
  readonly hasSynced: boolean;
  list(): readonly CacheRuleView[];
  /** Calls `handler` after changes; returns what ends it. */
  subscribe(handler: () => void): () => void;
}

export interface RulesOptions {
  readonly source: RuleSource;
  readonly registry: string;
  readonly metrics: GatewayMetrics;
  readonly log: Log;
  /** Calls back soon, after the changes that come together (default: 50 ms, so that a storm of them costs little). */
  readonly soon?: (build: () => void) => void;
}

const MOMENT_MS = 50;

function inAMoment(build: () => void): void {
  setTimeout(build, MOMENT_MS).unref();
}

/**
 * The table that the gateway serves, built anew after changes and swapped whole; many changes at once cost one building. It outlives
 * the API server: what was last known is served until something newer is known.
 */
export class Rules {
  readonly #options: RulesOptions;
  #table: RouteTable | undefined;
  #scheduled = false;

  constructor(options: RulesOptions) {
    this.#options = options;
    options.source.subscribe(() => this.#schedule());
  }

  /** The table of this moment; undefined until the rules are known for the first time. */
  get table(): RouteTable | undefined {
    if (this.#table === undefined && this.#options.source.hasSynced) this.#build();
    return this.#table;
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    (this.#options.soon ?? inAMoment)(() => {
      this.#scheduled = false;
      if (this.#options.source.hasSynced) this.#build();
    });
  }

  #build(): void {
    const { source, registry, metrics, log } = this.#options;
    const table = buildRoutes(source.list(), registry, this.#table);
    const served = new Set(table.routes.map((route) => route.rule));
    for (const { rule } of this.#table?.routes ?? []) if (!served.has(rule)) metrics.forget(rule);
    const changed = this.#table === undefined || !serveTheSame(this.#table, table);
    this.#table = table;
    metrics.rules.set(table.routes.length);
    metrics.refusedRules.set(table.refused.length);
    if (!changed) return;
    log.info("rules loaded", { rules: table.routes.length, refused: table.refused.length });
    for (const refused of table.refused) log.warn("accepted rule not served", { ...refused });
  }
}

/** Status writes change rules without changing what is served: they are not worth a line in the log. */
function serveTheSame(a: RouteTable, b: RouteTable): boolean {
  const routes = a.routes.every(({ uid, generation }, index) => {
    const other = b.routes[index];
    return other?.uid === uid && other.generation === generation;
  });
  const refused = a.refused.every(({ rule }, index) => b.refused[index]?.rule === rule);
  return routes && refused && a.routes.length === b.routes.length && a.refused.length === b.refused.length;
}
