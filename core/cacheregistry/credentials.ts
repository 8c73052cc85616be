import { normaliseHost } from "../image/reference.ts";
import type { UpstreamCredentials } from "./types.ts";

/** A Secret as the API server gives it: values are base64. */
export interface SecretContent {
  readonly metadata: { readonly name: string };
  readonly type?: string;
  readonly data?: Readonly<Record<string, string>>;
}

/** Credentials, or why the Secret holds none: a sentence without a byte of its content. */
export type ReadCredentials =
  | { readonly kind: "credentials"; readonly credentials: UpstreamCredentials }
  | { readonly kind: "problem"; readonly message: string };

const SIZE_LIMIT = 64 * 1024;

function text(base64: string | undefined): string {
  return base64 === undefined ? "" : Buffer.from(base64, "base64").toString("utf8");
}

function problem(message: string): ReadCredentials {
  return { kind: "problem", message };
}

function checked(secret: string, username: string, password: string): ReadCredentials {
  if (username === "" || password === "")
    return problem(`Secret "${secret}" has an empty username or password; fill in both`);
  if (username.includes(":")) return problem(`Secret "${secret}": a username can't contain a colon (RFC 7617)`);
  if (/\p{Cc}/u.test(username + password)) {
    return problem(
      `Secret "${secret}": username or password has a control character, often a newline at the end; write it without`,
    );
  }
  return { kind: "credentials", credentials: { username, password } };
}

function record(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined;
}

/** `https://index.docker.io/v1/`, `docker.io` and `registry-1.docker.io` are one host in docker's configuration. */
function hostOfEntry(entry: string): string {
  return normaliseHost(entry.replace(/^https?:\/\//, "").replace(/\/.*$/, ""));
}

function fromDockerConfig(secret: string, content: string, host: string): ReadCredentials {
  let parsed: unknown;
  try {
    parsed = JSON.parse(content);
  } catch {
    return problem(
      `Secret "${secret}": .dockerconfigjson is not JSON; make it with "kubectl create secret docker-registry"`,
    );
  }
  const auths = record(record(parsed)?.["auths"]) ?? {};
  const wanted = normaliseHost(host);
  const entry = record(Object.entries(auths).find(([name]) => hostOfEntry(name) === wanted)?.[1]);
  if (entry === undefined) return problem(`Secret "${secret}" has no entry for ${host} in .dockerconfigjson; add one`);
  const { auth, username, password } = entry;
  if (typeof username === "string" && typeof password === "string") return checked(secret, username, password);
  if (typeof auth !== "string")
    return problem(`Secret "${secret}": the entry for ${host} has neither "auth" nor "username" and "password"`);
  const decoded = text(auth);
  const colon = decoded.indexOf(":");
  if (colon < 0) return problem(`Secret "${secret}": "auth" for ${host} is not base64 of username:password`);
  return checked(secret, decoded.slice(0, colon), decoded.slice(colon + 1));
}

/**
 * Reads the credentials for `host` from a Secret of type `kubernetes.io/basic-auth` or `kubernetes.io/dockerconfigjson`.
 * What is wrong with it is said without quoting it.
 */
export function readCredentials(secret: SecretContent, host: string): ReadCredentials {
  const { name } = secret.metadata;
  const data = secret.data ?? {};
  if (Object.values(data).reduce((total, value) => total + value.length, 0) > SIZE_LIMIT) {
    return problem(`Secret "${name}" is larger than ${SIZE_LIMIT} bytes; it should hold one upstream's credentials`);
  }
  switch (secret.type) {
    case "kubernetes.io/basic-auth":
      return checked(name, text(data["username"]), text(data["password"]));
    case "kubernetes.io/dockerconfigjson":
      return fromDockerConfig(name, text(data[".dockerconfigjson"]), host);
    default:
      return problem(
        `Secret "${name}" has type "${secret.type ?? "Opaque"}"; make it of type kubernetes.io/basic-auth or kubernetes.io/dockerconfigjson`,
      );
  }
}
