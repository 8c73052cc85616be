import { isIP } from "node:net";
import { type Challenge, parseChallenges } from "../../core/registry/challenge.ts";

/** The challenges of an answer, one header or several; a header outside the grammar counts as none, so that nothing is sent on its word. */
export function challengesOf(header: string | readonly string[] | undefined): readonly Challenge[] {
  const values = header === undefined ? [] : typeof header === "string" ? [header] : header;
  return values.flatMap((value) => parseChallenges(value) ?? []);
}

/** Where a Bearer challenge says that tokens are issued, with its service; undefined when that is no HTTP address. */
export function tokenUrl({ params }: Challenge): string | undefined {
  const realm = params.get("realm");
  const service = params.get("service");
  if (realm === undefined || !URL.canParse(realm)) return undefined;
  const url = new URL(realm);
  if (url.protocol !== "https:" && url.protocol !== "http:") return undefined;
  if (service !== undefined) url.searchParams.set("service", service);
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
