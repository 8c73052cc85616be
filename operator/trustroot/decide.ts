import { type Condition, type ConditionUpdate, setCondition } from "../../core/conditions.ts";
import { CONDITION, REASON, type TrustRootObject, type TrustRootStatus } from "../../crds/index.ts";
import type { EntryOrigin } from "./entries.ts";

/** How reading a TrustRoot, and giving it to the webhooks, went. */
export interface TrustRootOutcome {
  /** Why its keys could not be read now. */
  readonly problem?: string;
  /** Why the ConfigMap could not be written. */
  readonly unwritten?: string;
  /** What the ConfigMap holds for this object. */
  readonly published?: EntryOrigin;
}

type Said = Pick<ConditionUpdate, "status" | "reason" | "message">;

function keysInlined({ problem, published }: TrustRootOutcome): Said {
  if (problem === undefined)
    return { status: "True", reason: REASON.Inlined, message: "the keys and certificates are read" };
  return { status: "False", reason: REASON.InliningKeysFailed, message: `${problem}; ${standing(published)}` };
}

/** What policies get meanwhile. */
function standing(published: EntryOrigin | undefined): string {
  return published === undefined
    ? "until this is put right, authorities that name this trust root refuse every image"
    : `what was read of generation ${published.generation} at ${published.since} stays in use`;
}

function configMapUpdated(generation: number, { problem, unwritten, published }: TrustRootOutcome): Said {
  if (unwritten !== undefined)
    return { status: "False", reason: REASON.UpdatingConfigMap, message: `${unwritten}; ${standing(published)}` };
  if (published?.generation === generation)
    return { status: "True", reason: REASON.Updated, message: "ConfigMap config-sigstore-keys has this generation" };
  const has = published === undefined ? "nothing of it" : `generation ${published.generation}`;
  return {
    status: "False",
    reason: problem === undefined ? REASON.UpdatingConfigMap : REASON.InliningKeysFailed,
    message: `ConfigMap config-sigstore-keys has ${has}: see the condition KeysInlined`,
  };
}

function ready(generation: number, outcome: TrustRootOutcome): Said {
  const { problem, unwritten, published } = outcome;
  if (unwritten !== undefined) return configMapUpdated(generation, outcome);
  if (problem === undefined)
    return { status: "True", reason: REASON.Ready, message: "policies can name this trust root" };
  // What this very spec led to before is as good as it was.
  return published?.generation === generation
    ? { ...keysInlined(outcome), status: "True", reason: REASON.LastGood }
    : keysInlined(outcome);
}

/** The status of a TrustRoot, with policy-controller's conditions. Pure. */
export function decideTrustRootStatus(
  trustRoot: TrustRootObject,
  outcome: TrustRootOutcome,
  now: Date,
): TrustRootStatus {
  const { generation } = trustRoot.metadata;
  const said: Readonly<Record<string, Said>> = {
    [CONDITION.KeysInlined]: keysInlined(outcome),
    [CONDITION.ConfigMapUpdated]: configMapUpdated(generation, outcome),
    [CONDITION.Ready]: ready(generation, outcome),
  };
  const known = (trustRoot.status?.conditions ?? []) as readonly Condition[];
  const conditions = Object.entries(said).reduce<readonly Condition[]>(
    (all, [type, update]) => setCondition(all, { type, ...update, observedGeneration: generation }, now),
    known,
  );
  return { observedGeneration: generation, conditions: conditions.map((condition) => ({ ...condition })) };
}
