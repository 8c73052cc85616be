import { type CacheRuleObject, REASON, type Reason } from "../../crds/index.ts";
import type { RulesPage } from "../pages/documents.ts";
import type { Answer } from "../pages/poll.ts";
import type { Pending, Progress } from "../providers/provider.ts";
import { lookAt } from "./rollout.ts";

const DONE: Progress = { done: true };

/** What keeps one gateway replica from serving the rule; undefined when it does. */
function obstacle(answer: Answer<RulesPage>, rule: CacheRuleObject): Pending | undefined {
  const pod = `gateway Pod "${answer.endpoint}"`;
  const pending = (reason: Reason, message: string): Pending => ({ done: false, reason, message });
  if ("problem" in answer)
    return pending(REASON.GatewayNotReady, `${pod} can't be asked what it serves: ${answer.problem}`);
  const served = answer.page.get(rule.metadata.name);
  if (served?.uid !== rule.metadata.uid || served.generation !== rule.metadata.generation) {
    return pending(REASON.GatewayNotReady, `${pod} does not serve the rule yet`);
  }
  return served.problem === undefined
    ? undefined
    : pending(REASON.BackendNotReady, `${pod} gets no answer from the proxy behind it: ${served.problem}`);
}

/** Whether every ready replica of the Deployment `gateway` serves the rule at its generation. */
export function servedByAll(
  answers: readonly Answer<RulesPage>[],
  rule: CacheRuleObject,
  gateway: string,
  namespace: string,
): Progress {
  if (answers.length === 0) {
    const message = `no Pod of Deployment "${gateway}" is ready; ${lookAt(gateway, namespace)}`;
    return { done: false, reason: REASON.GatewayNotReady, message };
  }
  return answers.map((answer) => obstacle(answer, rule)).find((found) => found !== undefined) ?? DONE;
}

/** Whether no ready gateway replica serves the rule, in whatever generation. */
export function servedByNone(answers: readonly Answer<RulesPage>[], rule: CacheRuleObject): Progress {
  const uid = rule.metadata.uid;
  const left = answers.find((answer) => "problem" in answer || answer.page.get(rule.metadata.name)?.uid === uid);
  if (left === undefined) return DONE;
  const why =
    "problem" in left ? `can't be asked whether it still serves the rule: ${left.problem}` : "still serves the rule";
  return { done: false, reason: REASON.Deleting, message: `gateway Pod "${left.endpoint}" ${why}` };
}
