import { span } from "../core/cache/view.ts";
import { firstOf, fold, labelled, table, type Width } from "./rules-layout.ts";
import type { RegistrySummary, RulesReport } from "./rules-list.ts";
import type { RuleRow } from "./rules-standing.ts";

/** How a report is printed. */
export interface TextOptions {
  readonly width: Width;
  readonly now: Date;
  readonly wide: boolean;
  /** Leave none out. */
  readonly all: boolean;
  /** Only what is not ready. */
  readonly notReady: boolean;
}

/** How many are shown where not all are asked for. */
const SHOWN = { problems: 20, names: 5, rules: 30 } as const;

/** How long ago an RFC 3339 time was, such as `3h 12m`. */
export function ago(time: string | undefined, now: Date): string | undefined {
  const then = Date.parse(time ?? "");
  return Number.isNaN(then) ? undefined : span(Math.max(0, now.getTime() - then) / 1000);
}

const numbers = (counts: Readonly<Record<string, number>>): string =>
  Object.entries(counts)
    .map(([reason, count]) => `${count} ${reason}`)
    .join(", ");

const orDash = (text: string): string => (text === "" ? "-" : text);

function summaryRow({ name, provider = "", problem, rules }: RegistrySummary): readonly string[] {
  const { total, limit, ready, degraded, suspended, drifted, driftedLately, adopted } = rules;
  const drift = [...(drifted > 0 ? [`${drifted} now`] : []), ...(driftedLately > 0 ? [`${driftedLately} in 24h`] : [])];
  const notReady = [numbers(rules.notReady), ...(suspended > 0 ? [`${suspended} Suspended`] : [])];
  return [
    name,
    orDash(provider),
    problem?.reason ?? "Ready",
    limit === undefined ? String(total) : `${total}/${limit}`,
    degraded > 0 ? `${ready} (${degraded} degraded)` : String(ready),
    orDash(drift.join(", ")),
    adopted === 0 ? "-" : String(adopted),
    orDash(notReady.filter((text) => text !== "").join(", ")),
  ];
}

function summaryLines({ registries, notes }: RulesReport, width: Width): readonly string[] {
  const header = ["REGISTRY", "PROVIDER", "STATE", "RULES", "READY", "DRIFT", "ADOPTED", "NOT READY"];
  const troubles = registries.flatMap(({ name, problem }) =>
    problem === undefined
      ? []
      : ["", `CacheRegistry ${name}: ${problem.reason}`, ...fold(problem.message, width, "    ")],
  );
  return [
    ...(registries.length === 0 ? ["No CacheRegistry and no CacheRule."] : table(header, registries.map(summaryRow))),
    ...troubles,
    ...notes.flatMap((note) => ["", ...labelled("Note", note, width)]),
  ];
}

interface Problem {
  readonly rules: readonly RuleRow[];
  readonly first: RuleRow;
}

/** Rules with the same trouble in the same words are one problem: a thousand rules of one broken registry are. */
function problemsIn(rows: readonly RuleRow[]): readonly Problem[] {
  const groups = Map.groupBy(rows, ({ registry, reason, message }) => JSON.stringify([registry, reason, message]));
  return [...groups.values()].flatMap((rules) => {
    const [first] = rules;
    return first === undefined ? [] : [{ rules, first }];
  });
}

function oldest(rules: readonly RuleRow[]): string | undefined {
  return rules.reduce<string | undefined>(
    (since, row) => (row.since !== undefined && (since === undefined || row.since < since) ? row.since : since),
    undefined,
  );
}

function problemLines({ rules, first }: Problem, { width, now, all }: TextOptions): readonly string[] {
  const since = ago(oldest(rules), now);
  const state = first.state === "degraded" ? `served, but ${first.reason}` : first.reason;
  const who = rules.length === 1 ? first.name : `${rules.length} rules`;
  const names = firstOf(
    rules.map(({ name }) => name),
    all ? rules.length : SHOWN.names,
  );
  return [
    `  ${who} of ${first.registry}: ${state}${since === undefined ? "" : `, since ${since}`}`,
    ...fold(rules.length === 1 ? `${first.source} -> ${first.target}` : names, width, "      "),
    ...(first.message === "" ? [] : fold(first.message, width, "      ")),
  ];
}

function troubleLines(title: string, rows: readonly RuleRow[], options: TextOptions): readonly string[] {
  if (rows.length === 0) return [];
  const problems = problemsIn(rows);
  const shown = options.all ? problems : problems.slice(0, SHOWN.problems);
  const left = rows.length - shown.reduce((sum, { rules }) => sum + rules.length, 0);
  return [
    "",
    `${title} (${rows.length})`,
    ...shown.flatMap((problem) => problemLines(problem, options)),
    ...(left > 0 ? [`  and ${left} more: --all lists them`] : []),
  ];
}

function restRow(row: RuleRow, { now, wide }: TextOptions): readonly string[] {
  const { name, registry, source, target, pull, since, drift, adopted, remoteId, lastSync } = row;
  const short = [name, registry, source, pull ?? "-", ago(since, now) ?? "-"];
  if (!wide) return short;
  return [
    ...short,
    target,
    ago(lastSync, now) ?? "-",
    drift === undefined ? "-" : `${drift.fields.join(",")} ${ago(drift.detected, now) ?? ""}`.trim(),
    adopted ? "yes" : "-",
    remoteId ?? "-",
  ];
}

function readyLines(rows: readonly RuleRow[], oneRegistry: boolean, options: TextOptions): readonly string[] {
  if (rows.length === 0) return [];
  const shown = options.all ? rows : rows.slice(0, SHOWN.rules);
  const left = rows.length - shown.length;
  const header = ["NAME", "REGISTRY", "SOURCE", "PULL", "FOR"];
  const more = ["TARGET", "SYNCED", "LAST DRIFT", "ADOPTED", "REMOTE ID"];
  const cells = [options.wide ? [...header, ...more] : header, ...shown.map((row) => restRow(row, options))];
  const [first = [], ...rest] = oneRegistry ? cells.map(([name = "", _, ...others]) => [name, ...others]) : cells;
  return [
    "",
    `Ready (${rows.length})`,
    ...table(first, rest, "  "),
    ...(left > 0 ? [`  and ${left} more: --all lists them`] : []),
  ];
}

function suspendedLines(rows: readonly RuleRow[], { width, all }: TextOptions): readonly string[] {
  if (rows.length === 0) return [];
  const names = rows.map(({ name }) => name);
  return ["", `Suspended (${rows.length})`, ...fold(firstOf(names, all ? names.length : SHOWN.names), width, "  ")];
}

/** A report as it is printed: reads as well for one rule as for thousands, the troubles before the rest. */
export function rulesText(report: RulesReport, options: TextOptions): string {
  const of = (state: RuleRow["state"]) => report.rules.filter((row) => row.state === state);
  return [
    ...summaryLines(report, options.width),
    ...troubleLines("Not ready", of("notReady"), options),
    ...(options.notReady
      ? []
      : [
          ...troubleLines("Served, but not as it should be", of("degraded"), options),
          ...suspendedLines(of("suspended"), options),
          ...readyLines(of("ready"), report.registries.length === 1, options),
        ]),
  ].join("\n");
}
