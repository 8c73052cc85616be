import type { JudgedImage } from "../core/admission/conclude.ts";
import { type ImageTask, type InvalidImage, type Plan, planAdmission } from "../core/admission/plan.ts";
import type { WorkloadKind } from "../core/admission/workload.ts";
import { recordKey } from "../core/cache/freshness.ts";
import type { VerificationRecord } from "../core/cache/record.ts";
import { messageOf } from "../core/errors.ts";
import type { Digest } from "../core/image/reference.ts";
import { type PolicyVerdict, staticVerdict } from "../core/policy/evaluate.ts";
import type { CompiledPolicy } from "../core/policy/types.ts";
import type { Case } from "./case.ts";
import { type Applied, affected, type Conditions } from "./conditions.ts";
import type { Digests } from "./digests.ts";
import type { Facts } from "./facts.ts";
import { DeadlineMissed, MISSED } from "./progress.ts";

/** A judged image with the records that back its verdicts, each under its image's record key. */
export interface ImageResult extends JudgedImage {
  readonly records: readonly Backing[];
}

interface Backing {
  readonly image: string;
  readonly record: VerificationRecord;
}

/** An image to judge; `kept`: it was there before this UPDATE. */
interface Asked {
  readonly task: ImageTask;
  readonly kept: boolean;
}

/** What one policy says of an image, with what was needed to find out. */
interface Found extends Applied {
  readonly digest?: Digest;
  readonly backing?: Backing;
}

export interface Judgement {
  readonly results: readonly ImageResult[];
  readonly invalid: readonly InvalidImage[];
  readonly unchanged: boolean;
}

/** Judges every image of a request that has to be judged, in parallel. */
export class Judge {
  readonly #digests: Digests;
  readonly #facts: Facts;
  readonly #conditions: Conditions;

  constructor(digests: Digests, facts: Facts, conditions: Conditions) {
    this.#digests = digests;
    this.#facts = facts;
    this.#conditions = conditions;
  }

  /** Every image's digest and verdicts under `policies`. Never throws for what a registry does. */
  async judge(at: Case, kind: WorkloadKind, policies = at.snapshot.policies): Promise<Judgement> {
    const plan = planAdmission(at.request, kind, policies, at.snapshot.names);
    const [results, beside] = await Promise.all([
      Promise.all(plan.tasks.map((task) => this.#image({ task, kept: plan.unchanged }, at))),
      this.#beside(plan, at, kind),
    ]);
    return { results: [...results, ...beside], invalid: plan.invalid, unchanged: plan.unchanged };
  }

  /**
   * A Pod that gets a new image answers to the policies of those it keeps as well, where their `spec.policy` sees another object now. What
   * is found comes without digest and record: a kept image need not be pinned, and whether some policy vouches for it was decided when it came.
   */
  async #beside(plan: Plan, at: Case, kind: WorkloadKind): Promise<readonly ImageResult[]> {
    if (plan.unchanged || plan.tasks.length === 0 || at.phase === "mutate") return []; // without tasks it is refused for its images
    const policies = affected(at);
    if (policies.length === 0) return [];
    const fresh = new Set(plan.tasks.map(({ field }) => field));
    const all = planAdmission({ ...at.request, oldObject: at.request.object }, kind, policies, at.snapshot.names);
    const kept = all.tasks.filter((task) => task.policies.length > 0 && !fresh.has(task.field));
    const results = await Promise.all(
      kept.map((task) => this.#image({ task: { ...task, vouched: true }, kept: true }, at)),
    );
    return results.map(({ task, verdicts }) => ({ task, verdicts, records: [] }));
  }

  /** A verdict that needs no registry asks none, not even for the tag, and waits for none: a static policy must hold when Docker Hub is down. */
  async #image(image: Asked, at: Case): Promise<ImageResult> {
    const { task, kept } = image;
    let resolving: Promise<Digest | PolicyVerdict> | undefined;
    const resolved = () => (resolving ??= this.#resolved(task, at));
    const found = await Promise.all(
      task.policies.map(async (policy): Promise<Found> => {
        const verdict = staticVerdict(policy);
        if (verdict !== undefined) return await this.#conditions.applied({ policy, verdict }, undefined, at, kept);
        const digest = await resolved();
        if (typeof digest === "string") return await this.#pinned(policy, image, digest, at);
        return await this.#conditions.applied({ policy, verdict: digest }, undefined, at, kept);
      }),
    );
    const [digest = task.reference.digest] = found.flatMap((each) => each.digest ?? []);
    return {
      task,
      verdicts: found.map(({ policy, verdict }) => ({ policy, verdict })),
      records: found.flatMap(({ backing }) => backing ?? []),
      ...(digest !== undefined && { digest }),
    };
  }

  async #resolved(task: ImageTask, at: Case): Promise<Digest | PolicyVerdict> {
    try {
      return await this.#digests.of(task, at);
    } catch (thrown) {
      return unresolved(thrown, at);
    }
  }

  async #pinned(policy: CompiledPolicy, { task, kept }: Asked, digest: Digest, at: Case): Promise<Found> {
    const image = { reference: task.subject, digest };
    const finding = await this.#facts.find(image, policy, at);
    if (finding.kind !== "pass") {
      return { ...(await this.#conditions.applied({ policy, verdict: finding }, undefined, at, kept)), digest };
    }
    const { record } = finding;
    const verdict = { kind: "pass", matches: record.authorities } as const;
    const applied = await this.#conditions.applied({ policy, verdict }, record.config, at, kept);
    return { ...applied, digest, backing: { image: recordKey(image), record } };
  }
}

function unresolved(thrown: unknown, at: Case): PolicyVerdict {
  const why = at.signal.aborted && !(thrown instanceof DeadlineMissed) ? MISSED : messageOf(thrown);
  return { kind: "undecided", reasons: [`the tag could not be resolved to a digest: ${why}`] };
}
