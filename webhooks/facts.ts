import { Shared } from "../adapters/shared.ts";
import { findRecord, isUsable, recordKey, scopeOf } from "../core/cache/freshness.ts";
import type { SealedRecords, VerificationRecord } from "../core/cache/record.ts";
import { canonicalName } from "../core/image/reference.ts";
import { conclude, keyAuthorities, type PolicyVerdict } from "../core/policy/evaluate.ts";
import type {
  AuthorityOutcome,
  CompiledPolicy,
  KeyAuthority,
  PinnedImage,
  VerifyKeyAuthority,
} from "../core/policy/types.ts";
import type { Case } from "./case.ts";
import { UNCACHED_TTL_MS } from "./digests.ts";
import type { Memory } from "./memory.ts";
import type { WebhookMetrics } from "./metrics.ts";

export type Finding =
  | { readonly kind: "pass"; readonly record: VerificationRecord }
  | Extract<PolicyVerdict, { readonly kind: "fail" | "undecided" }>;

/** Finds what is established about an image under a policy, the cheapest level first: memory, own annotation, owners', registry. */
export class Facts {
  readonly #verify: VerifyKeyAuthority;
  readonly #memory: Memory;
  readonly #metrics: WebhookMetrics;
  readonly #asked = new Shared<AuthorityOutcome>({ max: 1, keepMs: () => 0 });

  constructor(verify: VerifyKeyAuthority, memory: Memory, metrics: WebhookMetrics) {
    this.#verify = verify;
    this.#memory = memory;
    this.#metrics = metrics;
  }

  /** What `policy` finds about `image`. Never throws for what a registry does. */
  async find(image: PinnedImage, policy: CompiledPolicy, at: Case): Promise<Finding> {
    const key = this.#key(image, policy, at);
    const cached = (await this.#cached(key, image, policy, at)) ?? undefined;
    if (cached !== undefined) return { kind: "pass", record: cached };
    const verdict = await this.#ask(image, policy, at);
    if (verdict.kind !== "pass") return verdict;
    const record = this.#newRecord(policy, verdict.facts, at);
    this.#remember(key, record, at);
    return { kind: "pass", record };
  }

  #key(image: PinnedImage, policy: CompiledPolicy, at: Case): string {
    const { epoch, namespace } = at.context;
    return [recordKey(image), policy.uid, policy.hash, epoch, scopeOf(policy, namespace) ?? ""].join(" ");
  }

  async #cached(
    key: string,
    image: PinnedImage,
    policy: CompiledPolicy,
    at: Case,
  ): Promise<VerificationRecord | undefined> {
    const inMemory = this.#memory.records.get(key);
    if (inMemory !== undefined && isUsable(inMemory, policy, at.context)) return this.#hit("memory", inMemory);
    this.#metrics.lookups.inc({ level: "memory", result: "miss" });
    if (!at.snapshot.config.cacheEnabled) return undefined;
    const own = await at.own();
    const record =
      (own && this.#in(own, "own", image, policy, at)) ?? (at.owner && (await this.#inherited(image, policy, at)));
    if (record !== undefined) this.#remember(key, record, at);
    return record;
  }

  async #inherited(image: PinnedImage, policy: CompiledPolicy, at: Case): Promise<VerificationRecord | undefined> {
    for (let index = 0; ; index++) {
      const sealed = await at.inherited(index);
      const record = sealed && this.#in(sealed, "owner", image, policy, at);
      if (record !== undefined || sealed === undefined) return record;
    }
  }

  #in(
    sealed: SealedRecords,
    level: "own" | "owner",
    image: PinnedImage,
    policy: CompiledPolicy,
    at: Case,
  ): VerificationRecord | undefined {
    const record = findRecord(sealed, image, policy, at.context);
    if (record !== undefined) return this.#hit(level, record);
    this.#metrics.lookups.inc({ level, result: "miss" });
    return undefined;
  }

  #hit(level: "memory" | "own" | "owner", record: VerificationRecord): VerificationRecord {
    this.#metrics.lookups.inc({ level, result: "hit" });
    return record;
  }

  #remember(key: string, record: VerificationRecord, at: Case): void {
    const left = record.expires * 1000 - at.context.now.getTime();
    const ttl = at.snapshot.config.cacheEnabled ? left : Math.min(left, UNCACHED_TTL_MS);
    if (ttl > 0) this.#memory.records.set(key, record, { ttl });
  }

  #newRecord(policy: CompiledPolicy, facts: VerificationRecord["authorities"], at: Case): VerificationRecord {
    const issued = Math.floor(at.context.now.getTime() / 1000);
    const scope = scopeOf(policy, at.context.namespace);
    return {
      policyName: policy.name,
      policyUid: policy.uid,
      resourceVersion: policy.resourceVersion,
      policyHash: policy.hash,
      issued,
      expires: issued + at.snapshot.config.cacheTtlSeconds,
      authorities: facts,
      ...(scope !== undefined && { scope }),
    };
  }

  async #ask(image: PinnedImage, policy: CompiledPolicy, at: Case): Promise<PolicyVerdict> {
    const name = canonicalName({ ...image.reference, digest: image.digest });
    const outcomes = await Promise.all(
      keyAuthorities(policy).map(
        async (authority) => [authority.index, await this.#authority(image, policy, authority, at)] as const,
      ),
    );
    return conclude(policy, name, new Map(outcomes));
  }

  /** One authority, asked once however many wait. Only "looked and found nothing" is remembered, and only for seconds. */
  async #authority(
    image: PinnedImage,
    policy: CompiledPolicy,
    authority: KeyAuthority,
    at: Case,
  ): Promise<AuthorityOutcome> {
    const key = `${recordKey(image)} ${policy.hash} ${authority.index} ${at.credentialScope}`;
    const denial = this.#memory.denials.get(key);
    if (denial !== undefined) return { kind: "failed", message: denial };
    try {
      const work = async (signal: AbortSignal) =>
        this.#verify(image, authority, await at.keychain(authority.source.pullSecrets), signal);
      const { value: outcome } = await this.#asked.get(key, at.signal, work);
      this.#metrics.verifications.inc({ outcome: outcome.kind });
      if (outcome.kind === "failed") this.#memory.denials.set(key, outcome.message);
      return outcome;
    } catch (thrown) {
      this.#metrics.verifications.inc({ outcome: "undecided" });
      return { kind: "undecided", message: undecidedMessage(thrown, at.signal) };
    }
  }
}

function undecidedMessage(thrown: unknown, signal: AbortSignal): string {
  if (signal.aborted) return "the registry did not answer before the admission deadline; try again";
  return thrown instanceof Error ? thrown.message : String(thrown);
}
