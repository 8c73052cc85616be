import { isRegistryError } from "../../adapters/registry/errors.ts";
import { messageOf } from "../../core/errors.ts";
import type { PullReason, WantedTag } from "../../core/refresh/held.ts";
import type { CacheRuleObject } from "../../crds/index.ts";
import type { Events } from "../events.ts";

/** Reasons of the Events here. */
const EVENT = {
  FetchedAhead: "FetchedAhead",
  RefreshFailing: "RefreshFailing",
  RefreshLimited: "RefreshLimited",
} as const;

/** A tag that was pulled, and why. */
export interface Fetched extends WantedTag {
  readonly reason: PullReason;
}

const NAMED = 10; // Events of one pass that name a tag; the rest share one
const SAID: Readonly<Record<Exclude<PullReason, "expired">, string>> = {
  new: "was fetched ahead",
  moved: "names another image upstream, which was fetched ahead",
};

/** Notes what was fetched ahead. What had only expired in the cache is no news. */
export function noteFetched(events: Events, rule: CacheRuleObject, fetched: readonly Fetched[]): void {
  const note = (text: string): void =>
    events.record({ regarding: rule, type: "Normal", reason: EVENT.FetchedAhead, action: "Refresh", note: text });
  const news = fetched.flatMap(({ reason, ...one }) => (reason === "expired" ? [] : [{ ...one, reason }]));
  for (const { repository, tag, digest, reason } of news.slice(0, NAMED))
    note(`${repository}:${tag} ${SAID[reason]}: ${digest}`);
  if (news.length > NAMED) note(`${news.length - NAMED} more tags were fetched ahead; status.cached lists the newest`);
}

/** Why refreshing failed, in words for the rule's owner; a registry's own words are those for whoever runs a Pod. */
export function failureText(thrown: unknown): string {
  if (!isRegistryError(thrown, "REGISTRY_UNAUTHORIZED", "REGISTRY_FORBIDDEN")) return messageOf(thrown);
  const where = thrown.message.slice(0, thrown.message.indexOf(": "));
  return `${where}: the registry does not let the operator pull (${thrown.code}); check spec.pullSecretRef of the CacheRegistry and the credentials of its upstream`;
}

/** Says that refreshing fails, once it has failed twice in a row: one failure is no news. */
export function noteFailing(events: Events, rule: CacheRuleObject, failures: number, why: string): void {
  if (failures < 2) return;
  const note = `refreshing fails, what is cached stays: ${why}`;
  events.record({ regarding: rule, type: "Warning", reason: EVENT.RefreshFailing, action: "Refresh", note });
}

/** Says what is left out of refreshing. */
export function noteLimited(events: Events, rule: CacheRuleObject, notice: string): void {
  events.record({ regarding: rule, type: "Warning", reason: EVENT.RefreshLimited, action: "Refresh", note: notice });
}
