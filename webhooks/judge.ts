import type { JudgedImage } from "../core/admission/conclude.ts";
import { type ImageTask, type InvalidImage, planAdmission } from "../core/admission/plan.ts";
import type { WorkloadKind } from "../core/admission/workload.ts";
import { recordKey } from "../core/cache/freshness.ts";
import type { VerificationRecord } from "../core/cache/record.ts";
import { messageOf } from "../core/errors.ts";
import type { Digest } from "../core/image/reference.ts";
import { type PolicyVerdict, staticVerdict } from "../core/policy/evaluate.ts";
import type { CompiledPolicy } from "../core/policy/types.ts";
import type { Case } from "./case.ts";
import type { Conditions } from "./conditions.ts";
import type { Digests } from "./digests.ts";
import type { Facts } from "./facts.ts";
import { DeadlineMissed, MISSED } from "./progress.ts";

/** A judged image with the records that back its verdicts, each under its image's record key. */
export interface ImageResult extends JudgedImage {
  readonly records: readonly { readonly image: string; readonly record: VerificationRecord }[];
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
    const results = await Promise.all(plan.tasks.map((task) => this.#image(task, at)));
    return { results, invalid: plan.invalid, unchanged: plan.unchanged };
  }

  /** A verdict that needs no registry asks none: not even for the tag (a static policy must hold when Docker Hub is down). */
  async #image(task: ImageTask, at: Case): Promise<ImageResult> {
    const settled = task.policies.map((policy) => ({ policy, verdict: staticVerdict(policy) }));
    if (settled.every(({ verdict }) => verdict !== undefined)) {
      const verdicts = await Promise.all(
        settled.flatMap(({ policy, verdict }) =>
          verdict === undefined ? [] : [this.#conditions.applied(policy, verdict, undefined, at)],
        ),
      );
      return {
        task,
        verdicts,
        records: [],
        ...(task.reference.digest !== undefined && { digest: task.reference.digest }),
      };
    }
    let digest: Digest;
    try {
      digest = await this.#digests.of(task, at);
    } catch (thrown) {
      return {
        task,
        records: [],
        verdicts: settled.map(({ policy, verdict }) => ({ policy, verdict: verdict ?? unresolved(thrown, at) })),
      };
    }
    return await this.#pinned(task, digest, settled, at);
  }

  async #pinned(
    task: ImageTask,
    digest: Digest,
    settled: readonly { policy: CompiledPolicy; verdict: PolicyVerdict | undefined }[],
    at: Case,
  ): Promise<ImageResult> {
    const image = { reference: task.subject, digest };
    const found = await Promise.all(
      settled.map(async ({ policy, verdict }) => {
        if (verdict !== undefined) return await this.#conditions.applied(policy, verdict, undefined, at);
        const finding = await this.#facts.find(image, policy, at);
        if (finding.kind !== "pass") return await this.#conditions.applied(policy, finding, undefined, at);
        const { record } = finding;
        const established = { kind: "pass", matches: record.authorities } as const;
        return { ...(await this.#conditions.applied(policy, established, record.config, at)), record };
      }),
    );
    const records = found.flatMap((item) =>
      "record" in item && item.record !== undefined ? [{ image: recordKey(image), record: item.record }] : [],
    );
    return { task, digest, records, verdicts: found.map(({ policy, verdict }) => ({ policy, verdict })) };
  }
}

function unresolved(thrown: unknown, at: Case): PolicyVerdict {
  const why = at.signal.aborted && !(thrown instanceof DeadlineMissed) ? MISSED : messageOf(thrown);
  return { kind: "undecided", reasons: [`the tag could not be resolved to a digest: ${why}`] };
}
