import type { ConnectedKubeClient } from "../adapters/kube/client.ts";
import { isKubeError, type KubeError } from "../adapters/kube/errors.ts";
import type { KubeObject } from "../adapters/kube/types.ts";
import { printable } from "../core/cache/view.ts";
import {
  CACHE_REGISTRIES,
  CACHE_RULES,
  type CacheRegistryObject,
  type CacheRuleObject,
  CONDITION,
  PROVIDERS,
} from "../crds/index.ts";
import { type RuleRow, type RuleState, rowOf } from "./rules-standing.ts";

/** The rules of one registry, counted. */
export interface RegistrySummary {
  readonly name: string;
  /** The provider block of its spec; absent when there is no such CacheRegistry. */
  readonly provider?: string;
  /** What its own condition Ready says when it is not True; `missing` when rules name a registry that is not there. */
  readonly problem?: { readonly reason: string; readonly message: string };
  readonly rules: {
    readonly total: number;
    readonly limit?: number;
    readonly ready: number;
    readonly degraded: number;
    readonly suspended: number;
    /** How many are not ready, by the reason of it, the most frequent first. */
    readonly notReady: Readonly<Record<string, number>>;
    /** Rules whose product differs from what is declared now, and those for which that was found within a day. */
    readonly drifted: number;
    readonly driftedLately: number;
    readonly adopted: number;
  };
}

/** How the rules of a cluster are. */
export interface RulesReport {
  readonly registries: readonly RegistrySummary[];
  /** Not ready first, then degraded, then the rest; within that by registry and name. */
  readonly rules: readonly RuleRow[];
  /** What could not be read. */
  readonly notes: readonly string[];
}

type Reader = Pick<ConnectedKubeClient, "pages">;

const DAY_MS = 86_400_000;
const ORDER: readonly RuleState[] = ["notReady", "degraded", "suspended", "ready"];

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

function byUrgency(a: RuleRow, b: RuleRow): number {
  return ORDER.indexOf(a.state) - ORDER.indexOf(b.state) || compare(a.registry, b.registry) || compare(a.name, b.name);
}

/** Every object of a collection, page by page; from the start, once, when the pages no longer belong together. */
export async function eachOf<T extends KubeObject, U>(
  client: Reader,
  resource: Parameters<Reader["pages"]>[0],
  scope: { readonly fieldSelector?: string },
  reduce: (object: T) => U,
): Promise<U[]> {
  for (let attempt = 1; ; attempt += 1) {
    const found: U[] = [];
    try {
      for await (const { items } of client.pages<T>(resource, scope))
        for (const item of items) found.push(reduce(item));
      return found;
    } catch (thrown) {
      if (attempt > 1 || !isKubeError(thrown, "GONE")) throw thrown;
    }
  }
}

type Header = Pick<RegistrySummary, "name" | "provider" | "problem"> & { readonly limit?: number };

function headerOf({ metadata, spec, status }: CacheRegistryObject): Header {
  const provider = PROVIDERS.find((name) => spec[name] !== undefined);
  const ready = status?.conditions?.find(({ type }) => type === CONDITION.Ready);
  const limit = status?.rules?.limit;
  const problem =
    ready === undefined
      ? {
          reason: "NotSeen",
          message: "the operator has not looked at it yet; if this stays, see whether the operator runs",
        }
      : { reason: printable(ready.reason), message: printable(ready.message) };
  return {
    name: metadata.name,
    ...(provider !== undefined && { provider }),
    ...(ready?.status !== "True" && { problem }),
    ...(limit !== undefined && { limit }),
  };
}

async function headers(client: Reader, registry: string | undefined, notes: string[]): Promise<Map<string, Header>> {
  const scope = registry === undefined ? {} : { fieldSelector: `metadata.name=${registry}` };
  try {
    const found = await eachOf(client, CACHE_REGISTRIES, scope, headerOf);
    return new Map(found.map((header) => [header.name, header]));
  } catch (thrown) {
    if (!isKubeError(thrown, "FORBIDDEN")) throw thrown;
    notes.push(`nothing is known of CacheRegistries: ${printable((thrown as KubeError).message)}`);
    return new Map();
  }
}

function countsOf(rows: readonly RuleRow[], now: Date): Omit<RegistrySummary["rules"], "limit"> {
  const reasons = new Map<string, number>();
  for (const { state, reason } of rows) if (state === "notReady") reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  const count = (test: (row: RuleRow) => boolean) => rows.filter(test).length;
  const since = now.getTime() - DAY_MS;
  return {
    total: rows.length,
    ready: count(({ state }) => state === "ready" || state === "degraded"),
    degraded: count(({ state }) => state === "degraded"),
    suspended: count(({ state }) => state === "suspended"),
    notReady: Object.fromEntries([...reasons].sort((a, b) => b[1] - a[1] || compare(a[0], b[0]))),
    drifted: count(({ drifted }) => drifted),
    driftedLately: count(({ drift }) => Date.parse(drift?.detected ?? "") >= since),
    adopted: count(({ adopted }) => adopted),
  };
}

const MISSING = { reason: "RegistryNotFound", message: "rules name it, and there is no such CacheRegistry" };

function summaries(
  rows: readonly RuleRow[],
  known: ReadonlyMap<string, Header>,
  couldRead: boolean,
  now: Date,
): readonly RegistrySummary[] {
  const byRegistry = Map.groupBy(rows, ({ registry }) => registry);
  const names = [...new Set([...known.keys(), ...byRegistry.keys()])].sort(compare);
  return names.map((name) => {
    const { limit, ...header } = known.get(name) ?? { name, ...(couldRead && { problem: MISSING }) };
    const counts = countsOf(byRegistry.get(name) ?? [], now);
    return { ...header, rules: { ...counts, ...(limit !== undefined && { limit }) } };
  });
}

/**
 * Reads the rules (of one registry, if told), page by page; a row is kept of each and not the object. Throws `KubeError`; without a
 * right to read CacheRegistries it says so and goes on.
 */
export async function listRules(client: Reader, registry: string | undefined, now: Date): Promise<RulesReport> {
  const notes: string[] = [];
  const scope = registry === undefined ? {} : { fieldSelector: `spec.registryRef.name=${registry}` };
  const known = await headers(client, registry, notes);
  const rows = await eachOf<CacheRuleObject, RuleRow>(client, CACHE_RULES, scope, rowOf);
  if (registry !== undefined && notes.length === 0 && !known.has(registry) && rows.length === 0)
    throw new Error(`there is no CacheRegistry "${printable(registry)}", and no rule names it`);
  return { registries: summaries(rows, known, notes.length === 0, now), rules: rows.sort(byUrgency), notes };
}
