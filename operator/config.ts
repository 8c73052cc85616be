import type { KmsSettings } from "../adapters/kms/client.ts";
import { parseDuration } from "../core/admission/config.ts";
import { DomainError } from "../core/errors.ts";
import { type EnforcementScope, OPT_IN, readScope } from "../core/webhookconfig/scope.ts";
import { readKmsSettings } from "./kms/config.ts";

/** How one operator process is set up. */
export interface OperatorConfig {
  readonly namespace: string;
  readonly podName: string;
  readonly statusPort: number;
  /** Where gateway and webhook replicas have their status pages. */
  readonly pagesPort: number;
  /** Port of the Service in front of the webhooks: 443, unless they run outside the cluster. */
  readonly webhookServicePort: number;
  /** The namespaces whose workloads are verified (`ENFORCEMENT`, `EXCLUDED_NAMESPACES`). */
  readonly enforcement: EnforcementScope;
  readonly logLevel: string;
  readonly distributionImage: string;
  /** Set when the operator runs as no Pod whose image could be read. */
  readonly gatewayImage?: string;
  /** Where the operator's own token for gateways is. */
  readonly gatewayTokenFile?: string;
  /** How long a healthy upstream, and everything at rest, is left alone. */
  readonly healthyMs: number;
  readonly unhealthyMs: number;
  /** Between looks at what is on its way. */
  readonly pendingMs: number;
  /** Between comparisons of a registry's product with what is declared, unless the CacheRegistry says. */
  readonly driftMs: number;
  /** How long the deletion of a rule or registry waits for a product that can't be asked. */
  readonly patienceMs: number;
  readonly rotateSealKeysSeconds: number;
  readonly keepSealKeysSeconds: number;
  readonly leaseDurationMs: number;
  /** How key management services are reached. It may hold a token: it is not to be logged. */
  readonly kms: KmsSettings;
}

const DAY = 86_400;

/** Reads the environment. Throws `CONFIG_INVALID` naming every bad variable at once. Durations are as in `30s`, `10m`, `24h`, `30d`. */
export function readOperatorConfig(env: NodeJS.ProcessEnv): OperatorConfig {
  const problems: string[] = [];
  const text = (name: string, fallback: string) => (env[name] === undefined || env[name] === "" ? fallback : env[name]);
  const port = (name: string, fallback: number) => {
    const value = text(name, String(fallback));
    if (/^[0-9]{1,5}$/.test(value) && Number(value) <= 65_535) return Number(value);
    problems.push(`${name}="${value}" is no port`);
    return fallback;
  };
  const seconds = (name: string, fallback: string, least: number) => {
    const value = parseDuration(text(name, fallback));
    if (value !== undefined && value >= least) return value;
    problems.push(`${name}="${text(name, fallback)}" is no duration of at least ${least}s`);
    return least;
  };
  const namespace = text("SYSTEM_NAMESPACE", "cosign-system");
  if (!/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(namespace))
    problems.push(`SYSTEM_NAMESPACE="${namespace}" is no namespace`);
  const scope = readScope(text("ENFORCEMENT", "opt-in"), text("EXCLUDED_NAMESPACES", ""));
  if (typeof scope === "string") problems.push(`ENFORCEMENT, EXCLUDED_NAMESPACES: ${scope}`);
  const gatewayImage = text("GATEWAY_IMAGE", "");
  const gatewayTokenFile = text("GATEWAY_TOKEN_FILE", "");
  const podName = text("POD_NAME", "");
  if (podName === "" && gatewayImage === "")
    problems.push("POD_NAME is not set: the gateway's image is read from that Pod; set it, or GATEWAY_IMAGE");
  const config: OperatorConfig = {
    namespace,
    podName: podName === "" ? "operator" : podName,
    statusPort: port("STATUS_PORT", 9090),
    pagesPort: port("STATUS_PAGES_PORT", 9090),
    webhookServicePort: port("WEBHOOK_SERVICE_PORT", 443),
    enforcement: typeof scope === "string" ? OPT_IN : scope,
    logLevel: text("LOG_LEVEL", "info"),
    distributionImage: text("DISTRIBUTION_IMAGE", "docker.io/library/registry:3.1.2"),
    ...(gatewayImage !== "" && { gatewayImage }),
    ...(gatewayTokenFile !== "" && { gatewayTokenFile }),
    healthyMs: seconds("HEALTHY_INTERVAL", "1m", 1) * 1000,
    unhealthyMs: seconds("UNHEALTHY_INTERVAL", "5s", 1) * 1000,
    pendingMs: 500,
    driftMs: seconds("DRIFT_INTERVAL", "10m", 1) * 1000,
    patienceMs: seconds("DELETION_PATIENCE", "10m", 1) * 1000,
    rotateSealKeysSeconds: seconds("SEAL_KEY_ROTATION", "30d", 60),
    keepSealKeysSeconds: seconds("SEAL_KEY_RETENTION", `${31 * 24}h`, DAY + 3600),
    leaseDurationMs: seconds("LEASE_DURATION", "15s", 3) * 1000,
    kms: readKmsSettings(env, problems),
  };
  if (problems.length > 0)
    throw new DomainError("CONFIG_INVALID", `operator configuration: ${problems.join("; ")}`, { terminal: true });
  return Object.freeze(config);
}
