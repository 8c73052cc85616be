import type { NamedRule } from "../cachenames/types.ts";
import { cachedText, type LeftOut, type RuleSelection, sourceText } from "./rules.ts";

const INVISIBLE = /[\p{C}\p{Zl}\p{Zp}]/gu;

/** Lines of a comment, as YAML and TOML have them. Text of others can't end the line that it stands in. */
export function comment(lines: readonly string[]): readonly string[] {
  return lines.map((line) => `# ${line.replace(INVISIBLE, " ")}`.trimEnd());
}

/** What a rule makes of which names, with what is wrong with it now. */
export function ruleLine(rule: NamedRule): string {
  const obstacle = rule.obstacle === undefined ? "" : `; not usable now: ${rule.obstacle}`;
  return `CacheRule ${rule.rule}: ${sourceText(rule)} is ${cachedText(rule)}${obstacle}`;
}

/** What everything rendered begins with. */
export function header(title: string, { rules, registry }: RuleSelection): readonly string[] {
  const count = rules.length === 1 ? "1 CacheRule" : `${rules.length} CacheRules`;
  return [
    `${title}, made by kubectl entrepot render from ${count}${registry === undefined ? "" : ` of CacheRegistry ${registry}`}.`,
  ];
}

/** The rules that are not in it; nothing if all are. */
export function leftOutLines(leftOut: readonly LeftOut[]): readonly string[] {
  if (leftOut.length === 0) return [];
  return ["Left out:", ...leftOut.map(({ rule, reason }) => `  CacheRule ${rule}: ${reason}`)];
}
