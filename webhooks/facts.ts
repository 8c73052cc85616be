import { Shared } from "../adapters/shared.ts";
import { endOf, findRecord, isUsable, lifeOf, recordKey, scopeOf } from "../core/cache/freshness.ts";
import type { SealedRecords, VerificationRecord } from "../core/cache/record.ts";
import { messageOf } from "../core/errors.ts";
import { canonicalName } from "../core/image/reference.ts";
import { conclude, type PolicyVerdict, signedAuthorities } from "../core/policy/evaluate.ts";
import type {
  AuthorityOutcome,
  CompiledPolicy,
  FetchConfigFiles,
  PinnedImage,
  Say,
  SignedAuthority,
  VerifyAuthority,
} from "../core/policy/types.ts";
import type { Case } from "./case.ts";
import { UNCACHED_TTL_MS } from "./digests.ts";
import type { Memory } from "./memory.ts";
import type { WebhookMetrics } from "./metrics.ts";
import { Progress } from "./progress.ts";

export type Finding =
  | { readonly kind: "pass"; readonly record: VerificationRecord }
  | Extract<PolicyVerdict, { readonly kind: "fail" | "undecided" }>;

/** Ports to what is outside: registries, and through them whoever signed. */
export interface FactSources {
  readonly verify: VerifyAuthority;
  readonly configFiles: FetchConfigFiles;
}

/** What was found out about an image, to be recorded. */
type Established = Pick<VerificationRecord, "authorities" | "config">;

/** Finds what is established about an image under a policy, the cheapest level first: memory, own annotation, owners', registry. */
export class Facts {
  readonly #sources: FactSources;
  readonly #memory: Memory;
  readonly #metrics: WebhookMetrics;
  readonly #asked = new Shared<AuthorityOutcome>({ max: 1, keepMs: () => 0 });
  readonly #progress = new Progress();
  readonly #configs = new Shared<{ readonly config: string }>({ max: 1, keepMs: () => 0 });

  constructor(sources: FactSources, memory: Memory, metrics: WebhookMetrics) {
    this.#sources = sources;
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
    const established = await this.#withConfig(image, policy, verdict.matches, at);
    if (typeof established === "string") return { kind: "undecided", reasons: [established] };
    return { kind: "pass", record: this.#recorded(key, policy, at) ?? this.#record(key, policy, established, at) };
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
    const inMemory = this.#recorded(key, policy, at);
    if (inMemory !== undefined) return this.#hit("memory", inMemory);
    this.#metrics.lookups.inc({ level: "memory", result: "miss" });
    if (!isCached(policy, at)) return undefined;
    const record =
      this.#in(await at.own(), "own", image, policy, at) ??
      this.#in(await at.before(), "own", image, policy, at) ??
      (at.owner && (await this.#inherited(image, policy, at)));
    if (record !== undefined) this.#remember(key, record, policy, at);
    return record;
  }

  /** What memory has. Of those who waited for one answer, the first records it, so that all seal the same. */
  #recorded(key: string, policy: CompiledPolicy, at: Case): VerificationRecord | undefined {
    const known = this.#memory.records.get(key);
    return known !== undefined && isUsable(known, policy, at.context, memoryLife(policy, at)) ? known : undefined;
  }

  async #inherited(image: PinnedImage, policy: CompiledPolicy, at: Case): Promise<VerificationRecord | undefined> {
    for (let index = 0; ; index++) {
      const sealed = await at.inherited(index);
      const record = this.#in(sealed, "owner", image, policy, at);
      if (record !== undefined || sealed === undefined) return record;
    }
  }

  #in(
    sealed: SealedRecords | undefined,
    level: "own" | "owner",
    image: PinnedImage,
    policy: CompiledPolicy,
    at: Case,
  ): VerificationRecord | undefined {
    if (sealed === undefined) return undefined;
    const record = findRecord(sealed, image, policy, at.context);
    if (record !== undefined) return this.#hit(level, record);
    this.#metrics.lookups.inc({ level, result: "miss" });
    return undefined;
  }

  #hit(level: "memory" | "own" | "owner", record: VerificationRecord): VerificationRecord {
    this.#metrics.lookups.inc({ level, result: "hit" });
    return record;
  }

  #remember(key: string, record: VerificationRecord, policy: CompiledPolicy, at: Case): void {
    const ttl = endOf(record, memoryLife(policy, at)) * 1000 - at.context.now.getTime();
    if (ttl > 0) this.#memory.records.set(key, record, { ttl });
  }

  #record(key: string, policy: CompiledPolicy, established: Established, at: Case): VerificationRecord {
    const issued = Math.floor(at.context.now.getTime() / 1000);
    const scope = scopeOf(policy, at.context.namespace);
    const record: VerificationRecord = {
      policyName: policy.name,
      policyUid: policy.uid,
      resourceVersion: policy.resourceVersion,
      policyHash: policy.hash,
      issued,
      expires: issued + memoryLife(policy, at),
      ...established,
      ...(scope !== undefined && { scope }),
    };
    this.#remember(key, record, policy, at);
    return record;
  }

  async #ask(image: PinnedImage, policy: CompiledPolicy, at: Case): Promise<PolicyVerdict> {
    const name = canonicalName({ ...image.reference, digest: image.digest });
    const outcomes = await Promise.all(
      signedAuthorities(policy).map(
        async (authority) => [authority.index, await this.#authority(image, policy, authority, at)] as const,
      ),
    );
    return conclude(policy, name, new Map(outcomes));
  }

  /** The image's configuration too, where `spec.policy` judges it; a text says why it could not be read. */
  async #withConfig(
    image: PinnedImage,
    policy: CompiledPolicy,
    authorities: VerificationRecord["authorities"],
    at: Case,
  ): Promise<Established | string> {
    if (policy.condition?.fetchConfigFile !== true) return { authorities };
    const key = `${recordKey(image)} ${at.credentialScope}`;
    try {
      const work = (signal: AbortSignal) =>
        this.#progress.during(key, signal, async (say) => ({
          config: await this.#sources.configFiles(image, await at.keychain([]), signal, say),
        }));
      const { value } = await this.#configs.get(key, at.signal, work);
      return { authorities, config: value.config };
    } catch (thrown) {
      return `the configuration of ${recordKey(image)} could not be read: ${this.#undecided(thrown, key, at)}`;
    }
  }

  /** One authority, asked once however many wait. Only "looked and found nothing" is remembered, and only for seconds. */
  async #authority(
    image: PinnedImage,
    policy: CompiledPolicy,
    authority: SignedAuthority,
    at: Case,
  ): Promise<AuthorityOutcome> {
    const key = `${recordKey(image)} ${policy.hash} ${authority.index} ${at.credentialScope}`;
    const denial = this.#memory.denials.get(key);
    if (denial !== undefined) return denial;
    try {
      const work = (signal: AbortSignal) =>
        this.#progress.during(key, signal, (say) => this.#verify(image, authority, at, signal, say));
      const { value: outcome } = await this.#asked.get(key, at.signal, work);
      if (outcome.kind === "failed") this.#memory.denials.set(key, outcome);
      return outcome;
    } catch (thrown) {
      return { kind: "undecided", message: this.#undecided(thrown, key, at) };
    }
  }

  #undecided(thrown: unknown, key: string, at: Case): string {
    return at.signal.aborted ? this.#progress.missed(key) : messageOf(thrown);
  }

  async #verify(
    image: PinnedImage,
    authority: SignedAuthority,
    at: Case,
    signal: AbortSignal,
    say: Say,
  ): Promise<AuthorityOutcome> {
    try {
      const outcome = await this.#sources.verify(
        image,
        authority,
        await at.keychain(authority.source.pullSecrets),
        signal,
        say,
      );
      this.#metrics.verifications.inc({ outcome: outcome.kind });
      return outcome;
    } catch (thrown) {
      this.#metrics.verifications.inc({ outcome: "undecided" });
      throw thrown;
    }
  }
}

/** Whether results of `policy` are sealed, and believed when they are. */
function isCached(policy: CompiledPolicy, at: Case): boolean {
  return at.snapshot.config.cacheEnabled && lifeOf(policy, at.context) > 0;
}

/** How long memory holds results, in seconds: what is not cached, only until the validating webhook has asked. */
function memoryLife(policy: CompiledPolicy, at: Case): number {
  return isCached(policy, at) ? lifeOf(policy, at.context) : UNCACHED_TTL_MS / 1000;
}
