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
import type { ProductContext } from "./provider.ts";

/** How the endpoint for one upstream is after a look at it. */
export interface EndpointState {
  readonly host: string;
  /** Its id in Harbor, where it is there and ours. */
  readonly id?: number;
  readonly health: "Healthy" | "Unhealthy" | "Unknown";
  readonly reason: Reason;
  /** For people; empty where all is well. */
  readonly message: string;
  /** `registry`: what is declared must change; `upstream`, `credentials`: whose fault it is that the upstream does not answer. */
  readonly fault?: "registry" | "upstream" | "credentials";
  readonly anonymous: boolean;
}

interface Wanted {
  readonly desired: DesiredEndpoint;
  readonly write: EndpointWrite;
  /** Where the credentials are from, for messages. */
  readonly secret: string | undefined;
}

type Verdict = Omit<EndpointState, "host" | "anonymous">;

/** Keeps the registry endpoints of Harbor as the upstreams of CacheRegistries declare them. Of an endpoint that bears another's mark, or none, it says so. */
export class HarborEndpoints {
  readonly #context: Pick<ProductContext, "namespace" | "secrets">;

  constructor(context: Pick<ProductContext, "namespace" | "secrets">) {
    this.#context = context;
  }

  /** Makes or corrects the endpoint for `host`. `made` has the endpoint of its name, if there is one. Throws when Harbor itself is in trouble. */
  async ensure(
    api: HarborApi,
    registry: CacheRegistryObject,
    host: string,
    made: readonly FoundEndpoint[],
    signal: AbortSignal,
  ): Promise<EndpointState> {
    const entry = registry.spec.upstreams?.find((candidate) => normaliseHost(candidate.host) === host);
    const state = { host, anonymous: entry?.credentials === undefined };
    const wanted = this.#wanted(registry, host, entry);
    if ("reason" in wanted) return { ...state, ...wanted };
    const found = made.find(({ name }) => name === wanted.desired.name);
    try {
      return { ...state, ...(await this.#bring(api, host, wanted, found, signal)) };
    } catch (thrown) {
      if (!(thrown instanceof ProductError)) throw thrown;
      const known = { ...state, ...(found !== undefined && { id: found.id }) };
      if (thrown.code === "PRODUCT_TIMEOUT") return { ...known, ...silent(host) };
      if (thrown.code !== "PRODUCT_REFUSED") throw thrown;
      return { ...known, health: "Unknown", reason: thrown.reason, message: thrown.message, fault: "registry" };
    }
  }

  async #bring(
    api: HarborApi,
    host: string,
    wanted: Wanted,
    found: FoundEndpoint | undefined,
    signal: AbortSignal,
  ): Promise<Verdict> {
    const { desired } = wanted;
    if (found === undefined) return await this.#written(api, host, wanted, undefined, signal);
    const obstacle = obstacleIn(desired, found);
    if (obstacle !== undefined) return obstacle;
    if (endpointDifferences(desired, found).length > 0) return await this.#written(api, host, wanted, found, signal);
    const { id } = found;
    if (found.status === "healthy") return { id, ...HEALTHY };
    if (found.status === "") return { id, health: "Unknown", reason: REASON.Unknown, message: "" };
    return { id, ...(await diagnosis(api, host, wanted, "unhealthy", signal)) };
  }

  async #written(
    api: HarborApi,
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
  const message = `Harbor was still waiting for ${shownHost(host)} when its time was up; check that the upstream answers Harbor`;
  return { health: "Unhealthy", reason: REASON.UpstreamUnreachable, message, fault: "upstream" };
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

/**
 * Harbor says "unhealthy" to an upstream that is away and to credentials that it refuses; what tells is whether it answers without
 * credentials. Docker Hub's adapter signs in before anything else and makes a 500 of a refusal (src/pkg/reg/adapter/dockerhub/client.go).
 */
async function diagnosis(
  api: HarborApi,
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
