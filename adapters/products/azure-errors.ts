import type { Reason } from "../../crds/index.ts";
import { networkCodeOf, wordOf } from "../kms/errors.ts";
import { ProductError, type ProductErrorCode, type ProductErrorOptions } from "./errors.ts";

/** An answer of Azure Resource Manager that is no success. The body stays out of its message; its codes are read from it. */
export class AzureAnswer extends Error {
  readonly status: number;
  /** Every error code in the body, outermost first: the one that says why is often nested. */
  readonly codes: readonly string[];
  /** Whether what is missing is the registry, or what it is in. */
  readonly isRegistryMissing: boolean;
  readonly retryAfterMs: number | undefined;

  constructor(status: number, body: string, retryAfter: string | undefined, now: Date) {
    super(`HTTP status ${status}`);
    this.name = "AzureAnswer";
    this.status = status;
    this.codes = codesOf(body);
    this.retryAfterMs = retryAfterMs(retryAfter, now);
    // Azure Resource Manager's own answer for a missing parent names the parent's type; a missing child is the provider's to report.
    this.isRegistryMissing =
      status === 404 &&
      (this.codes.some((code) => PARENT_MISSING.has(code)) ||
        (this.codes.includes("ResourceNotFound") &&
          /Microsoft\.ContainerRegistry\/registries\/[^/'"]+['"]/i.test(body)));
  }
}

const PARENT_MISSING = new Set([
  "SubscriptionNotFound",
  "InvalidSubscriptionId",
  "ResourceGroupNotFound",
  "ParentResourceNotFound",
]);

/** The milliseconds that a `Retry-After` asks for: seconds, or a date (RFC 9110, 10.2.3). */
export function retryAfterMs(header: string | undefined, now: Date): number | undefined {
  const text = header?.trim() ?? "";
  if (/^[0-9]{1,9}$/.test(text)) return Number(text) * 1_000;
  const at = text === "" ? Number.NaN : Date.parse(text);
  return Number.isNaN(at) ? undefined : Math.max(0, at - now.getTime());
}

const DEPTH_LIMIT = 8;
const CODES_LIMIT = 20;

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

/** The codes in an ARM error: `error.code`, `details[].code`, `innererror.code`, whatever the case of the keys. */
export function codesOf(body: string): readonly string[] {
  const codes: string[] = [];
  const visit = (value: unknown, depth: number): void => {
    if (!isObject(value) || depth > DEPTH_LIMIT || codes.length >= CODES_LIMIT) return;
    for (const [key, inner] of Object.entries(value)) {
      const word = wordOf(inner);
      if (key.toLowerCase() !== "code") visit(inner, depth + 1);
      else if (word !== "unknown error" && !codes.includes(word) && codes.length < CODES_LIMIT) codes.push(word);
    }
  };
  try {
    visit(JSON.parse(body), 0);
  } catch {
    return [];
  }
  return codes;
}

/** What Azure calls its refusals, as reported in Azure/ARO-HCP#2639 and #5176 and in hashicorp/terraform-provider-azurerm#27983. */
const REFUSALS: readonly (readonly [RegExp, Reason, string])[] = [
  [
    /^EnforceDockerAuthentication$/,
    "UnsupportedUpstream",
    "it caches Docker Hub with credentials only; give docker.io credentials in the CacheRegistry's spec.upstreams",
  ],
  [
    /^TargetRepositoryAlreadyPresentInRegistry$/,
    "RepositoryExists",
    "the registry already has a repository by the name of the target; delete that repository, or choose another target",
  ],
  [
    /^TargetRepositoryPrefixMatchesExistingRegistries$/,
    "RepositoryExists",
    "the registry already has repositories below the target; delete them, or choose another target",
  ],
  [/(?:limit|quota|maximum)/i, "LimitExceeded", "a limit of the registry is reached; delete rules that nobody needs"],
  [/^ScopeLocked$/, "RemoteError", "a lock forbids it; remove the lock from the registry"],
];

function refusalOf({ codes }: AzureAnswer): readonly [Reason, string] | undefined {
  for (const [pattern, reason, next] of REFUSALS) if (codes.some((code) => pattern.test(code))) return [reason, next];
  return undefined;
}

const BY_STATUS: Readonly<Record<number, readonly [ProductErrorCode, string]>> = {
  401: ["PRODUCT_UNAUTHENTICATED", "it does not take the operator's token; check spec.azure.auth and its tenant"],
  403: [
    "PRODUCT_FORBIDDEN",
    "give the operator's identity read, write and delete on cacheRules and credentialSets of the registry",
  ],
  404: ["PRODUCT_REGISTRY_NOT_FOUND", "check subscriptionId, resourceGroup and registryName of the CacheRegistry"],
  408: ["PRODUCT_UNAVAILABLE", "it is asked again"],
  409: ["PRODUCT_BUSY", "another operation is under way there; it is asked again"],
  412: ["PRODUCT_BUSY", "it was changed meanwhile; it is asked again"],
  429: ["PRODUCT_THROTTLED", "too many requests; it is asked again later"],
};

function kindOf(answer: AzureAnswer): readonly [ProductErrorCode, string] {
  const known = BY_STATUS[answer.status];
  if (known !== undefined) return known;
  if (answer.status >= 500) return ["PRODUCT_UNAVAILABLE", "it is asked again"];
  if (answer.status < 400) return ["PRODUCT_MALFORMED", "that is no answer of its API; check spec.azure.endpoint"];
  return ["PRODUCT_REFUSED", "change what is declared"];
}

function answerFailure(answer: AzureAnswer, doing: string): ProductError {
  const detail = [`HTTP status ${answer.status}`, ...answer.codes.slice(0, 4)].join(", ");
  const refusal = answer.status === 400 || answer.status === 409 ? refusalOf(answer) : undefined;
  const [code, next] = refusal === undefined ? kindOf(answer) : (["PRODUCT_REFUSED", refusal[1]] as const);
  return new ProductError(code, `Azure did not ${doing} (${detail}): ${next}`, {
    cause: answer,
    ...(refusal !== undefined && { reason: refusal[0] }),
    ...(answer.retryAfterMs !== undefined && { retryAfterMs: answer.retryAfterMs }),
  });
}

const SIGN_IN = new Set([
  "AggregateAuthenticationError",
  "AuthenticationError",
  "AuthenticationRequiredError",
  "CredentialUnavailableError",
]);

/** Everything that `thrown` was caused by, itself first. */
function chainOf(thrown: unknown): readonly Readonly<Record<string, unknown>>[] {
  const chain: Readonly<Record<string, unknown>>[] = [];
  for (let at = thrown; isObject(at) && chain.length < DEPTH_LIMIT; at = at["cause"]) chain.push(at);
  return chain;
}

/** A failure to get a token. Of Microsoft Entra's answer only its number (`AADSTS…`) is repeated: the rest may quote the request. */
function signInFailure(thrown: unknown, doing: string): ProductError {
  const chain = chainOf(thrown);
  const number = chain.map(({ message }) => /\bAADSTS\d{4,9}\b/.exec(String(message))?.[0]).find((found) => found);
  const words = chain.map(({ errorCode, message }) =>
    wordOf(errorCode ?? /^([a-z_]{4,60}): /.exec(String(message))?.[1]),
  );
  const word = words.find((found) => found !== "unknown error");
  const status = chain.map((each) => each["status"] ?? each["statusCode"]).find((each) => typeof each === "number");
  const detail = number ?? word ?? wordOf(chain[0]?.["name"]);
  if (typeof status === "number" && (status >= 500 || status === 429))
    return new ProductError(
      "PRODUCT_UNAVAILABLE",
      `Azure was not asked to ${doing}: Microsoft Entra ID answered with HTTP status ${status}`,
      { cause: thrown },
    );
  return new ProductError(
    "PRODUCT_UNAUTHENTICATED",
    `Azure was not asked to ${doing}: the operator could not sign in (${detail}); check the workload identity of its ServiceAccount, or the Secret that spec.azure.auth.clientSecretRef names, and that Microsoft Entra ID can be reached`,
    { cause: thrown },
  );
}

/** Says of whatever the SDK threw what it means. `doing` completes "Azure did not …", in words of ours alone. */
export function azureFailure(thrown: unknown, doing: string, options: ProductErrorOptions = {}): ProductError {
  if (thrown instanceof ProductError) return thrown;
  if (thrown instanceof AzureAnswer) return answerFailure(thrown, doing);
  const network = networkCodeOf(thrown);
  const cause = { cause: thrown, ...options };
  if (network !== undefined)
    return new ProductError("PRODUCT_UNAVAILABLE", `cannot talk to Azure to ${doing} (${network})`, cause);
  const { name, code } = chainOf(thrown)[0] ?? {};
  if (typeof name === "string" && SIGN_IN.has(name)) return signInFailure(thrown, doing);
  if (code === "REQUEST_SEND_ERROR" || name === "AbortError")
    return new ProductError("PRODUCT_UNAVAILABLE", `Azure broke off before it did ${doing}; it is asked again`, cause);
  return new ProductError(
    "PRODUCT_MALFORMED",
    `Azure's answer when asked to ${doing} is none of its API (${wordOf(code ?? name)}); check spec.azure.endpoint`,
    cause,
  );
}
