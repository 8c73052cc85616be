import type { ConnectedKubeClient } from "../adapters/kube/client.ts";
import { isKubeError, type KubeError } from "../adapters/kube/errors.ts";
import { Resources } from "../adapters/kube/resources.ts";
import type { KubeObject } from "../adapters/kube/types.ts";
import { printable } from "../core/cache/view.ts";
import {
  CACHE_REGISTRIES,
  CACHE_RULES,
  type CacheRegistryObject,
  type CacheRuleObject,
  CONDITION,
  type Condition,
} from "../crds/index.ts";
import { type RuleRow, rowOf } from "./rules-standing.ts";

type Reader = Pick<ConnectedKubeClient, "get" | "pages">;

/** Something that happened to the rule. */
export interface RuleEvent {
  readonly type: string;
  readonly reason: string;
  readonly note: string;
  readonly count: number;
  /** RFC 3339; of the last time. */
  readonly last?: string;
}

/** Everything about one rule. */
export interface RuleDetails {
  readonly row: RuleRow;
  readonly rule: CacheRuleObject;
  readonly conditions: readonly Condition[];
  /** The registry that it names; `undefined` when it is not there or may not be read (see `notes`). */
  readonly registry?: { readonly provider?: string; readonly ready?: Condition };
  /** The rule that holds its target. */
  readonly rival?: RuleRow;
  /** The last ones, the newest first. */
  readonly events: readonly RuleEvent[];
  readonly notes: readonly string[];
}

interface EventObject extends KubeObject {
  readonly type?: string;
  readonly reason?: string;
  readonly note?: string;
  readonly eventTime?: string | null;
  readonly deprecatedLastTimestamp?: string | null;
  readonly deprecatedCount?: number;
  readonly series?: { readonly count?: number; readonly lastObservedTime?: string };
}

const EVENTS_READ = 1_000;
const EVENTS_SHOWN = 10;

function eventOf({ type = "", reason = "", note = "", ...event }: EventObject): RuleEvent {
  const last = event.series?.lastObservedTime ?? event.eventTime ?? event.deprecatedLastTimestamp ?? undefined;
  return {
    type: printable(type),
    reason: printable(reason),
    note: printable(note),
    count: event.series?.count ?? event.deprecatedCount ?? 1,
    ...(last !== undefined && { last }),
  };
}

async function eventsOf(client: Reader, { metadata: { name, uid } }: CacheRuleObject): Promise<readonly RuleEvent[]> {
  // Events about objects that are in no namespace are in "default".
  const fieldSelector = `regarding.kind=${CACHE_RULES.kind},regarding.name=${name},regarding.uid=${uid}`;
  const found: RuleEvent[] = [];
  for await (const { items } of client.pages<EventObject>(Resources.events, { namespace: "default", fieldSelector })) {
    found.push(...items.map(eventOf));
    if (found.length >= EVENTS_READ) break;
  }
  return found.sort((a, b) => Date.parse(b.last ?? "") - Date.parse(a.last ?? "")).slice(0, EVENTS_SHOWN);
}

/** What may not be read, or is not there, becomes a note. */
async function ifThere<T>(what: string, read: Promise<T>, notes: string[]): Promise<T | undefined> {
  try {
    return await read;
  } catch (thrown) {
    if (!isKubeError(thrown, "FORBIDDEN", "NOT_FOUND")) throw thrown;
    notes.push(`${what}: ${printable((thrown as KubeError).message)}`);
    return undefined;
  }
}

function providerIn(registry: CacheRegistryObject): Pick<NonNullable<RuleDetails["registry"]>, "provider" | "ready"> {
  const ready = registry.status?.conditions?.find(({ type }) => type === CONDITION.Ready);
  const provider = registry.status?.provider;
  return { ...(provider !== undefined && { provider }), ...(ready && { ready: clean(ready) }) };
}

const clean = (condition: Condition): Condition => ({
  ...condition,
  reason: printable(condition.reason),
  message: printable(condition.message),
});

/** Reads everything about a rule. Throws `KubeError`, NOT_FOUND when there is no such rule. */
export async function showRule(client: Reader, name: string): Promise<RuleDetails> {
  const rule = await client.get<CacheRuleObject & KubeObject>(CACHE_RULES, name);
  const notes: string[] = [];
  const { conflictsWith } = rule.status ?? {};
  const registryName = rule.spec.registryRef.name;
  const [registry, rival, events] = await Promise.all([
    ifThere("its CacheRegistry", client.get<CacheRegistryObject & KubeObject>(CACHE_REGISTRIES, registryName), notes),
    conflictsWith === undefined
      ? undefined
      : ifThere("its rival", client.get<CacheRuleObject & KubeObject>(CACHE_RULES, conflictsWith), notes),
    ifThere("its Events", eventsOf(client, rule), notes),
  ]);
  return {
    row: rowOf(rule),
    rule,
    conditions: (rule.status?.conditions ?? []).map(clean),
    ...(registry && { registry: providerIn(registry) }),
    ...(rival && { rival: rowOf(rival) }),
    events: events ?? [],
    notes,
  };
}
