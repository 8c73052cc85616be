import type { ConnectedKubeClient } from "../adapters/kube/client.ts";
import type { RulesCommand } from "./rules-arguments.ts";
import type { Width } from "./rules-layout.ts";
import { listRules } from "./rules-list.ts";
import { type RuleDetails, showRule } from "./rules-show.ts";
import { ruleText } from "./rules-show-text.ts";
import { rulesText } from "./rules-text.ts";

/** What a command printed, and whether what was asked holds. */
export interface RulesAnswer {
  readonly text: string;
  /** With `--not-ready`: no rule is not ready (suspended ones are as they were wanted). Without it, always. */
  readonly holds: boolean;
}

const json = (value: unknown): string => JSON.stringify(value, undefined, 2);

function detailsJson({ row, rule, conditions, registry, rival, events, notes }: RuleDetails): string {
  const { cached, mapping, observedGeneration, remoteCreationTime } = rule.status ?? {};
  const { generation } = rule.metadata;
  return json({
    ...row,
    generation,
    observedGeneration,
    mapping,
    remoteCreationTime,
    conditions,
    registryStatus: registry,
    rival,
    cached,
    events,
    notes,
  });
}

/** Answers `kubectl entrepot rules`. Throws `KubeError`. */
export async function answerRules(
  client: Pick<ConnectedKubeClient, "get" | "pages">,
  command: RulesCommand,
  { now, width }: { readonly now: Date; readonly width: Width },
): Promise<RulesAnswer> {
  const { name, registry, notReady, all, output } = command;
  if (name !== undefined) {
    const details = await showRule(client, name);
    const text = output === "json" ? detailsJson(details) : ruleText(details, { now, width }, all);
    return { text, holds: !notReady || details.row.state !== "notReady" };
  }
  const report = await listRules(client, registry, now);
  const rules = notReady ? report.rules.filter(({ state }) => state === "notReady") : report.rules;
  const text =
    output === "json"
      ? json({ ...report, rules })
      : rulesText(report, { width, now, wide: output === "wide", all, notReady });
  return { text, holds: !notReady || rules.length === 0 };
}
