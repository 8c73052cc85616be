import type { ServerResponse } from "node:http";
import { LRUCache } from "lru-cache";
import type { Clock } from "../adapters/clock.ts";
import { startDeadline } from "../adapters/deadline.ts";
import { Shared } from "../adapters/shared.ts";
import { DomainError } from "../core/errors.ts";
import { warningHeader } from "../core/gateway/catalog.ts";
import {
  artifactTypesOf,
  filterReferrers,
  formatReferrers,
  REFERRERS_LIMITS,
  uniteReferrers,
} from "../core/gateway/referrers.ts";
import { type ReferrersFailure, referrersUnknown, referrersWarning } from "../core/gateway/referrers-errors.ts";
import type { RepositoryRequest } from "../core/gateway/request.ts";
import { OCI_INDEX } from "../core/registry/media-types.ts";
import { Slots } from "../core/slots.ts";
import { asBackendError, BackendError, type Backends } from "./backend.ts";
import { type Exchange, errorScope, type Outcome } from "./proxy.ts";
import { type List, ReferrersMemory } from "./referrers-memory.ts";
import { backendTag } from "./referrers-tag.ts";
import type { Listed, Subject, UpstreamReferrers } from "./referrers-upstream.ts";
import { sendError, sendJson } from "./respond.ts";

/** Bounds and times of lists of referrers. */
export interface ReferrersTimes {
  /** How long a list serves again, so that many who ask at once cost the upstream one request. */
  readonly freshMs: number;
  /** How long an upstream that did not answer is left alone by those whose list is remembered. */
  readonly awayMs: number;
  /** How long the proxy's word on the referrers tag is waited for when the upstream's list is there. */
  readonly tagMs: number;
  /** How long an upstream that others ask too is waited for by those whose list is remembered. */
  readonly queueMs: number;
}

export const REFERRERS_TIMES: ReferrersTimes = { freshMs: 3_000, awayMs: 5_000, tagMs: 5_000, queueMs: 2_000 };

const FRESH_LISTS = 256;
const FRESH_BYTES = 64 * 1024; // larger ones are read again, so that what is fresh takes 16 MiB at most
const AT_ONCE = 16; // of one upstream, each with 2 lists of 2 MiB at most
const WAITING = 256;
const LONGEST_WAIT_MS = 60_000;
const HOSTS = 1_000;

/** A list to answer with. */
interface Found extends List {
  /** Why it is not what the upstream says now. */
  readonly stale?: { readonly failure: ReferrersFailure; readonly from: Date | "tag" };
  /** What is missing of it. */
  readonly gap?: ReferrersFailure;
}

/** Nobody can say what refers to a manifest. */
class Unknown extends DomainError<ReferrersFailure["problem"]> {
  readonly failure: ReferrersFailure;

  constructor(failure: ReferrersFailure) {
    super(failure.problem, failure.why);
    this.failure = failure;
  }
}

export interface ReferrersOptions {
  readonly backends: Backends;
  /** The origin (scheme, host, port) of the proxy of an upstream host. */
  readonly originOf: (upstreamHost: string) => string;
  readonly upstream: Pick<UpstreamReferrers, "list" | "tagged">;
  readonly clock: Pick<Clock, "now">;
  readonly memory?: ReferrersMemory;
  readonly times?: ReferrersTimes;
}

/** A declared request for what refers to a manifest. */
export type ReferrersExchange = Exchange<Extract<RepositoryRequest, { kind: "referrers" }>>;

/**
 * The referrers API (distribution specification v1.1, end-12a and 12b), which the proxies do not have: what the upstream's own API says,
 * united with the referrers tag, which is read through the proxy so that its storage has it when the upstream is away. An upstream that
 * cannot be asked leaves what was remembered, else the tag; with neither the answer is an error, for an empty list says that there is
 * nothing.
 */
export class ReferrersLists {
  readonly #options: ReferrersOptions;
  readonly #times: ReferrersTimes;
  readonly #memory: ReferrersMemory;
  readonly #fresh: Shared<Found>;
  readonly #away: LRUCache<string, ReferrersFailure>;
  readonly #slots = new LRUCache<string, Slots>({ max: HOSTS });

  constructor(options: ReferrersOptions) {
    this.#options = options;
    this.#times = options.times ?? REFERRERS_TIMES;
    this.#memory = options.memory ?? new ReferrersMemory();
    const { freshMs, awayMs } = this.#times;
    this.#fresh = new Shared({ max: FRESH_LISTS, keepMs: ({ text }) => (text.length <= FRESH_BYTES ? freshMs : 0) });
    this.#away = new LRUCache({ max: HOSTS, ttl: Math.max(1, awayMs) });
  }

  /** Serves one request to its end. Never rejects. */
  async serve(exchange: ReferrersExchange, res: ServerResponse): Promise<Outcome> {
    const gone = new AbortController();
    const leave = (): void => gone.abort(new BackendError("CLIENT_GONE", "the client went away"));
    res.once("close", leave);
    if (res.destroyed) leave();
    const { host, repository } = exchange.match.upstream;
    const subject = { host, repository, digest: exchange.request.reference };
    try {
      const key = JSON.stringify([host, repository, subject.digest]);
      const { value } = await this.#fresh.get(
        key,
        gone.signal,
        async (signal) => await this.#find(key, subject, signal),
      );
      return await this.#answer(exchange, value, res);
    } catch (thrown) {
      if (thrown instanceof Unknown) return fail(exchange, thrown.failure, res);
      const { code, message } = asBackendError(thrown);
      if (code === "CLIENT_GONE") return { bytes: 0, problem: code };
      return fail(exchange, { problem: "UPSTREAM_UNREACHABLE", why: message }, res);
    }
  }

  async #answer(exchange: ReferrersExchange, found: Found, res: ServerResponse): Promise<Outcome> {
    const refusal = found.marked ? await exchange.admitMarked() : undefined;
    if (refusal !== undefined) {
      sendError(res, refusal.error, refusal.headers);
      return { bytes: 0 };
    }
    const types = artifactTypesOf(exchange.request.query);
    const referrers = filterReferrers(found.referrers, types);
    const { stale, gap } = found;
    const missed = stale?.failure ?? gap;
    if (missed !== undefined && referrers.length === 0) return fail(exchange, missed, res);
    const warning = stale === undefined ? gap?.why : referrersWarning(stale.failure, stale.from);
    const problem = stale?.failure.problem ?? gap?.problem;
    const body = types.length === 0 ? found.text : formatReferrers(referrers);
    sendJson(res, 200, body, {
      "content-type": OCI_INDEX,
      ...(types.length > 0 && { "oci-filters-applied": "artifactType" }),
      ...(warning !== undefined && { warning: warningHeader(warning) }),
    });
    return {
      bytes: exchange.method === "HEAD" ? 0 : Buffer.byteLength(body),
      ...(problem !== undefined && { problem }),
    };
  }

  async #find(key: string, subject: Subject, signal: AbortSignal): Promise<Found> {
    const known = this.#whileAway(key, subject.host);
    if (known !== undefined) return known;
    let begun = false;
    using wait = startDeadline(this.#memory.has(key) ? this.#times.queueMs : LONGEST_WAIT_MS, signal);
    try {
      return await this.#slotsOf(subject.host).run(async () => {
        begun = true;
        return this.#whileAway(key, subject.host) ?? (await this.#ask(key, subject, signal));
      }, wait.signal);
    } catch (thrown) {
      const isBusy = wait.expired || (thrown instanceof DomainError && thrown.code === "BUSY");
      if (begun || !isBusy) throw thrown;
      const failure = { problem: "UPSTREAM_BUSY", why: "too many wait for this upstream already" } as const;
      const remembered = this.#memory.get(key);
      if (remembered === undefined) throw new Unknown(failure);
      return { ...remembered, stale: { failure, from: remembered.at } };
    }
  }

  /** What is remembered, while the upstream is left alone. */
  #whileAway(key: string, host: string): Found | undefined {
    const failure = this.#away.get(host);
    const known = failure === undefined ? undefined : this.#memory.get(key);
    return failure && known && { ...known, stale: { failure, from: known.at } };
  }

  async #ask(key: string, subject: Subject, signal: AbortSignal): Promise<Found> {
    const { upstream, backends, originOf } = this.#options;
    const tag = backendTag(backends, originOf(subject.host), subject, signal);
    const listed = this.#throttled(subject.host) ?? (await upstream.list(subject, signal));
    if (listed.kind === "failed") return await this.#without(listed.failure, key, subject, tag, signal);
    let last = await (listed.kind === "list" ? soon(tag, this.#times.tagMs) : tag);
    // Without an API nobody but the upstream can say that there is no tag: a proxy says so of what it could not get, too.
    const isOpen = last.kind === "failed" || (last.kind === "none" && listed.kind === "none");
    if (isOpen && isEmpty([listed])) last = await upstream.tagged(subject, signal);
    const parts = [listed, last];
    if (last.kind === "failed" && isEmpty(parts)) return await this.#without(last.failure, key, subject, tag, signal);
    this.#away.delete(subject.host);
    const found = united(parts);
    const gap = last.kind === "failed" ? last.failure : undefined;
    if (gap === undefined || !this.#memory.has(key)) this.#memory.set(key, { ...found, at: this.#options.clock.now() });
    return { ...found, ...(gap !== undefined && { gap }) };
  }

  /** An upstream that limits the rate of requests is asked by nobody for a while. */
  #throttled(host: string): Listed | undefined {
    const failure = this.#away.get(host);
    return failure?.problem === "UPSTREAM_THROTTLED" ? { kind: "failed", failure } : undefined;
  }

  /** What there is without the upstream's word. */
  async #without(
    failure: ReferrersFailure,
    key: string,
    { host }: Subject,
    tag: Promise<Listed>,
    signal: AbortSignal,
  ): Promise<Found> {
    // A request that was given up says nothing of the upstream.
    const isNews = KEEP_AWAY.has(failure.problem) && this.#away.get(host) !== failure && !signal.aborted;
    if (isNews) this.#away.set(host, failure);
    const known = this.#memory.get(key);
    if (known !== undefined) return { ...known, stale: { failure, from: known.at } };
    const tagged = await tag;
    if (tagged.kind !== "list") throw new Unknown(failure);
    return { ...united([tagged]), stale: { failure, from: "tag" } };
  }

  #slotsOf(host: string): Slots {
    const slots = this.#slots.get(host) ?? new Slots(AT_ONCE, WAITING);
    this.#slots.set(host, slots);
    return slots;
  }
}

const KEEP_AWAY: ReadonlySet<string> = new Set(["UPSTREAM_UNREACHABLE", "UPSTREAM_TIMEOUT", "UPSTREAM_THROTTLED"]);
const TOO_MANY: ReferrersFailure = {
  problem: "UPSTREAM_EXCESSIVE",
  why: `more than ${REFERRERS_LIMITS.descriptors} manifests refer to it, which is more than the cache reads`,
};

function isEmpty(parts: readonly Listed[]): boolean {
  return parts.every((one) => one.kind !== "list" || one.referrers.length === 0);
}

/** Throws `Unknown` when there are more than the gateway reads. */
function united(parts: readonly Listed[]): List {
  const referrers = uniteReferrers(...parts.map((one) => (one.kind === "list" ? one.referrers : [])));
  if (referrers.length > REFERRERS_LIMITS.descriptors) throw new Unknown(TOO_MANY);
  const marked = parts.some((one) => one.kind !== "failed" && one.marked);
  return { referrers, text: formatReferrers(referrers), marked };
}

function fail(exchange: ReferrersExchange, failure: ReferrersFailure, res: ServerResponse): Outcome {
  const { retryAfterMs } = failure;
  const later = retryAfterMs === undefined ? {} : { "retry-after": `${Math.ceil(retryAfterMs / 1000)}` };
  sendError(res, referrersUnknown(failure, exchange.request.reference, errorScope(exchange)), later);
  return { bytes: 0, problem: failure.problem };
}

/** What the proxy says of the tag, if it says it soon. */
async function soon(tag: Promise<Listed>, ms: number): Promise<Listed> {
  const { promise, resolve } = Promise.withResolvers<Listed>();
  const why = "the proxy did not say in time whether there is a referrers tag";
  const timer = setTimeout(() => resolve({ kind: "failed", failure: { problem: "UPSTREAM_TIMEOUT", why } }), ms);
  return await Promise.race([tag, promise]).finally(() => clearTimeout(timer));
}
