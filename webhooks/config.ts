import { fileURLToPath } from "node:url";
import { integerVariable } from "../adapters/environment.ts";
import { DomainError } from "../core/errors.ts";

/** How one webhook process is set up; admission itself is configured by `config-policy-controller`. */
export interface WebhookConfig {
  readonly namespace: string;
  readonly httpsPort: number;
  readonly statusPort: number;
  readonly logLevel: string;
  /** How long a terminating replica goes on serving before it closes (design D16). */
  readonly drainMs: number;
  /** Names this replica in Events. */
  readonly podName: string;
  /** Path of the WebAssembly module that evaluates CUE, Rego and CEL. */
  readonly policyEngine: string;
  /** Where this process's own token for gateways is. */
  readonly gatewayTokenFile?: string;
  /** Where gateways answer (`host:port`) by CacheRegistry, in place of their Services: for a webhook that runs outside the cluster. */
  readonly gatewayHosts: ReadonlyMap<string, string>;
}

/** `main=127.0.0.1:5001,edge=127.0.0.1:5002` */
function hostsVariable(env: NodeJS.ProcessEnv, name: string, problems: string[]): ReadonlyMap<string, string> {
  const entries = (env[name] ?? "").split(",").filter((entry) => entry !== "");
  const hosts = entries.flatMap((entry) => {
    const [, registry, host] = /^([a-z0-9.-]+)=([a-z0-9.-]+:[0-9]+)$/.exec(entry) ?? [];
    return registry === undefined || host === undefined ? [] : [[registry, host] as const];
  });
  if (hosts.length < entries.length) problems.push(`${name} must be REGISTRY=HOST:PORT, separated by commas`);
  return new Map(hosts);
}

/** Reads the environment. Throws `CONFIG_INVALID` naming every bad variable at once. */
export function readWebhookConfig(env: NodeJS.ProcessEnv): WebhookConfig {
  const problems: string[] = [];
  const { GATEWAY_TOKEN_FILE: gatewayTokenFile = "" } = env;
  const config = {
    namespace: env["SYSTEM_NAMESPACE"] ?? "cosign-system",
    httpsPort: integerVariable(env, "HTTPS_PORT", 8443, problems),
    statusPort: integerVariable(env, "STATUS_PORT", 9090, problems),
    logLevel: env["LOG_LEVEL"] ?? "info",
    drainMs: integerVariable(env, "DRAIN_MS", 5_000, problems),
    podName: env["POD_NAME"] ?? "webhook",
    policyEngine: env["POLICY_ENGINE"] ?? fileURLToPath(new URL("../policy-engine.wasm", import.meta.url)),
    gatewayHosts: hostsVariable(env, "GATEWAY_HOSTS", problems),
    ...(gatewayTokenFile !== "" && { gatewayTokenFile }),
  };
  if (problems.length > 0)
    throw new DomainError("CONFIG_INVALID", `webhook configuration: ${problems.join("; ")}`, { terminal: true });
  return Object.freeze(config);
}
