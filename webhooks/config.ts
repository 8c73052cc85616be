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
  };
  if (problems.length > 0)
    throw new DomainError("CONFIG_INVALID", `webhook configuration: ${problems.join("; ")}`, { terminal: true });
  return Object.freeze(config);
}
