import { isRegistryError } from "../adapters/registry/errors.ts";
import { Shared } from "../adapters/shared.ts";
import { CLOCK_SKEW_SECONDS, isAlive, lifeOf } from "../core/cache/freshness.ts";
import type { SealedRecords } from "../core/cache/record.ts";
import { type Digest, type ImageReference, repositoryName } from "../core/image/reference.ts";
import type { ResolveDigest, Say } from "../core/policy/types.ts";
import type { Case } from "./case.ts";
import type { Memory } from "./memory.ts";
import type { WebhookMetrics } from "./metrics.ts";
import { DeadlineMissed, Progress } from "./progress.ts";

/** The name under which a tag is pinned: `registry/repository:tag`. */
export function pinKey(reference: ImageReference): string {
  return `${repositoryName(reference)}:${reference.tag ?? "latest"}`;
}

/** An image by the name that it is written with, which is whose tag counts, and by the one that records are kept under. */
export interface NamedImage {
  readonly reference: ImageReference;
  readonly subject: ImageReference;
}

/** The sealed digest of a tag, with the youngest record that is alive beside it: a pin lives as long as that. */
function livePin(
  sealed: SealedRecords,
  { reference, subject }: NamedImage,
  { snapshot, context }: Case,
): { readonly digest: Digest; readonly issued: number } | undefined {
  const digest = sealed.pins.get(pinKey(reference));
  if (digest === undefined) return undefined;
  const records = [...(sealed.records.get(`${repositoryName(subject)}@${digest}`)?.values() ?? [])];
  const lifeBy = (uid: string) =>
    lifeOf(
      snapshot.policies.find((policy) => policy.uid === uid),
      context,
    );
  const alive = records
    .filter((record) => isAlive(record, lifeBy(record.policyUid), context.now))
    .map(({ issued }) => issued);
  return alive.length === 0 ? undefined : { digest, issued: Math.max(...alive) };
}

/**
 * Tells which digest a tag stands for (design D5): all Pods of one template revision get the digest that was sealed for the
 * template; what has no owner asks the registry, at most once per `tag-ttl`.
 */
export class Digests {
  readonly #resolve: ResolveDigest;
  readonly #memory: Memory;
  readonly #metrics: WebhookMetrics;
  readonly #progress = new Progress();
  readonly #asked = new Shared<{ readonly digest: Digest }>({ max: 1, keepMs: () => 0 });

  constructor(resolve: ResolveDigest, memory: Memory, metrics: WebhookMetrics) {
    this.#resolve = resolve;
    this.#memory = memory;
    this.#metrics = metrics;
  }

  /** The digest of an image. Throws the registry's error when nothing knows it. */
  async of(image: NamedImage, at: Case): Promise<Digest> {
    const { reference } = image;
    if (reference.digest !== undefined) return reference.digest;
    const sealed = at.owner === undefined ? await this.#ownerless(image, at) : await this.#inherited(image, at);
    if (sealed !== undefined) return sealed;
    const key = `${pinKey(reference)} ${at.credentialScope}`; // what one's credentials reveal is not for others
    const known = this.#memory.pins.get(key);
    const ageMs = known === undefined ? Number.NaN : at.context.now.getTime() - known.resolvedAt;
    // Another request may have resolved it since this one began; from further ahead it is a clock that was set back.
    const young = ageMs >= -CLOCK_SKEW_SECONDS * 1000 && ageMs <= maxAgeMs(at);
    return known !== undefined && young ? known.digest : await this.#anew(image, key, at);
  }

  /** What the registry says now. A rollback needs it the least and comes when it is missed the most: what it brings sealed stands in. */
  async #anew(image: NamedImage, key: string, at: Case): Promise<Digest> {
    try {
      return await this.#ask(image.reference, key, at);
    } catch (thrown) {
      const isRollback = at.restarted && at.bringsAnnotation;
      const own = isRollback && isRegistryError(thrown, ...SILENT) ? await at.own() : undefined;
      const pin = own && livePin(own, image, at);
      if (pin === undefined) throw thrown;
      return pin.digest;
    }
  }

  /** What an owned object carries itself (a ReplicaSet its Deployment's annotation) or was robbed of, then what its owners carry. */
  async #inherited(image: NamedImage, at: Case): Promise<Digest | undefined> {
    const own = await at.own();
    const pin = (own && livePin(own, image, at)) ?? (await this.#kept(image, at));
    if (pin !== undefined) return pin.digest;
    for (let index = 0; ; index++) {
      const sealed = await at.inherited(index);
      const found = sealed && livePin(sealed, image, at);
      if (found !== undefined || sealed === undefined) return found?.digest;
    }
  }

  /** What is there already keeps the digest that it was sealed with, whatever annotation an UPDATE brings. */
  async #kept(image: NamedImage, at: Case): Promise<{ readonly digest: Digest } | undefined> {
    const before = at.unchanged ? await at.before() : undefined;
    return before && livePin(before, image, at);
  }

  async #ownerless(image: NamedImage, at: Case): Promise<Digest | undefined> {
    return (await this.#kept(image, at))?.digest ?? (await this.#justSealed(image, at));
  }

  /**
   * Without an owner, a pin of its own is no more than what the mutating webhook found moments ago, perhaps on another replica: an
   * object that was exported and is applied again must not roll its tag back.
   */
  async #justSealed(image: NamedImage, at: Case): Promise<Digest | undefined> {
    if (at.phase !== "validate") return undefined;
    const now = at.context.now.getTime();
    const own = await at.own();
    const pin = own && livePin(own, image, at);
    return pin !== undefined && now - pin.issued * 1000 <= maxAgeMs(at) ? pin.digest : undefined;
  }

  async #ask(reference: ImageReference, key: string, at: Case): Promise<Digest> {
    const resolve = async (signal: AbortSignal, say: Say) => {
      try {
        const digest = await this.#resolve(reference, await at.keychain([]), signal, say);
        this.#metrics.resolutions.inc({ outcome: "resolved" });
        this.#memory.pins.set(key, { digest, resolvedAt: at.context.now.getTime() });
        return { digest };
      } catch (thrown) {
        this.#metrics.resolutions.inc({ outcome: "error" });
        throw thrown;
      }
    };
    const work = (signal: AbortSignal) => this.#progress.during(key, signal, (say) => resolve(signal, say));
    try {
      return (await this.#asked.get(key, at.signal, work)).value.digest;
    } catch (thrown) {
      throw at.signal.aborted ? new DeadlineMissed(this.#progress.missed(key), { cause: thrown }) : thrown;
    }
  }
}

/** How old a tag's digest may be that is not asked for again. */
function maxAgeMs(at: Case): number {
  if (at.restarted) return at.phase === "mutate" ? -1 : HANDOVER_MS;
  return at.snapshot.config.cacheEnabled ? at.snapshot.config.tagTtlSeconds * 1000 : UNCACHED_TTL_MS;
}

/** The registry said nothing about the tag. */
const SILENT = ["REGISTRY_UNREACHABLE", "REGISTRY_TIMEOUT", "REGISTRY_THROTTLED"] as const;

/** From the mutating webhook's answer to the validating one's question. */
const HANDOVER_MS = 15_000;

/** With the cache off memory only carries a result from the mutating webhook to the validating one. */
export const UNCACHED_TTL_MS = 10_000;
