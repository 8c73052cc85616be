import { startDeadline } from "../../adapters/deadline.ts";
import { ProductError } from "../../adapters/products/errors.ts";
import type { EndpointWrite, HarborApi } from "../../adapters/products/harbor.ts";
import { shownHost } from "../../core/cacheregistry/upstream.ts";
import { normaliseHost } from "../../core/image/reference.ts";
import {
  ANONYMOUS,
  type DesiredEndpoint,
  endpointDifferences,
  endpointMark,
  endpointName,
  endpointType,
  endpointUrl,
  type FoundEndpoint,
  ownerOf,
  secretVersion,
} from "../../core/product/harbor-endpoint.ts";
import { type CacheRegistryObject, REASON, type Reason, type Upstream } from "../../crds/index.ts";
import { resolveUpstream } from "../incluster/upstreams.ts";
import { inParallel } from "../parallel.ts";
import { AskedUpstreams } from "./harbor-asked.ts";
import type { EndpointState, Verdict } from "./harbor-outcome.ts";
import type { ProductContext } from "./provider.ts";

interface Wanted {
  readonly desired: DesiredEndpoint;
  readonly write: EndpointWrite;
  /** Where the credentials are from, for messages. */
  readonly secret: string | undefined;
}

/** The calls by which an endpoint is looked at, made and changed. */
export type EndpointApi = Pick<HarborApi, "createEndpoint" | "endpoint" | "reaches" | "updateEndpoint">;

/** One look at the endpoints of a registry: `made` has those that Harbor showed. */
export interface EndpointLook {
  readonly api: EndpointApi;
  readonly registry: CacheRegistryObject;
  readonly made: readonly FoundEndpoint[];
  readonly signal: AbortSignal;
}

/** How long Harbor may wait for upstreams on Entrepot's behalf. */
export interface AskingLimits {
  /** Milliseconds for one upstream, all calls together. */
  readonly upstreamMs: number;
  /** After so many milliseconds a look at all upstreams begins with no further one. */
  readonly lookMs: number;
  /** For so many milliseconds the rules of an upstream that kept Harbor waiting do not have it asked again. */
  readonly silentMs: number;
}

/** Listing, looking and the last upstream begun stay together below the two minutes that one reconcile has. */
const LIMITS: AskingLimits = { upstreamMs: 15_000, lookMs: 40_000, silentMs: 60_000 };
const WIDTH = 4; // of the connections in harbor-http.ts; the others are for rules

/** Keeps the registry endpoints of Harbor as the upstreams of CacheRegistries declare them. Of an endpoint that bears another's mark, or none, it says so. */
export class HarborEndpoints {
  readonly #context: Pick<ProductContext, "namespace" | "secrets" | "clock">;
  readonly #limits: AskingLimits;
  readonly #asked: AskedUpstreams;

  constructor(context: Pick<ProductContext, "namespace" | "secrets" | "clock">, limits: Partial<AskingLimits> = {}) {
    this.#context = context;
    this.#limits = { ...LIMITS, ...limits };
    this.#asked = new AskedUpstreams(context.clock);
  }

  /**
   * Makes or corrects the endpoints for `hosts`, several at once. Bounded in time: a state for each host comes back, however many
   * upstreams keep Harbor waiting. One that there was no time for keeps what was last found, so that looks without news say the same, and
   * has its turn before those that were asked. Throws when Harbor itself is in trouble.
   */
  async ensureAll(look: EndpointLook, hosts: readonly string[]): Promise<readonly EndpointState[]> {
    const { clock } = this.#context;
    const untilMs = clock.monotonicMs() + this.#limits.lookMs;
    const states = new Map<string, EndpointState>();
    await inParallel(this.#asked.inTurn(look.registry, hosts), WIDTH, async (host) => {
      const instead = clock.monotonicMs() < untilMs ? undefined : this.#asked.kept(look.registry, host);
      states.set(host, await this.#ensure(look, host, instead));
    });
    return hosts.flatMap((host) => states.get(host) ?? []);
  }

  /** As `ensureAll`, for one host on behalf of a rule: an upstream that has just kept Harbor waiting is not asked for every rule. */
  async ensure(look: EndpointLook, host: string): Promise<EndpointState> {
    const isSilent = this.#asked.wasSilentWithin(look.registry, host, this.#limits.silentMs);
    return await this.#ensure(look, host, isSilent ? silent(host) : undefined);
  }

  /** To be called when the registry goes. */
  forget(registry: CacheRegistryObject): void {
    this.#asked.forget(registry);
  }

  /** `instead` is what is said of an upstream that Harbor would have to ask, but shall not. */
  async #ensure(
    { api, registry, made, signal }: EndpointLook,
    host: string,
    instead: Verdict | undefined,
  ): Promise<EndpointState> {
    const entry = registry.spec.upstreams?.find((candidate) => normaliseHost(candidate.host) === host);
    const state = { host, anonymous: entry?.credentials === undefined };
    const wanted = this.#wanted(registry, host, entry);
    if ("reason" in wanted) {
      this.#asked.drop(registry, host);
      return { ...state, ...wanted };
    }
    const found = made.find((one) => one.name === wanted.desired.name);
    const shown = found === undefined ? undefined : asShown(wanted.desired, found);
    if (shown !== undefined) {
      this.#asked.drop(registry, host);
      return { ...state, ...shown };
    }
    const known = { ...state, ...(found !== undefined && { id: found.id }) };
    if (instead !== undefined) return { ...known, ...instead };
    using budget = startDeadline(this.#limits.upstreamMs, signal);
    try {
      const { id, ...verdict } = await this.#ask(api, host, wanted, found, budget.signal);
      this.#asked.note(registry, host, verdict);
      return { ...state, ...(id !== undefined && { id }), ...verdict };
    } catch (thrown) {
      const code = thrown instanceof ProductError ? thrown.code : undefined;
      const isSilent = budget.expired || code === "PRODUCT_TIMEOUT";
      const verdict = isSilent ? silent(host) : refusal(thrown);
      if (verdict === undefined) throw thrown;
      this.#asked.note(registry, host, verdict, isSilent);
      return { ...known, ...verdict };
    }
  }

  async #ask(
    api: EndpointApi,
    host: string,
    wanted: Wanted,
    found: FoundEndpoint | undefined,
    signal: AbortSignal,
  ): Promise<Verdict> {
    if (found === undefined || endpointDifferences(wanted.desired, found).length > 0)
      return await this.#written(api, host, wanted, found, signal);
    return { id: found.id, ...(await diagnosis(api, host, wanted, "unhealthy", signal)) };
  }

  async #written(
    api: EndpointApi,
    host: string,
    wanted: Wanted,
    found: FoundEndpoint | undefined,
    signal: AbortSignal,
  ): Promise<Verdict> {
    const { desired, write } = wanted;
    const id = found === undefined ? {} : { id: found.id };
    const outcome =
      found === undefined ? await api.createEndpoint(write, signal) : await api.updateEndpoint(found.id, write, signal);
    if (outcome === "unhealthy" || outcome === "failed")
      return { ...id, ...(await diagnosis(api, host, wanted, outcome, signal)) };
    const now = await api.endpoint(write.name, signal);
    if (now === undefined || ownerOf(now) !== desired.owner) {
      const message = `Harbor has another registry endpoint "${write.name}", or does not show the one it made; looked at again`;
      return { health: "Unknown", reason: REASON.Creating, message, fault: "registry" };
    }
    const left = endpointDifferences(desired, now);
    if (left.length === 0) return { id: now.id, ...HEALTHY };
    const message = `Harbor does not keep ${left.join(", ")} of registry endpoint "${write.name}"; upgrade Harbor (certificates of one upstream: trust them in Harbor itself and leave out caBundle)`;
    return { id: now.id, health: "Unknown", reason: REASON.InvalidSpec, message, fault: "registry" };
  }

  #wanted(registry: CacheRegistryObject, host: string, entry: Upstream | undefined): Wanted | Verdict {
    const { namespace, secrets } = this.#context;
    const resolved = resolveUpstream(registry, host, secrets, namespace);
    if (resolved.kind === "problem") {
      const { reason, message } = resolved;
      return { health: "Unhealthy", reason, message, fault: "registry" };
    }
    const { plainHTTP = false, caBundle = "", credentials } = resolved.upstream;
    const reference = credentials === undefined ? undefined : entry?.credentials?.secretRef?.name;
    const secret = reference === undefined ? undefined : secrets.get(`${namespace}/${reference}`);
    const desired: DesiredEndpoint = {
      name: endpointName(registry.metadata.name, host),
      type: endpointType(host),
      url: endpointUrl(host, plainHTTP),
      ca: caBundle,
      username: credentials?.username ?? "",
      version: secret === undefined ? ANONYMOUS : secretVersion(secret.metadata),
      owner: registry.metadata.uid,
    };
    const { name, type, url, ca, username } = desired;
    const write = {
      name,
      type,
      url,
      ca,
      description: endpointMark(desired),
      username,
      password: credentials?.password ?? "",
    };
    return { desired, write, secret: reference };
  }
}

/** Harbor waits for an upstream that takes the connection and says nothing, for up to half an hour. */
function silent(host: string): Verdict {
  const message = `Harbor was still waiting for ${shownHost(host)} when its time was up; check that the upstream answers, and Harbor's way to it (network policy, proxy)`;
  return { health: "Unhealthy", reason: REASON.UpstreamUnreachable, message, fault: "upstream" };
}

/** What Harbor does not take as it is declared; undefined where the trouble is another. */
function refusal(thrown: unknown): Verdict | undefined {
  if (!(thrown instanceof ProductError) || thrown.code !== "PRODUCT_REFUSED") return undefined;
  return { health: "Unknown", reason: thrown.reason, message: thrown.message, fault: "registry" };
}

const HEALTHY = { health: "Healthy", reason: REASON.Reachable, message: "" } as const;

/** Why an endpoint of the right name is left alone. */
function obstacleIn(desired: DesiredEndpoint, found: FoundEndpoint): Verdict | undefined {
  const no = (reason: Reason, message: string): Verdict => ({ health: "Unknown", reason, message, fault: "registry" });
  if (ownerOf(found) !== desired.owner) {
    return no(
      REASON.ForeignRule,
      `Harbor already has a registry endpoint "${desired.name}" that this CacheRegistry did not make; rename or delete it there, or, to hand it over, write "managed by entrepot ${desired.owner}" into its description`,
    );
  }
  if (found.type === desired.type) return undefined;
  return no(
    REASON.ImmutableChange,
    `registry endpoint "${desired.name}" of Harbor has the provider ${found.type.replace(/[^a-z-]/gi, "?")} instead of ${desired.type}, which can't be changed; delete it there and Entrepot makes it again`,
  );
}

/** What there is to say of an endpoint by what Harbor shows of it; undefined when it must be written, or its upstream asked. */
function asShown(desired: DesiredEndpoint, found: FoundEndpoint): Verdict | undefined {
  const obstacle = obstacleIn(desired, found);
  if (obstacle !== undefined) return obstacle;
  if (endpointDifferences(desired, found).length > 0) return undefined;
  const { id, status } = found;
  if (status === "healthy") return { id, ...HEALTHY };
  return status === "" ? { id, health: "Unknown", reason: REASON.Unknown, message: "" } : undefined;
}

/**
 * Harbor says "unhealthy" to an upstream that is away and to credentials that it refuses; what tells is whether it answers without
 * credentials. Docker Hub's adapter signs in before anything else and makes a 500 of a refusal (src/pkg/reg/adapter/dockerhub/client.go).
 */
async function diagnosis(
  api: EndpointApi,
  host: string,
  { write, secret }: Wanted,
  outcome: "unhealthy" | "failed",
  signal: AbortSignal,
): Promise<Verdict> {
  const shown = shownHost(host);
  const isSignIn = secret !== undefined && (outcome === "unhealthy" || write.type === "docker-hub");
  const isReached = isSignIn ? await api.reaches(write, signal) : undefined;
  if (isReached === true) {
    const message = `${shown} answers Harbor, but does not take the credentials in Secret "${secret}"; put valid ones there`;
    return { health: "Unhealthy", reason: REASON.CredentialsUnhealthy, message, fault: "credentials" };
  }
  if (outcome === "failed" && isReached === undefined)
    throw new ProductError(
      "PRODUCT_UNAVAILABLE",
      `Harbor answered HTTP 500 when it was to take ${shown} as a registry endpoint ("${write.name}"); see Harbor's own log (core) for the cause`,
    );
  const message = `Harbor gets no answer from ${shown} (${write.url}); check its address, and Harbor's way to it (network policy, proxy, certificates)`;
  return { health: "Unhealthy", reason: REASON.UpstreamUnreachable, message, fault: "upstream" };
}
