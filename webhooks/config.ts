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

function integer(env: NodeJS.ProcessEnv, name: string, fallback: number, problems: string[]): number {
  const text = env[name];
  if (text === undefined || text === "") return fallback;
  if (/^[0-9]{1,6}$/.test(text)) return Number(text);
  problems.push(`${name}="${text}" is no whole number`);
  return fallback;
}

/** Reads the environment. Throws `CONFIG_INVALID` naming every bad variable at once. */
export function readWebhookConfig(env: NodeJS.ProcessEnv): WebhookConfig {
  const problems: string[] = [];
  const config = {
    namespace: env["SYSTEM_NAMESPACE"] ?? "cosign-system",
    httpsPort: integer(env, "HTTPS_PORT", 8443, problems),
    statusPort: integer(env, "STATUS_PORT", 9090, problems),
    logLevel: env["LOG_LEVEL"] ?? "info",
    drainMs: integer(env, "DRAIN_MS", 5_000, problems),
  };
  if (problems.length > 0)
    throw new DomainError("CONFIG_INVALID", `webhook configuration: ${problems.join("; ")}`, { terminal: true });
  return Object.freeze(config);
}
