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
}

/** Reads the environment. Throws `CONFIG_INVALID` naming every bad variable at once. */
export function readWebhookConfig(env: NodeJS.ProcessEnv): WebhookConfig {
  const problems: string[] = [];
  const config = {
    namespace: env["SYSTEM_NAMESPACE"] ?? "cosign-system",
    httpsPort: integerVariable(env, "HTTPS_PORT", 8443, problems),
    statusPort: integerVariable(env, "STATUS_PORT", 9090, problems),
    logLevel: env["LOG_LEVEL"] ?? "info",
    drainMs: integerVariable(env, "DRAIN_MS", 5_000, problems),
    podName: env["POD_NAME"] ?? "webhook",
    policyEngine: env["POLICY_ENGINE"] ?? fileURLToPath(new URL("../policy-engine.wasm", import.meta.url)),
  };
  if (problems.length > 0)
    throw new DomainError("CONFIG_INVALID", `webhook configuration: ${problems.join("; ")}`, { terminal: true });
  return Object.freeze(config);
}
