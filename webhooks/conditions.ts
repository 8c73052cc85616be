import { stringMap } from "../core/admission/request.ts";
import type { VerificationRecord } from "../core/cache/record.ts";
import { messageOf } from "../core/errors.ts";
import { type Fields, fieldsOf } from "../core/json.ts";
import {
  type ConditionSubject,
  conditionInput,
  conditionReason,
  conditionRejection,
  readsObject,
} from "../core/policy/condition.ts";
import type { PolicyVerdict } from "../core/policy/evaluate.ts";
import { governs } from "../core/policy/match.ts";
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

/** Whether the policy's `match` selects the object, in this form of it. */
function governed(policy: CompiledPolicy, { request }: Case, object: Fields): boolean {
  const { group, version, resource } = request;
  return governs(policy, { group, version, resource, labels: stringMap(fieldsOf(object["metadata"])?.["labels"]) });
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

  /**
   * The verdict of the whole policy, given that of its authorities. Never rejects: what can't be judged is undecided. `kept`: the image was
   * there before this UPDATE; it is not refused for itself, and the object only for what was not wrong already.
   */
  async applied(
    { policy, verdict: found }: Applied,
    config: VerificationRecord["config"],
    at: Case,
    kept: boolean,
  ): Promise<Applied> {
    const verdict: PolicyVerdict = kept && found.kind === "fail" ? { kind: "pass", matches: {} } : found;
    const { condition } = policy;
    if (condition === undefined || verdict.kind !== "pass" || at.phase === "mutate") return { policy, verdict };
    const judge = (object: Fields) =>
      this.#judged(condition, () => conditionInput(condition, verdict.matches, subjectOf(at, object), config), at);
    const now = await judge(at.request.object);
    if (now.kind === "pass") return { policy, verdict };
    const { oldObject } = at.request;
    if (now.kind !== "fail" || !kept || oldObject === undefined || !governed(policy, at, oldObject)) {
      return { policy, verdict: now };
    }
    // What an object is already guilty of does not keep its controllers from touching it; under a policy that was for others, none was guilty.
    const before = await judge(oldObject);
    return { policy, verdict: before.kind === "fail" ? verdict : now };
  }

  async #judged(condition: ObjectCondition, input: () => string, at: Case): Promise<PolicyVerdict> {
    const evaluate = () => this.#engine.evaluate(condition, { kind: "document", json: input() }, at.signal);
    try {
      const result = await at.evaluations.run(evaluate, at.signal);
      const reason = conditionReason(condition, result);
      if (reason === undefined) return { kind: "pass", matches: {} };
      return { kind: result.kind === "rejected" ? "fail" : "undecided", reasons: [reason] };
    } catch (thrown) {
      const why =
        thrown === at.signal.reason
          ? `the evaluation of a policy was given up: ${messageOf(thrown)}`
          : messageOf(thrown); // as the engine says it
      return { kind: "undecided", reasons: [conditionRejection(condition, why)] };
    }
  }
}

/** Every UPDATE moves these; a policy about them is judged when something else moves too. */
const BOOKKEEPING = ["managedFields", "resourceVersion", "generation"];

function withoutBookkeeping(object: Fields): Fields {
  const entries = Object.entries(fieldsOf(object["metadata"]) ?? {}).filter(([name]) => !BOOKKEEPING.includes(name));
  return { ...object, metadata: Object.fromEntries(entries) };
}

/**
 * The policies that an UPDATE has to be judged by for the images that it keeps: those whose `spec.policy` reads the object, and would see
 * another one or did not govern it before. `readsOf` in core/webhookconfig/reads.ts has the API server ask about the same.
 */
export function affected(at: Case): readonly CompiledPolicy[] {
  const { object, oldObject } = at.request;
  if (oldObject === undefined) return [];
  return at.snapshot.policies.filter((policy) => {
    const { condition } = policy;
    if (condition === undefined || !readsObject(condition)) return false;
    if (!governed(policy, at, oldObject)) return governed(policy, at, object);
    const seen = (one: Fields) => conditionInput(condition, {}, subjectOf(at, withoutBookkeeping(one)), undefined);
    return seen(object) !== seen(oldObject);
  });
}
