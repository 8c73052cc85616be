import { readCredentials } from "../cacheregistry/credentials.ts";
import type { Upstream } from "../cacheregistry/types.ts";
import { isPlainHttp } from "../cacheregistry/upstream.ts";
import { DomainError } from "../errors.ts";
import { normaliseHost } from "../image/reference.ts";
import { fieldsOf, parseJson, stringField } from "../json.ts";
import type { SecretLookup } from "./users.ts";

/** An entry of `spec.upstreams`, as far as the gateway needs it. */
export interface UpstreamSpec {
  readonly host: string;
  readonly plainHTTP?: boolean;
  readonly caBundle?: string;
  readonly credentials?: { readonly secretRef?: { readonly name: string } };
}

/** What a gateway asks upstreams with, by host as `normaliseHost` spells it: the content of `upstreams.json`. */
export type Upstreams = ReadonlyMap<string, Upstream>;

const VERSION = 1;
/** Of the whole document: it shares a Secret, of 1 MiB at most, with what the gateway cannot do without. */
const SIZE_LIMIT = 256 * 1024;
const HOSTS_LIMIT = 100;

/**
 * What `spec.upstreams` says of each host, with its user name and password where a Secret has them. Credentials of other kinds are for
 * others than the gateway, and of an unusable Secret there are none: such an upstream is private (`accessPolicy`) and has no credentials
 * here, so that the gateway knows that it cannot ask it.
 */
export function directUpstreams(specs: readonly UpstreamSpec[], secret: SecretLookup): readonly Upstream[] {
  const byHost = new Map(specs.toReversed().map((spec) => [normaliseHost(spec.host), spec])); // the first of a host holds
  return [...byHost].map(([host, { plainHTTP, caBundle, credentials }]) => {
    const found = credentials?.secretRef === undefined ? undefined : secret(credentials.secretRef.name);
    const read = found === undefined ? undefined : readCredentials(found, host);
    return {
      host,
      plainHTTP: isPlainHttp({ host, ...(plainHTTP !== undefined && { plainHTTP }) }),
      ...(caBundle !== undefined && { caBundle }),
      ...(read?.kind === "credentials" && { credentials: read.credentials }),
    };
  });
}

/**
 * The text of `upstreams.json`. Equal upstreams give equal text, whatever their order. Who does not fit into 256 KiB (hundreds of
 * certificates) is left out, and then asked as one that spec does not list.
 */
export function formatUpstreams(upstreams: readonly Upstream[]): string {
  const sorted = [...upstreams].sort((a, b) => (a.host < b.host ? -1 : 1));
  const lines: object[] = [];
  let size = 0;
  for (const { host, plainHTTP, caBundle, credentials } of sorted.slice(0, HOSTS_LIMIT)) {
    const { username, password } = credentials ?? {};
    const line = { host, plainHTTP, caBundle, username, password };
    const length = Buffer.byteLength(JSON.stringify(line)) + 64; // and its indentation
    if (size + length > SIZE_LIMIT - 1024) continue;
    size += length;
    lines.push(line);
  }
  return `${JSON.stringify({ version: VERSION, upstreams: lines }, null, 1)}\n`;
}

function readUpstream(value: unknown): Upstream | undefined {
  const [host, caBundle] = [stringField(value, "host"), stringField(value, "caBundle")];
  const [username, password] = [stringField(value, "username"), stringField(value, "password")];
  const plainHTTP = fieldsOf(value)?.["plainHTTP"];
  if (host === undefined || host === "" || typeof plainHTTP !== "boolean") return undefined;
  if ((username === undefined) !== (password === undefined)) return undefined;
  return {
    host,
    plainHTTP,
    ...(caBundle !== undefined && { caBundle }),
    ...(username !== undefined && password !== undefined && { credentials: { username, password } }),
  };
}

/** Reads `upstreams.json`. Throws `ACCESS_INVALID`, without quoting it, when anything in it is not as `formatUpstreams` writes it. */
export function parseUpstreams(text: string): Upstreams {
  const bad = (why: string) => new DomainError("ACCESS_INVALID", `the list of upstreams ${why}`);
  if (text.length > SIZE_LIMIT) throw bad(`is larger than ${SIZE_LIMIT} bytes`);
  const parsed = fieldsOf(parseJson(text));
  if (parsed === undefined) throw bad("is not a JSON object");
  if (parsed["version"] !== VERSION) throw bad("has another version than this gateway reads: update the gateway");
  const listed = parsed["upstreams"];
  if (!Array.isArray(listed) || listed.length > HOSTS_LIMIT) throw bad("has no list, or too long a one");
  return new Map(
    listed.map((entry: unknown, index): [string, Upstream] => {
      const upstream = readUpstream(entry);
      if (upstream === undefined) throw bad(`has no sound entry at position ${index}`);
      return [upstream.host, upstream];
    }),
  );
}
