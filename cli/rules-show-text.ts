import { printable } from "../core/cache/view.ts";
import { CONDITION } from "../crds/index.ts";
import { fold, labelled, type Width } from "./rules-layout.ts";
import type { RuleDetails } from "./rules-show.ts";
import { ago } from "./rules-text.ts";

interface Place {
  readonly width: Width;
  readonly now: Date;
}

const CACHED_SHOWN = 20;
const ORDER: readonly string[] = [
  CONDITION.Ready,
  CONDITION.Accepted,
  CONDITION.Synced,
  CONDITION.CredentialsHealthy,
  CONDITION.UpstreamReachable,
];

const when = (time: string | undefined, now: Date): string => {
  const past = ago(time, now);
  return past === undefined ? "at an unknown time" : `${past} ago (${time})`;
};

/** Bytes as people say them, such as `23.4 MiB`. */
export function sizeText(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = Math.min(units.length - 1, bytes < 1 ? 0 : Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1024 ** power;
  return `${power === 0 ? value : value.toFixed(1)} ${units[power]}`;
}

function stateText({ row }: RuleDetails, now: Date): string {
  const since = ago(row.since, now);
  const age = since === undefined ? "" : `, since ${since}`;
  switch (row.state) {
    case "ready":
      return `yes${age}`;
    case "degraded":
      return `yes, but ${row.reason}${age}`;
    case "suspended":
    case "notReady":
      return `NO: ${row.reason}${age}`;
  }
}

function registryText({ row, registry }: RuleDetails): string {
  if (registry === undefined) return row.registry;
  const { provider, ready } = registry;
  const state = ready?.status === "True" ? "ready" : `not ready: ${ready?.reason ?? "not looked at yet"}`;
  return `${row.registry} (${provider === undefined ? "" : `${provider}, `}${state})`;
}

function refreshText({ rule }: RuleDetails): string | undefined {
  const { refresh } = rule.spec;
  if (refresh === undefined) return undefined;
  const tags = refresh.tags?.map(({ glob, semver }) => printable(glob ?? semver ?? "")).join(", ");
  const keep = refresh.keep === undefined ? "" : `, the newest ${refresh.keep}`;
  return `every ${refresh.interval}: ${tags ?? "the tags that were pulled before"}${keep}`;
}

function productLines(details: RuleDetails, { width, now }: Place): readonly string[] {
  const { row, rule } = details;
  const { remoteId, drift, adopted } = row;
  const { remoteCreationTime, lastSyncTime } = rule.status ?? {};
  const made = remoteCreationTime === undefined ? "" : `, made ${printable(remoteCreationTime)}`;
  const fields = drift?.fields.includes("*") ? "it was gone" : drift?.fields.join(", ");
  return [
    ...(remoteId === undefined
      ? []
      : labelled("Remote id", `${remoteId}${made}${adopted ? ", there before and taken over" : ""}`, width)),
    ...(lastSyncTime === undefined ? [] : labelled("In sync", `last made so ${when(lastSyncTime, now)}`, width)),
    ...(drift === undefined
      ? []
      : labelled("Drift", `${row.drifted ? "NOW, " : "last "}${when(drift.detected, now)}: ${fields}`, width)),
  ];
}

function rivalLines({ rival, rule }: RuleDetails, { width, now }: Place): readonly string[] {
  const name = rule.status?.conflictsWith;
  if (name === undefined) return [];
  if (rival === undefined) return labelled("Conflict", `CacheRule ${printable(name)} holds the target`, width);
  const { source, target, state, reason, since } = rival;
  const standing = state === "ready" ? "ready" : `${state === "degraded" ? "served" : "not ready"}: ${reason}`;
  const text = `CacheRule ${rival.name} holds the target: ${source} -> ${target} (${standing}, since ${ago(since, now) ?? "an unknown time"})`;
  return labelled("Conflict", text, width);
}

function conditionLines({ conditions, rule, row }: RuleDetails, { width, now }: Place): readonly string[] {
  const rank = (type: string) => (ORDER.indexOf(type) + ORDER.length + 1) % (ORDER.length + 1);
  const sorted = [...conditions].sort((a, b) => rank(a.type) - rank(b.type));
  return [
    "",
    sorted.length === 0 ? "Conditions: none yet" : "Conditions",
    ...sorted.flatMap(({ type, status, reason, message, lastTransitionTime, observedGeneration }) => [
      `  ${type} ${status}: ${reason}, for ${ago(lastTransitionTime, now) ?? "an unknown time"} (${lastTransitionTime})` +
        (observedGeneration === undefined || observedGeneration >= rule.metadata.generation
          ? ""
          : `, of generation ${observedGeneration}, which is not the last`),
      ...fold(message === row.message ? "as above" : message, width, "      "),
    ]),
  ];
}

function cachedLines({ rule }: RuleDetails, { now }: Place, all: boolean): readonly string[] {
  const { cached } = rule.status ?? {};
  if (cached === undefined) return [];
  const { tags = [], refreshed } = cached;
  const total = cached.total ?? tags.length;
  const shown = all ? tags : tags.slice(0, CACHED_SHOWN);
  const left = total - shown.length;
  return [
    "",
    `Cached by refresh: ${total} ${total === 1 ? "tag" : "tags"}, last change ${when(refreshed, now)}`,
    ...shown.map(({ repository, tag, digest, lastPull, bytes }) => {
      const facts = [
        printable(digest.slice(0, 19)),
        ...(bytes === undefined ? [] : [sizeText(bytes)]),
        ...(lastPull === undefined ? [] : [`pulled ${ago(lastPull, now)} ago`]),
      ];
      return `  ${printable(repository)}:${printable(tag)}  ${facts.join(", ")}`;
    }),
    ...(left > 0
      ? [`  and ${left} more${all ? ", which status does not name" : ": --all lists what status names"}`]
      : []),
  ];
}

function eventLines({ events }: RuleDetails, { width, now }: Place): readonly string[] {
  if (events.length === 0) return ["", "Events: none of the last hour"];
  return [
    "",
    "Events",
    ...events.flatMap(({ type, reason, note, count, last }) => [
      `  ${ago(last, now) ?? "?"} ago ${type} ${reason}${count > 1 ? ` (${count} times)` : ""}`,
      ...fold(note, width, "      "),
    ]),
  ];
}

/** Everything about one rule, the state and what to do about it first. */
export function ruleText(details: RuleDetails, place: Place, all = false): string {
  const { row, rule, notes } = details;
  const { width, now } = place;
  const { deletionTimestamp, generation } = rule.metadata;
  const refresh = refreshText(details);
  return [
    `CacheRule ${row.name}`,
    ...labelled("Ready", stateText(details, now), width),
    ...(row.message === "" ? [] : labelled("", row.message, width)),
    ...labelled("Source", row.source, width),
    ...labelled("Target", row.target, width),
    ...labelled("Pull as", row.pull ?? "nothing yet: the rule was not accepted", width),
    ...labelled("Registry", registryText(details), width),
    ...rivalLines(details, place),
    ...productLines(details, place),
    ...(refresh === undefined ? [] : labelled("Refresh", refresh, width)),
    ...(rule.spec.suspend === true ? labelled("Suspended", "spec.suspend is true", width) : []),
    ...(deletionTimestamp === undefined ? [] : labelled("Deleting", `since ${when(deletionTimestamp, now)}`, width)),
    ...labelled("Generation", `${generation}, status speaks of ${rule.status?.observedGeneration ?? "none"}`, width),
    ...notes.flatMap((note) => labelled("Note", note, width)),
    ...conditionLines(details, place),
    ...cachedLines(details, place, all),
    ...eventLines(details, place),
  ].join("\n");
}
