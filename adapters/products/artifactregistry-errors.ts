import { fieldsOf, stringField } from "../../core/json.ts";
import { networkCodeOf, wordOf } from "../kms/errors.ts";
import type { Exchange } from "./artifactregistry-transport.ts";
import { ProductError, type ProductErrorCode } from "./errors.ts";

/** What was asked of Artifact Registry, for messages. */
export interface Asked {
  /** After "to", e.g. `create projects/…/hub`. */
  readonly what: string;
  /** The IAM permission that it needs. */
  readonly permission: string;
  /** Whether upstream credentials were given along. */
  readonly withCredentials?: boolean;
}

/** google.rpc.Code by number (google/rpc/code.proto). */
const CODES = [
  "OK",
  "CANCELLED",
  "UNKNOWN",
  "INVALID_ARGUMENT",
  "DEADLINE_EXCEEDED",
  "NOT_FOUND",
  "ALREADY_EXISTS",
  "PERMISSION_DENIED",
  "RESOURCE_EXHAUSTED",
  "FAILED_PRECONDITION",
  "ABORTED",
  "OUT_OF_RANGE",
  "UNIMPLEMENTED",
  "INTERNAL",
  "UNAVAILABLE",
  "DATA_LOSS",
  "UNAUTHENTICATED",
] as const;
type RpcCode = (typeof CODES)[number];

const NEXT: Readonly<Partial<Record<RpcCode, readonly [ProductErrorCode, string]>>> = {
  NOT_FOUND: [
    "PRODUCT_REGISTRY_NOT_FOUND",
    "check spec.artifactRegistry.project and location, and that the project has the Artifact Registry API",
  ],
  ALREADY_EXISTS: ["PRODUCT_BUSY", "a repository of that name is there by now; it is looked at next"],
  ABORTED: ["PRODUCT_BUSY", "another operation on it is under way"],
  INVALID_ARGUMENT: [
    "PRODUCT_REFUSED",
    "check the rule's options.artifactRegistry and the registry's project and location",
  ],
  FAILED_PRECONDITION: [
    "PRODUCT_REFUSED",
    "see the repository in the Google Cloud console: a key that it encrypts with, or a virtual repository that uses it, may stand in the way",
  ],
  OUT_OF_RANGE: ["PRODUCT_REFUSED", "check the rule's options.artifactRegistry"],
  UNIMPLEMENTED: ["PRODUCT_MALFORMED", "check spec.artifactRegistry.endpoint"],
  DEADLINE_EXCEEDED: ["PRODUCT_TIMEOUT", "it is asked again"],
};

/** What Artifact Registry says when it can't read an upstream with what it was given (terraform-provider-google issues 17589 and 20803). */
const UPSTREAM = /validat\w* (?:the )?(?:remote )?upstream|upstream credentials/i;
const CREDENTIALS = /unauthenticated|unauthorized|credential|permission|forbidden|denied/i;

/** Reads `google.rpc.RetryInfo` from what the SDK made of an error's details. */
function retryInfoMs(thrown: unknown): number | undefined {
  const details = fieldsOf(thrown)?.["statusDetails"];
  for (const detail of Array.isArray(details) ? (details as unknown[]) : []) {
    const delay = fieldsOf(fieldsOf(detail)?.["retryDelay"]);
    const ms = Number(delay?.["seconds"] ?? Number.NaN) * 1_000 + Number(delay?.["nanos"] ?? 0) / 1e6;
    if (Number.isFinite(ms) && ms >= 0) return ms;
  }
  return undefined;
}

function upstreamRefusal(code: RpcCode, message: string, { what, withCredentials }: Asked): ProductError | undefined {
  if (!UPSTREAM.test(message)) return undefined;
  const head = `Artifact Registry refused to ${what} (${code}): `;
  if (withCredentials === true)
    return new ProductError(
      "PRODUCT_REFUSED",
      `${head}it could not read the upstream with the given credentials; check their username, and that the Artifact Registry service agent may read passwordSecretVersion (roles/secretmanager.secretAccessor)`,
      { reason: "CredentialsUnhealthy" },
    );
  return CREDENTIALS.test(message)
    ? new ProductError(
        "PRODUCT_REFUSED",
        `${head}the upstream wants credentials; give its host credentials.secretManagerVersion in the CacheRegistry's spec.upstreams`,
        { reason: "CredentialsUnhealthy" },
      )
    : new ProductError(
        "PRODUCT_REFUSED",
        `${head}it could not read the upstream; check that the source's host is a registry that answers on the internet over https`,
        { reason: "UpstreamUnreachable" },
      );
}

/** The failure that a `google.rpc.Status` says. `message` is foreign: it is looked at and never quoted. */
export function statusError(code: number, message: string, asked: Asked, retryAfterMs?: number): ProductError {
  const name = CODES[code] ?? "UNKNOWN";
  if (name === "RESOURCE_EXHAUSTED")
    return new ProductError(
      "PRODUCT_THROTTLED",
      `Artifact Registry does not want to ${asked.what} now (${name}); if it goes on, see the project's quotas`,
      retryAfterMs === undefined ? {} : { retryAfterMs },
    );
  if (name === "INVALID_ARGUMENT" || name === "FAILED_PRECONDITION" || name === "PERMISSION_DENIED") {
    const refusal = upstreamRefusal(name, message, asked);
    if (refusal !== undefined) return refusal;
  }
  const [kind, next] = NEXT[name] ?? ["PRODUCT_UNAVAILABLE", "it is asked again"];
  return new ProductError(
    kind,
    `Artifact Registry did not ${asked.what} (${name}): ${next}`,
    retryAfterMs === undefined ? {} : { retryAfterMs },
  );
}

function forbidden(thrown: unknown, { what, permission }: Asked): ProductError {
  const reason = wordOf(stringField(thrown, "reason"));
  if (reason === "SERVICE_DISABLED")
    return new ProductError(
      "PRODUCT_FORBIDDEN",
      `Artifact Registry does not ${what} (SERVICE_DISABLED): enable artifactregistry.googleapis.com in the project`,
    );
  const named = wordOf(stringField(fieldsOf(thrown)?.["errorInfoMetadata"], "permission"));
  const missing = named === "unknown error" ? permission : named;
  return new ProductError(
    "PRODUCT_FORBIDDEN",
    `Artifact Registry does not let the operator ${what} (PERMISSION_DENIED): its service account needs ${missing} in the project, as in roles/artifactregistry.admin`,
  );
}

/** What a failed call means. `exchange` is what was seen of it below the SDK. */
export function failureOf(thrown: unknown, asked: Asked, exchange: Exchange): ProductError {
  if (thrown instanceof ProductError) return thrown;
  if (exchange.refused !== undefined) return exchange.refused;
  const { code, message = "" } = (thrown ?? {}) as { code?: unknown; message?: string };
  if (/default credentials/i.test(message)) return noCredentials();
  const network = networkCodeOf(thrown);
  if (network !== undefined)
    return new ProductError("PRODUCT_UNAVAILABLE", `cannot talk to Artifact Registry (${network}); it is asked again`);
  if (exchange.status !== undefined && exchange.status < 300)
    return new ProductError(
      "PRODUCT_MALFORMED",
      `Artifact Registry's answer to "${asked.what}" is outside its contract`,
    );
  if (code === 7) return upstreamRefusal("PERMISSION_DENIED", message, asked) ?? forbidden(thrown, asked);
  if (code === 16)
    return new ProductError(
      "PRODUCT_UNAUTHENTICATED",
      "Artifact Registry does not take the operator's token (UNAUTHENTICATED): renew the service account key, or check the workload identity and this node's clock",
    );
  return statusError(
    typeof code === "number" ? code : 14,
    message,
    asked,
    retryInfoMs(thrown) ?? exchange.retryAfterMs,
  );
}

export function noCredentials(): ProductError {
  return new ProductError(
    "PRODUCT_UNAUTHENTICATED",
    "Artifact Registry was not asked: the operator has no Google credentials; give its ServiceAccount a workload identity, or set spec.artifactRegistry.auth.secretRef",
  );
}
