import type { OciError } from "./errors.ts";
import type { AccessPolicy } from "./policy.ts";

/** An answer that sends a client away, with the headers that go with it. */
export interface Refusal {
  readonly error: OciError;
  readonly headers: Readonly<Record<string, string>>;
}

/** How long a client should wait that came while something was busy or away. */
const RETRY_SECONDS = 2;

/**
 * Basic, not Bearer: it needs no token service, and containerd, CRI-O, crane, skopeo and Docker all answer to it with what
 * `imagePullSecrets` and `login` gave them. RFC 7617 section 2.1 for the charset.
 */
function challenge(registry: string): Readonly<Record<string, string>> {
  return { "www-authenticate": `Basic realm="entrepot cache ${registry}", charset="UTF-8"` };
}

function howToCome({ registry, secrets, serviceAccounts }: AccessPolicy): string {
  const ways = [
    ...(secrets.size > 0 ? ["the user and password of a Secret that spec.inCluster.clients.secretRefs names"] : []),
    ...(serviceAccounts ? [`as password a ServiceAccount's token (${makeToken(serviceAccounts.audience)})`] : []),
  ];
  if (ways.length > 0) return `give ${ways.join(", or ")}; Pods give it by imagePullSecrets`;
  return `nobody has any yet: name clients in spec.inCluster.clients of CacheRegistry "${registry}", or set spec.inCluster.anonymous: true there`;
}

function makeToken(audience: string): string {
  return `kubectl create token NAME --audience=${audience}`;
}

function unauthorized(policy: AccessPolicy, what: string): Refusal {
  const message = `CacheRegistry "${policy.registry}": ${what}: ${howToCome(policy)}`;
  return { error: { status: 401, code: "UNAUTHORIZED", message }, headers: challenge(policy.registry) };
}

/** Nothing was shown where something is asked for. */
export function credentialsNeeded(policy: AccessPolicy): Refusal {
  return unauthorized(policy, "this content comes from an upstream that needs credentials, so the cache asks for some");
}

/** What was shown is no user's password, and no token. Says not which of the two was wrong. */
export function credentialsRefused(policy: AccessPolicy): Refusal {
  return unauthorized(policy, "these credentials are not those of a client");
}

/** The API server does not know the token, or it has expired. */
export function tokenRefused(policy: AccessPolicy): Refusal {
  return unauthorized(policy, "this token is refused by the API server, or it is not a ServiceAccount's");
}

/** The token was made for another audience. */
export function tokenForAnother(policy: AccessPolicy): Refusal {
  return unauthorized(policy, "this token is for another audience");
}

/** The token is good, and its ServiceAccount is in a namespace that may not pull. */
export function accountNotAllowed(account: string, namespace: string, policy: AccessPolicy): Refusal {
  const message = `CacheRegistry "${policy.registry}": ${account} may not pull here: its namespace "${namespace}" is not in spec.inCluster.clients.serviceAccounts.namespaces; add it, or use another ServiceAccount`;
  return { error: { status: 403, code: "DENIED", message }, headers: {} };
}

function unavailable(message: string): Refusal {
  return { error: { status: 503, code: "UNKNOWN", message }, headers: { "retry-after": `${RETRY_SECONDS}` } };
}

/** The CacheRegistry is not known, so that it is not known what is private. */
export function policyNotLoaded(registry: string): Refusal {
  return unavailable(
    `it is not known yet what of CacheRegistry "${registry}" is private, try again; if this lasts, the object does not exist or the gateway cannot reach the Kubernetes API (see its log)`,
  );
}

/** Clients' passwords are asked for, and there is no access document. */
export function clientsNotLoaded(registry: string): Refusal {
  return unavailable(
    `the clients of CacheRegistry "${registry}" are not loaded yet, try again; if this lasts, see the gateway's log and kubectl describe cacheregistry ${registry}`,
  );
}

/** The API server could not be asked about a token. No token is let in unseen. */
export function tokenNotChecked(registry: string): Refusal {
  return unavailable(
    `the gateway of CacheRegistry "${registry}" cannot ask the API server about this token, try again; if this lasts, see the gateway's log`,
  );
}

/** More credentials to check than there is time for. */
export function checkingBusy(registry: string): Refusal {
  return unavailable(`the gateway of CacheRegistry "${registry}" has too many credentials to check, try again`);
}

/** One address asks for more than spec.inCluster.limits lets it. */
export function tooMany(registry: string, what: "requestsPerSecond" | "concurrentRequests"): Refusal {
  const message = `this client's address asks for more than spec.inCluster.limits.${what} of CacheRegistry "${registry}": try again`;
  return { error: { status: 429, code: "TOOMANYREQUESTS", message }, headers: { "retry-after": "1" } };
}
