import { isIP } from "node:net";

/** One challenge of a `WWW-Authenticate` header (RFC 9110, 11.6.1); scheme and parameter names in lower case. */
export interface Challenge {
  readonly scheme: string;
  readonly parameters: Readonly<Record<string, string>>;
}

const HEADER_LIMIT = 8 * 1024;
const PARAMETER = /([a-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))/gi;

/** Reads the challenges, one per header value; what can't be read is left out. */
export function parseChallenges(header: string | readonly string[] | undefined): readonly Challenge[] {
  const values = header === undefined ? [] : typeof header === "string" ? [header] : header;
  return values.flatMap((value) => {
    const match = /^\s*([a-z0-9-]+)(?:\s+(.*))?$/is.exec(value.slice(0, HEADER_LIMIT));
    if (match === null) return [];
    const [, scheme = "", rest = ""] = match;
    const parameters = [...rest.matchAll(PARAMETER)].map(([, name = "", quoted, plain = ""]): [string, string] => [
      name.toLowerCase(),
      quoted === undefined ? plain : quoted.replace(/\\(.)/g, "$1"),
    ]);
    return [{ scheme: scheme.toLowerCase(), parameters: Object.fromEntries(parameters) }];
  });
}

/** Where a Bearer challenge says that tokens are issued, with its service; undefined when that is no HTTP address. */
export function tokenUrl({ parameters }: Challenge): string | undefined {
  const realm = parameters["realm"];
  if (realm === undefined || !URL.canParse(realm)) return undefined;
  const url = new URL(realm);
  if (url.protocol !== "https:" && url.protocol !== "http:") return undefined;
  if (parameters["service"] !== undefined) url.searchParams.set("service", parameters["service"]);
  return url.href;
}

/** The last two labels of a name, three below a short second-level domain (co.uk): near enough to the registrable domain to be careful by. */
function site(host: string): string {
  const labels = host.toLowerCase().split(".");
  const [second = "", top = ""] = labels.slice(-2);
  return labels.slice(top.length === 2 && second.length <= 3 ? -3 : -2).join(".");
}

/**
 * Whether credentials for a registry may be sent to the token service that it names, by distribution v3.1's rule (proxyauth.go): the
 * same host and port, or names of the same site, not addresses; and never in the clear unless the registry itself is.
 */
export function realmMayHaveCredentials(registry: string, realm: string): boolean {
  const from = new URL(registry);
  const to = new URL(realm);
  if (from.protocol === "https:" && to.protocol !== "https:") return false;
  if (from.host === to.host) return true;
  const isName = (host: string) =>
    host !== "localhost" && host.includes(".") && isIP(host.replace(/^\[|\]$/g, "")) === 0;
  return isName(from.hostname) && isName(to.hostname) && site(from.hostname) === site(to.hostname);
}
