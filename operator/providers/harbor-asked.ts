import type { Clock } from "../../adapters/clock.ts";
import { shownHost } from "../../core/cacheregistry/upstream.ts";
import { type CacheRegistryObject, REASON } from "../../crds/index.ts";
import type { Verdict } from "./harbor-outcome.ts";

interface Answer {
  readonly verdict: Verdict;
  /** By the monotonic clock. */
  readonly atMs: number;
  /** Whether it kept Harbor waiting until the time was up. */
  readonly isSilent: boolean;
}

type Known = Pick<CacheRegistryObject, "metadata" | "status">;

/** Remembers what came of having Harbor ask upstreams: whose turn is next, and what is said of those that a look has no time for. */
export class AskedUpstreams {
  readonly #clock: Pick<Clock, "monotonicMs">;
  /** uid of the CacheRegistry → host → what came of it. */
  readonly #answers = new Map<string, Map<string, Answer>>();

  constructor(clock: Pick<Clock, "monotonicMs">) {
    this.#clock = clock;
  }

  note({ metadata }: Known, host: string, verdict: Verdict, isSilent = false): void {
    const answers = this.#answers.get(metadata.uid) ?? new Map<string, Answer>();
    this.#answers.set(metadata.uid, answers.set(host, { verdict, atMs: this.#clock.monotonicMs(), isSilent }));
  }

  /** Of an upstream whose endpoint tells by itself how it is, an older answer counts no longer. */
  drop({ metadata }: Known, host: string): void {
    this.#answers.get(metadata.uid)?.delete(host);
  }

  forget({ metadata }: Known): void {
    this.#answers.delete(metadata.uid);
  }

  wasSilentWithin({ metadata }: Known, host: string, ms: number): boolean {
    const answer = this.#answers.get(metadata.uid)?.get(host);
    return answer?.isSilent === true && this.#clock.monotonicMs() < answer.atMs + ms;
  }

  /**
   * `hosts` in the order to ask about them, and forgets all others of the registry. Those that gave no answer come last: however many
   * they are, they keep no other from being looked at. Among equals it is the turn of whoever was asked about longest ago, or never.
   */
  inTurn(registry: Known, hosts: readonly string[]): readonly string[] {
    const wanted = new Set(hosts);
    const answers = this.#answers.get(registry.metadata.uid);
    for (const host of answers?.keys() ?? []) if (!wanted.has(host)) answers?.delete(host);
    const places = hosts.map((host) => ({
      host,
      isAway: this.kept(registry, host).reason === REASON.UpstreamUnreachable,
      atMs: answers?.get(host)?.atMs ?? -1,
    }));
    places.sort((a, b) => Number(a.isAway) - Number(b.isAway) || a.atMs - b.atMs);
    return places.map(({ host }) => host);
  }

  /**
   * What is said of an upstream that Harbor would have to ask, but is not made to: what came of it last; what status says, after a
   * restart. Nothing that only a new answer could confirm: no upstream is Healthy by an old one.
   */
  kept(registry: Known, host: string): Verdict {
    const verdict = this.#answers.get(registry.metadata.uid)?.get(host)?.verdict ?? fromStatus(registry, host);
    return verdict === undefined || verdict.health === "Healthy" ? unasked(host) : verdict;
  }
}

/** Only what an upstream itself said, or did not say: everything else is Entrepot's to judge, and is judged anew. */
function fromStatus({ status }: Known, host: string): Verdict | undefined {
  const shown = shownHost(host);
  const reason = status?.upstreams?.find((upstream) => upstream.host === shown)?.reason;
  const message = `Harbor was not asked about ${shown} again, because other upstreams kept it waiting; before, its state was ${reason}`;
  if (reason === REASON.UpstreamUnreachable) return { health: "Unhealthy", reason, message, fault: "upstream" };
  if (reason === REASON.CredentialsUnhealthy) return { health: "Unhealthy", reason, message, fault: "credentials" };
  return undefined;
}

/** Nothing was found out: other upstreams took all the time that there was. */
function unasked(host: string): Verdict {
  const message = `Harbor was not asked about ${shownHost(host)}, because other upstreams kept it waiting; it comes first at the next look: see to those that are UpstreamUnreachable`;
  return { health: "Unknown", reason: REASON.Unknown, message };
}
