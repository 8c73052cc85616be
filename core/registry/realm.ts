/** Where a token may be asked for: `credentials` says whether they may go along; otherwise the request is anonymous. */
export type RealmDecision =
  | { readonly kind: "ask"; readonly url: URL; readonly credentials: boolean; readonly sameHost: boolean }
  | { readonly kind: "refuse"; readonly reason: string };

export interface RegistryIdentity {
  /** The registry's host[:port] as in image references; `index.docker.io` for Docker Hub. */
  readonly registry: string;
  readonly plainHttp: boolean;
}

// Registries whose token service has a name that no rule would relate to theirs.
const DECLARED: ReadonlyMap<string, string> = new Map([["index.docker.io", "auth.docker.io"]]);
// Second-level labels under which country registries sell names: `co.uk` is no one's domain.
const SHARED_SECOND_LEVEL = new Set([
  "ac",
  "co",
  "com",
  "edu",
  "go",
  "gob",
  "gouv",
  "gov",
  "gv",
  "ne",
  "net",
  "nom",
  "or",
  "org",
]);

function withoutPort(host: string): string {
  return host.replace(/:[0-9]+$/, "");
}

/** The domain that `host` shares with its siblings, or undefined when that domain is nobody's in particular. */
function parentDomain(host: string): string | undefined {
  if (host.startsWith("[") || /^[0-9.]+$/.test(host)) return undefined;
  const labels = host.split(".").slice(1);
  const country = (labels.at(-1) ?? "").length === 2;
  const shared = country && labels.length === 2 && SHARED_SECOND_LEVEL.has(labels[0] ?? "");
  return labels.length >= 2 && !shared ? labels.join(".") : undefined;
}

function related(registry: string, realm: string): boolean {
  const parent = parentDomain(registry);
  return (
    realm === registry ||
    DECLARED.get(registry) === realm ||
    realm.endsWith(`.${registry}`) ||
    (parent !== undefined && (realm === parent || realm.endsWith(`.${parent}`)))
  );
}

/**
 * Decides about the token service that a registry names in its challenge (`realm`). The rules, against a registry that wants
 * someone else's credentials or wants us to talk to something inside the cluster:
 *
 * - the realm is an absolute URL without user information, over https; plain http only for a registry that itself speaks plain
 *   http, and then only on the registry's own host name (any port);
 * - credentials go only to the registry's own host, its sub-domains, its parent domain and the siblings under that
 *   (registry.gitlab.com → gitlab.com), never across a domain under which anybody can register (co.uk), or to the declared service
 *   of Docker Hub (auth.docker.io);
 * - any other realm may be asked for an anonymous token, over https.
 */
export function decideRealm({ registry, plainHttp }: RegistryIdentity, realm: string): RealmDecision {
  const url = URL.canParse(realm) ? new URL(realm) : undefined;
  if (url === undefined)
    return { kind: "refuse", reason: "names a token service by something that is no absolute URL" };
  if (url.username !== "" || url.password !== "")
    return { kind: "refuse", reason: "names a token service with user information in its URL" };
  const home = withoutPort(registry);
  const sameHost = url.hostname === home;
  if (url.protocol === "http:" && !(plainHttp && sameHost)) {
    return { kind: "refuse", reason: `names a token service without TLS (${url.host})` };
  }
  if (url.protocol !== "https:" && url.protocol !== "http:") {
    return { kind: "refuse", reason: "names a token service that is not reached over https" };
  }
  url.hash = "";
  return { kind: "ask", url, credentials: related(home, url.hostname), sameHost };
}
