import { shownHost } from "../../core/cacheregistry/upstream.ts";
import type { Reason, UpstreamStatus } from "../../crds/index.ts";
import type { CredentialsHealth, Progress, RegistryOutcome } from "./provider.ts";

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

/** What is found of one upstream and its endpoint. */
export type Verdict = Omit<EndpointState, "host" | "anonymous">;

function statusOf({ host, id, health, reason }: EndpointState): UpstreamStatus {
  return { host: shownHost(host), health, reason, ...(id !== undefined && { remoteId: String(id) }) };
}

/** An upstream that does not answer does not make the registry unready: the rules that need it say so, the others are served. */
function readiness(states: readonly EndpointState[]): Progress {
  const problem = states.find(({ fault }) => fault === "registry");
  return problem === undefined ? { done: true } : { done: false, reason: problem.reason, message: problem.message };
}

function credentialsOf(states: readonly EndpointState[]): CredentialsHealth | undefined {
  const shown = states.filter(({ anonymous }) => !anonymous);
  if (shown.length === 0) return undefined;
  const refused = shown.filter(({ fault }) => fault === "credentials" || fault === "registry");
  if (refused.length > 0) return { status: "False", message: refused.map(({ message }) => message).join("; ") };
  const unknown = shown.filter(({ health }) => health !== "Healthy");
  if (unknown.length === 0) return { status: "True", message: "the upstreams take the credentials that Harbor shows" };
  const hosts = unknown.map(({ host }) => shownHost(host)).join(", ");
  return { status: "Unknown", message: `Harbor could not ask ${hosts} whether the credentials are right` };
}

/** What is said of a registry, from how the endpoints of its upstreams are. */
export function registryOutcome(states: readonly EndpointState[]): RegistryOutcome {
  const credentials = credentialsOf(states);
  return { ready: readiness(states), upstreams: states.map(statusOf), ...(credentials && { credentials }) };
}
