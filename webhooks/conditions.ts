import type { VerificationRecord } from "../core/cache/record.ts";
import { messageOf } from "../core/errors.ts";
import { type Fields, fieldsOf } from "../core/json.ts";
import {
  type ConditionSubject,
  conditionInput,
  conditionReason,
  conditionRejection,
} from "../core/policy/condition.ts";
import type { PolicyVerdict } from "../core/policy/evaluate.ts";
import type { CompiledPolicy, ObjectCondition, PolicyEngine } from "../core/policy/types.ts";
import type { Case } from "./case.ts";

/** A policy and what it says. */
export interface Applied {
  readonly policy: CompiledPolicy;
  readonly verdict: PolicyVerdict;
}

function subjectOf({ request }: Case, object: Fields): ConditionSubject {
  return { group: request.group, version: request.version, kind: request.kind, object };
}

/**
 * `spec.policy`, which is judged for every object anew, from facts that may be cached (design D1). Only the validating webhook
 * judges it: the mutating one sees an object that others may still change.
 */
export class Conditions {
  readonly #engine: PolicyEngine;

  constructor(engine: PolicyEngine) {
    this.#engine = engine;
  }

  /** The verdict of the whole policy, given that of its authorities. Never rejects: what can't be judged is undecided. */
  async applied(
    policy: CompiledPolicy,
    verdict: PolicyVerdict,
    config: VerificationRecord["config"],
    at: Case,
  ): Promise<Applied> {
    // An image that is there already was admitted with what is known of it; only what changed is judged.
    if (at.unchanged && verdict.kind === "fail") return { policy, verdict: { kind: "pass", matches: {} } };
    const { condition } = policy;
    if (condition === undefined || verdict.kind !== "pass" || at.phase === "mutate") return { policy, verdict };
    const judge = (object: Fields) =>
      this.#judged(condition, conditionInput(condition, verdict.matches, subjectOf(at, object), config), at);
    const now = await judge(at.request.object);
    if (now.kind !== "fail" || !at.unchanged || at.request.oldObject === undefined) {
      return { policy, verdict: now.kind === "pass" ? verdict : now };
    }
    // What an object is already guilty of does not keep its controllers from touching it.
    const before = await judge(at.request.oldObject);
    return { policy, verdict: before.kind === "fail" ? verdict : now };
  }

  async #judged(condition: ObjectCondition, input: string, at: Case): Promise<PolicyVerdict> {
    try {
      const result = await this.#engine.evaluate(condition, { kind: "document", json: input }, at.signal);
      const reason = conditionReason(condition, result);
      if (reason === undefined) return { kind: "pass", matches: {} };
      return { kind: result.kind === "rejected" ? "fail" : "undecided", reasons: [reason] };
    } catch (thrown) {
      return { kind: "undecided", reasons: [conditionRejection(condition, messageOf(thrown))] };
    }
  }
}

/** Every UPDATE moves these; a policy about them is judged when something else moves too. */
const BOOKKEEPING = ["managedFields", "resourceVersion", "generation"];

function withoutBookkeeping(object: Fields): Fields {
  const entries = Object.entries(fieldsOf(object["metadata"]) ?? {}).filter(([name]) => !BOOKKEEPING.includes(name));
  return { ...object, metadata: Object.fromEntries(entries) };
}

/** The policies that an UPDATE without a new image has to be judged by: those whose `spec.policy` would see another object. */
export function affected(at: Case): readonly CompiledPolicy[] {
  const { object, oldObject } = at.request;
  if (oldObject === undefined) return [];
  return at.snapshot.policies.filter(({ condition }) => {
    if (condition === undefined || !(condition.includeSpec || condition.includeObjectMeta)) return false;
    const seen = (one: Fields) => conditionInput(condition, {}, subjectOf(at, withoutBookkeeping(one)), undefined);
    return seen(object) !== seen(oldObject);
  });
}
