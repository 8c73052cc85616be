import { integerVariable } from "../adapters/environment.ts";
import { DomainError, messageOf } from "../core/errors.ts";
import { normaliseHost } from "../core/image/reference.ts";

/** How one gateway process is set up; what it serves is said by the CacheRules. */
export interface GatewayConfig {
  /** The name of the CacheRegistry whose rules are served. */
  readonly registry: string;
  readonly namespace: string;
  readonly registryPort: number;
  readonly statusPort: number;
  readonly logLevel: string;
  /** Where the Secret with the clients' hashes and the certificate is mounted; absent, no client has a password. */
  readonly accessDirectory?: string;
  /** Whether to serve over TLS, with the certificate in that directory. */
  readonly tls: boolean;
  /** How long a terminating replica goes on serving before it closes, until every node has stopped sending to it. */
  readonly drainMs: number;
  /** How long downloads under way may then still take; less than the Pod's terminationGracePeriodSeconds. */
  readonly graceMs: number;
  /** Origins of backends by upstream host, in place of the Services': for a gateway that runs outside the cluster. */
  readonly backendOrigins: ReadonlyMap<string, string>;
}

function isOrigin(value: unknown): value is string {
  return typeof value === "string" && /^https?:\/\/[^/?#\s]+$/.test(value);
}

function origins(env: NodeJS.ProcessEnv, name: string, problems: string[]): ReadonlyMap<string, string> {
  const text = env[name];
  if (text === undefined || text === "") return new Map();
  try {
    const parsed: unknown = JSON.parse(text);
    const entries = typeof parsed === "object" && parsed !== null ? Object.entries(parsed) : [];
    if (entries.every((entry): entry is [string, string] => isOrigin(entry[1]))) {
      return new Map(entries.map(([host, origin]) => [normaliseHost(host), origin]));
    }
    problems.push(`${name} must map upstream hosts to origins, as in {"docker.io":"http://127.0.0.1:5001"}`);
  } catch (thrown) {
    problems.push(`${name} is no JSON: ${messageOf(thrown)}`);
  }
  return new Map();
}

function flag(env: NodeJS.ProcessEnv, name: string, problems: string[]): boolean {
  const text = env[name] ?? "";
  if (text !== "" && text !== "true" && text !== "false") problems.push(`${name} must be true or false`);
  return text === "true";
}

/** Reads the environment. Throws `CONFIG_INVALID` naming every bad variable at once. */
export function readGatewayConfig(env: NodeJS.ProcessEnv): GatewayConfig {
  const problems: string[] = [];
  const registry = env["REGISTRY_NAME"] ?? "";
  if (registry === "") problems.push("REGISTRY_NAME is not set: it names the CacheRegistry to serve");
  const accessDirectory = env["ACCESS_DIR"] ?? "";
  const tls = flag(env, "REGISTRY_TLS", problems);
  if (tls && accessDirectory === "") problems.push("REGISTRY_TLS needs ACCESS_DIR, where the certificate is");
  const config: GatewayConfig = {
    registry,
    namespace: env["SYSTEM_NAMESPACE"] ?? "cosign-system",
    registryPort: integerVariable(env, "REGISTRY_PORT", 5000, problems),
    statusPort: integerVariable(env, "STATUS_PORT", 9090, problems),
    logLevel: env["LOG_LEVEL"] ?? "info",
    ...(accessDirectory !== "" && { accessDirectory }),
    tls,
    drainMs: integerVariable(env, "DRAIN_MS", 5_000, problems),
    graceMs: integerVariable(env, "GRACE_MS", 45_000, problems),
    backendOrigins: origins(env, "BACKEND_ORIGINS", problems),
  };
  if (problems.length > 0) {
    throw new DomainError("CONFIG_INVALID", `gateway configuration: ${problems.join("; ")}`, { terminal: true });
  }
  return Object.freeze(config);
}
