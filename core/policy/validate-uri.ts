/**
 * What Go's net/url takes, as far as policies depend on it; WHATWG's `URL` would repair what Go refuses, and the
 * reverse.
 */

const SCHEME = /^([A-Za-z][A-Za-z0-9+.-]*):/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused.
const CONTROL = /[\u0000-\u001f\u007f]/;
const BROKEN_ESCAPE = /%(?![0-9A-Fa-f]{2})/;
const USER = /^(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*$/;
const BRACKETED = /^\[[0-9A-Fa-f]*:[0-9A-Fa-f:.]+\](?::[0-9]*)?$/;
/** RFC 3986, and what Go lets pass beyond it; a port may be empty. */
const NAMED = /^[^\s/?#@[\\^`{|}%]*$/;

/**
 * Whether a text is a host with a port or without, and nothing else: `url.Parse("//" + text)` has just this as its
 * host.
 */
export function isAuthority(text: string): boolean {
  return !CONTROL.test(text) && isHost(text);
}

function isHost(text: string): boolean {
  return BRACKETED.test(text) || (NAMED.test(text) && /^[^:]*$|:[0-9]*$/.test(text));
}

interface RequestUri {
  readonly scheme: string;
  readonly host: string;
}

/** `url.ParseRequestURI`: an absolute URI, or an absolute path. */
export function isRequestUri(text: string): boolean {
  return parseRequestUri(text) !== undefined;
}

function parseRequestUri(text: string): RequestUri | undefined {
  if (text === "*") return { scheme: "", host: "" };
  if (text === "" || CONTROL.test(text) || text.startsWith(":")) return undefined;
  const scheme = SCHEME.exec(text)?.[1]?.toLowerCase() ?? "";
  const rest = text.slice(scheme === "" ? 0 : scheme.length + 1).replace(/\?.*$/s, "");
  if (!rest.startsWith("/")) return scheme === "" ? undefined : { scheme, host: "" };
  if (scheme === "" || !rest.startsWith("//")) return BROKEN_ESCAPE.test(rest) ? undefined : { scheme, host: "" };
  const [, user = "", host = "", path = ""] = /^\/\/(?:([^/]*)@)?([^/]*)(.*)$/s.exec(rest) ?? [];
  const colons = /^https?$/.test(scheme) && /^(?!\[).*:.*:/.test(host); // Go is strict about these two schemes only
  return USER.test(user) && isHost(host) && !colons && !BROKEN_ESCAPE.test(path) ? { scheme, host } : undefined;
}

/** Whether a text is a URL with the scheme https and a host. */
export function isHttpsUrl(text: string): boolean {
  const uri = parseRequestUri(text.replace(/#.*$/s, ""));
  return uri?.scheme === "https" && uri.host !== "";
}
