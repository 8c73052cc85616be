import type { EventRecorder } from "../adapters/kube/events.ts";
import type { KubeObject } from "../adapters/kube/types.ts";
import { type Condition, findCondition } from "../core/conditions.ts";
import { CONDITION, REASON } from "../crds/index.ts";

/** What the reconcilers need of the recorder. */
export type Events = Pick<EventRecorder, "record">;

const EXPECTED: readonly string[] = [
  REASON.Suspended,
  REASON.Deleting,
  REASON.Creating,
  REASON.Updating,
  REASON.WaitingForWebhooks,
  REASON.UpdatingConfigMap,
];

/** What is expected too, unless the object was Ready as it is written now: then a gateway is gone. */
const EXPECTED_AT_FIRST: readonly string[] = [REASON.GatewayNotReady];

/** What works, but not as it should. */
const MAKESHIFT: readonly string[] = [REASON.ServingFromCache, REASON.LastGood];

function isExpected(now: Condition, then: Condition | undefined): boolean {
  if (EXPECTED.includes(now.reason)) return true;
  const wasReady = then?.status === "True" && then.observedGeneration === now.observedGeneration;
  return !wasReady && EXPECTED_AT_FIRST.includes(now.reason);
}

/** Notes a change of the condition Ready: its status or its reason. At rest nothing is noted. */
export function noteReadiness(
  events: Events,
  object: KubeObject,
  before: readonly Condition[] | undefined,
  after: readonly Condition[] | undefined,
): void {
  const now = findCondition(after, CONDITION.Ready);
  const then = findCondition(before, CONDITION.Ready);
  if (
    now === undefined ||
    now.reason === REASON.Progressing ||
    (then?.status === now.status && then.reason === now.reason)
  )
    return;
  const isGood = (now.status === "True" && !MAKESHIFT.includes(now.reason)) || isExpected(now, then);
  events.record({
    regarding: object,
    type: isGood ? "Normal" : "Warning",
    reason: now.reason,
    action: "Reconcile",
    note: now.message,
  });
}
