import { normaliseHost } from "../image/reference.ts";
import { fieldsOf, parseJson } from "../json.ts";
import type { Credentials } from "../policy/types.ts";

/** Credentials and what they are for. */
export interface CredentialEntry {
  /** Host (a glob per label), port and path prefix, as kubelet's keyring splits them. */
  readonly host: string;
  readonly port: string;
  readonly path: string;
  readonly credentials: Credentials;
}

/** A Secret's entries; `problem` says, without a byte of its content, what of it could not be used. */
export interface ParsedPullSecret {
  readonly entries: readonly CredentialEntry[];
  readonly problem?: string;
}

/** A Secret as the API server gives it: values are base64. */
export interface PullSecret {
  readonly type?: string;
  readonly data?: Readonly<Record<string, string>>;
}

const SIZE_LIMIT = 256 * 1024; // base64; the API server's own limit is 1 MiB for the whole object
const ENTRY_LIMIT = 256;
const FIELD_LIMIT = 64 * 1024; // Google's JSON keys and Amazon's tokens are a few KiB

function decode(base64: string): string {
  return Buffer.from(base64, "base64").toString("utf8");
}

function usable(username: string, password: string): Credentials | undefined {
  const fits = username !== "" && !username.includes(":") && username.length + password.length <= FIELD_LIMIT;
  return fits ? { username, password } : undefined;
}

/** `auth` wins over `username` and `password`, as in kubelet. */
function credentialsOf(entry: unknown): Credentials | undefined {
  const { auth, username, password } = fieldsOf(entry) ?? {};
  if (typeof auth === "string" && auth !== "") {
    const text = decode(auth.trim());
    const colon = text.indexOf(":");
    return colon < 0 ? undefined : usable(text.slice(0, colon), text.slice(colon + 1));
  }
  return typeof username === "string" && typeof password === "string" ? usable(username, password) : undefined;
}

/**
 * The key of an entry as kubelet's `BasicDockerKeyring.Add` reads it: any scheme is dropped, `/v1/` and `/v2/` mean the host itself
 * (here with or without the last slash), the rest of the path is a prefix. Docker Hub's names are one.
 */
function locate(key: string): { host: string; port: string; path: string } | undefined {
  const found = /^(?:https?:\/\/)?([^/?#@\s]+)(\/[^?#\s]*)?$/i.exec(key.trim());
  if (found?.[1] === undefined) return undefined;
  const authority = normaliseHost(found[1]);
  const split = /^(.*?)(?::([0-9]{1,5}))?$/.exec(authority);
  const path = (found[2] ?? "").replace(/^\/v[12](?=\/|$)/, "");
  return { host: split?.[1] ?? authority, port: split?.[2] ?? "", path: path === "/" ? "" : path };
}

function entriesOf(auths: unknown): ParsedPullSecret {
  const all = Object.entries(fieldsOf(auths) ?? {});
  const entries = all.slice(0, ENTRY_LIMIT).flatMap(([key, value]) => {
    const place = locate(key);
    const credentials = credentialsOf(value);
    return place === undefined || credentials === undefined ? [] : [{ ...place, credentials }];
  });
  if (entries.length === all.length) return { entries };
  return {
    entries,
    problem: `${all.length - entries.length} of ${all.length} registry entries have no usable host, user name and password`,
  };
}

/**
 * Reads an image pull Secret: `kubernetes.io/dockerconfigjson` or the older `kubernetes.io/dockercfg`. As tolerant as kubelet
 * about entries (one that cannot be used does not spoil the others); never throws.
 */
export function parsePullSecret(secret: PullSecret): ParsedPullSecret {
  const json = secret.type === "kubernetes.io/dockerconfigjson";
  const key = json ? ".dockerconfigjson" : ".dockercfg";
  if (!json && secret.type !== "kubernetes.io/dockercfg") {
    return { entries: [], problem: "its type is neither kubernetes.io/dockerconfigjson nor kubernetes.io/dockercfg" };
  }
  const data = secret.data?.[key];
  if (data === undefined || data === "") return { entries: [], problem: `it has no ${key}` };
  if (data.length > SIZE_LIMIT) return { entries: [], problem: `${key} is larger than ${SIZE_LIMIT} bytes` };
  const parsed = fieldsOf(parseJson(decode(data)));
  if (parsed === undefined)
    return { entries: [], problem: `${key} is no JSON object; make it with "kubectl create secret docker-registry"` };
  return entriesOf(json ? parsed["auths"] : parsed);
}
