import { createHash } from "node:crypto";
import type { Reason } from "../../crds/index.ts";
import { canonicalJson } from "../json.ts";

/** On the ConfigMap of a registry that is rendered as a whole: which CacheRegistry wrote our part of it, and the hash of what it wrote. */
export const RENDERED_ANNOTATION = "entrepot.dev/rendered";
/** When that was. It is part of what the Pods are rolled by, so that Pods which started between a change by others and its correction are replaced. */
export const RENDERED_AT_ANNOTATION = "entrepot.dev/rendered-at";
/** The rules in it. */
export const RULES_ANNOTATION = "entrepot.dev/rendered-rules";

/** Our part of a registry's configuration, as plain JSON; undefined where there is none. */
export type Section = Readonly<Record<string, unknown>> | undefined;

/** Reads and writes our part of a configuration, and leaves the rest of it as it is. */
export interface ConfigFormat {
  /** Our part, whoever wrote it. Throws an Error that says what is wrong where the text can't be read or has what would undo ours. */
  read(text: string): Section;
  /** The text with our part replaced, or taken away. Throws an Error where that can't be done without touching the rest. */
  write(text: string, section: Section): string;
}

/** A configuration as it was found. */
export interface FoundConfig {
  readonly section: Section;
  readonly annotations: Readonly<Record<string, string>>;
}

/** A configuration as it should be. */
export interface WantedConfig {
  readonly registry: string;
  readonly section: Section;
  /** As `rulesNote` writes it. */
  readonly rules: string;
}

/** What to do about a configuration. `mark`: only the annotations change, which rolls nothing. */
export type ConfigStep =
  | { readonly do: "nothing" }
  | { readonly do: "mark" }
  | { readonly do: "write"; readonly drifted: boolean }
  | { readonly do: "report"; readonly reason: Reason; readonly message: string };

function hash(value: unknown): string {
  return createHash("sha256").update(canonicalJson(value)).digest("hex").slice(0, 32);
}

/** The value of `RENDERED_ANNOTATION` for a section; undefined for none. */
export function renderedMark(registry: string, section: Section): string | undefined {
  return section === undefined ? undefined : `${registry}:${hash(section)}`;
}

/** The CacheRegistry whose mark a configuration carries, whatever became of what it wrote; undefined for none. */
export function renderedBy(annotations: FoundConfig["annotations"] | undefined): string | undefined {
  return annotations?.[RENDERED_ANNOTATION]?.split(":", 1)[0];
}

function equal(a: unknown, b: unknown): boolean {
  return canonicalJson(a ?? null) === canonicalJson(b ?? null);
}

/**
 * What to do about a configuration that somebody else owns and that has a part of ours. Ours is what carries our mark: a part without
 * one is another's and is never written to, unless it says the same already. `what` names the part for people.
 */
export function decideConfig(
  found: FoundConfig,
  wanted: WantedConfig,
  drift: "Correct" | "Report",
  what: string,
): ConfigStep {
  const mark = found.annotations[RENDERED_ANNOTATION];
  const same = equal(found.section, wanted.section);
  const owner = renderedBy(found.annotations);
  if (owner !== undefined && owner !== wanted.registry) {
    const message = `${what} is rendered by CacheRegistry "${owner}"; name another ConfigMap, or, if that registry is gone, remove the annotation ${RENDERED_ANNOTATION}`;
    return { do: "report", reason: "ForeignRule", message };
  }
  if (mark === undefined && found.section !== undefined && !same) {
    const message = `${what} exists already and Entrepot did not write it; it is never overwritten: remove it, and declare what it said as CacheRules`;
    return wanted.section === undefined ? { do: "nothing" } : { do: "report", reason: "ForeignRule", message };
  }
  const drifted = mark !== undefined && mark !== renderedMark(wanted.registry, found.section);
  if (drifted && drift === "Report") {
    const message = `${what} was changed and driftPolicy is Report; change it back, or set driftPolicy: Correct`;
    return { do: "report", reason: "Drifted", message };
  }
  if (!same) return { do: "write", drifted };
  const marked = mark === renderedMark(wanted.registry, wanted.section);
  const noted = (found.annotations[RULES_ANNOTATION] ?? "") === wanted.rules;
  return marked && noted ? { do: "nothing" } : { do: "mark" };
}

interface RuleIdentity {
  readonly metadata: { readonly uid: string; readonly generation: number };
}

function idOf(rule: RuleIdentity): string {
  return createHash("sha256").update(rule.metadata.uid).digest("hex").slice(0, 12);
}

/** Short names of rules at their generations, for an annotation: 2,000 take about 30 KB. `beaten` names the rule that kept one out. */
export function rulesNote(rules: readonly { readonly rule: RuleIdentity; readonly beaten?: string }[]): string {
  return rules
    .map(({ rule, beaten }) => `${idOf(rule)}.${rule.metadata.generation}${beaten === undefined ? "" : `!${beaten}`}`)
    .sort()
    .join(" ");
}

/** What a note says of a rule: that it is in the configuration as it is now or as it was once, that another keeps it out, or nothing. */
export type NotedRule =
  | { readonly kind: "current" }
  | { readonly kind: "older" }
  | { readonly kind: "absent" }
  | { readonly kind: "beaten"; readonly by: string };

/** Looks a rule up in a note. */
export function notedRule(note: string | undefined, rule: RuleIdentity): NotedRule {
  const prefix = `${idOf(rule)}.`;
  const token = note?.split(" ").find((one) => one.startsWith(prefix));
  if (token === undefined) return { kind: "absent" };
  const [generation = "", by] = token.slice(prefix.length).split("!", 2);
  if (Number(generation) !== rule.metadata.generation) return { kind: "older" };
  return by === undefined ? { kind: "current" } : { kind: "beaten", by };
}

/** What the Pods are rolled by: our part, when it was written, and what they are given to sign in with. It can't be turned back into any of that. */
export function rolloutHash(
  section: Section,
  renderedAt: string | undefined,
  credentials: Readonly<Record<string, string>> | undefined,
): string {
  return hash([section ?? null, renderedAt ?? null, credentials ?? null]);
}
