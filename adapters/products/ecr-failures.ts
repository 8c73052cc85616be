import { networkCodeOf, wordOf } from "../kms/errors.ts";
import { ProductError, type ProductErrorCode, type ProductErrorOptions } from "./errors.ts";

/** The operations of ECR that are used; each needs the IAM action of its name. */
export type EcrOperation =
  | "CreatePullThroughCacheRule"
  | "DescribePullThroughCacheRules"
  | "UpdatePullThroughCacheRule"
  | "ValidatePullThroughCacheRule"
  | "DeletePullThroughCacheRule"
  | "CreateRepositoryCreationTemplate"
  | "DescribeRepositoryCreationTemplates"
  | "UpdateRepositoryCreationTemplate"
  | "DeleteRepositoryCreationTemplate";

type Known = readonly [code: ProductErrorCode, words: string, options?: Pick<ProductErrorOptions, "reason">];

const SIGN_IN = "Amazon ECR does not accept the operator's credentials";
const CLOCK = `${SIGN_IN}: check them, and the clocks of the nodes`;
const EXPIRED = `${SIGN_IN}: they have expired; give it new ones, or a role in place of keys`;
const INVALID = "Amazon ECR refuses what the rule says; compare it with docs/providers/ecr.md";

// Not PRODUCT_REFUSED for secrets: they appear, and become readable, without any change here (and ECR sees new ones late).
const KNOWN: Readonly<Record<string, Known>> = {
  LimitExceededException: [
    "PRODUCT_REFUSED",
    "Amazon ECR has as many of these as the account may have in the region (50 rules, which can't be raised): delete one that is not needed",
    { reason: "LimitExceeded" },
  ],
  PullThroughCacheRuleAlreadyExistsException: [
    "PRODUCT_BUSY",
    "a rule of this prefix appeared in Amazon ECR meanwhile",
  ],
  TemplateAlreadyExistsException: ["PRODUCT_BUSY", "a template of this prefix appeared in Amazon ECR meanwhile"],
  PullThroughCacheRuleNotFoundException: ["PRODUCT_BUSY", "the rule disappeared from Amazon ECR meanwhile"],
  TemplateNotFoundException: ["PRODUCT_BUSY", "the template disappeared from Amazon ECR meanwhile"],
  UnsupportedUpstreamRegistryException: [
    "PRODUCT_REFUSED",
    "Amazon ECR does not cache this upstream in this region: serve the rule from another registry",
    { reason: "UnsupportedUpstream" },
  ],
  SecretNotFoundException: [
    "PRODUCT_UNAVAILABLE",
    "Amazon ECR does not find the upstream's Secrets Manager secret: create it in the registry's account and region, or correct credentials.secretsManagerArn",
    { reason: "SecretNotFound" },
  ],
  UnableToAccessSecretException: [
    "PRODUCT_UNAVAILABLE",
    "Amazon ECR may not read the upstream's Secrets Manager secret: allow it secretsmanager:GetSecretValue",
    { reason: "Unhealthy" },
  ],
  UnableToDecryptSecretValueException: [
    "PRODUCT_UNAVAILABLE",
    "Amazon ECR can't decrypt the upstream's Secrets Manager secret: allow it kms:Decrypt with the secret's key",
    { reason: "Unhealthy" },
  ],
  InvalidParameterException: ["PRODUCT_REFUSED", INVALID, { reason: "InvalidSpec" }],
  ValidationException: ["PRODUCT_REFUSED", INVALID, { reason: "InvalidSpec" }],
  UnknownOperationException: [
    "PRODUCT_REFUSED",
    "the endpoint has no pull-through cache rules: check spec.ecr.region and spec.ecr.endpoint",
  ],
  ServerException: ["PRODUCT_UNAVAILABLE", "Amazon ECR failed"],
  ExpiredToken: ["PRODUCT_UNAUTHENTICATED", EXPIRED],
  ExpiredTokenException: ["PRODUCT_UNAUTHENTICATED", EXPIRED],
  RequestExpired: ["PRODUCT_UNAUTHENTICATED", CLOCK],
  RequestTimeTooSkewed: ["PRODUCT_UNAUTHENTICATED", CLOCK],
  UnrecognizedClientException: ["PRODUCT_UNAUTHENTICATED", `${SIGN_IN}: it does not know the access key`],
  InvalidClientTokenId: ["PRODUCT_UNAUTHENTICATED", `${SIGN_IN}: it does not know the access key`],
  InvalidSignatureException: ["PRODUCT_UNAUTHENTICATED", CLOCK],
  SignatureDoesNotMatch: ["PRODUCT_UNAUTHENTICATED", CLOCK],
  IncompleteSignature: ["PRODUCT_UNAUTHENTICATED", CLOCK],
  MissingAuthenticationTokenException: ["PRODUCT_UNAUTHENTICATED", SIGN_IN],
  InvalidIdentityToken: [
    "PRODUCT_UNAUTHENTICATED",
    "AWS does not accept the ServiceAccount's token: check the role's OIDC provider",
  ],
  CredentialsProviderError: [
    "PRODUCT_UNAUTHENTICATED",
    "Amazon ECR was not asked, for the operator has no AWS credentials: give its ServiceAccount a role (IRSA or EKS Pod Identity)",
  ],
};

const THROTTLING = new Set([
  "ThrottlingException",
  "Throttling",
  "ThrottledException",
  "TooManyRequestsException",
  "RequestLimitExceeded",
  "RequestThrottled",
  "RequestThrottledException",
  "SlowDown",
]);
const DENIED = new Set(["AccessDeniedException", "AccessDenied", "UnauthorizedOperation", "NotAuthorized"]);

// IAM's own sentence. The name of an action is all that is taken from it.
const MISSING_ACTION = /\bperform: ((?:ecr|iam|sts|secretsmanager|kms):[A-Z][A-Za-z]{2,63})(?![A-Za-z])/;

interface SdkFailure {
  readonly name?: unknown;
  readonly message?: unknown;
  readonly $metadata?: { readonly httpStatusCode?: unknown };
  readonly $response?: { readonly statusCode?: unknown; readonly headers?: Readonly<Record<string, unknown>> };
}

/** Milliseconds of a Retry-After header in seconds; a date counts as none. */
function retryAfterOf({ $response }: SdkFailure): number | undefined {
  const value = $response?.headers?.["retry-after"];
  return typeof value === "string" && /^[0-9]{1,6}$/.test(value.trim()) ? Number(value) * 1_000 : undefined;
}

function statusOf({ $metadata, $response }: SdkFailure): number | undefined {
  const status = $metadata?.httpStatusCode ?? $response?.statusCode;
  return typeof status === "number" ? status : undefined;
}

function denied(failure: SdkFailure, operation: EcrOperation, cause: unknown): ProductError {
  const told =
    typeof failure.message === "string" ? MISSING_ACTION.exec(failure.message.slice(0, 4_096))?.[1] : undefined;
  const action = told ?? `ecr:${operation}`;
  const [code, who] = action.startsWith("sts:")
    ? (["PRODUCT_UNAUTHENTICATED", "the operator's own identity, and in the trust policy of the role"] as const)
    : (["PRODUCT_FORBIDDEN", "the operator's role, and don't deny it in the registry's policy"] as const);
  const message = `AWS does not allow ${action} (asked for ${operation}): allow it to ${who}`;
  return new ProductError(code, message, { cause });
}

function byStatus(name: string, status: number | undefined, operation: EcrOperation, thrown: unknown): ProductError {
  const make = (code: ProductErrorCode, words: string) =>
    new ProductError(code, `${words} (${operation}: ${name}${status === undefined ? "" : `, HTTP status ${status}`})`, {
      cause: thrown,
    });
  if (status === 401) return make("PRODUCT_UNAUTHENTICATED", SIGN_IN);
  if (status === 403)
    return make("PRODUCT_FORBIDDEN", `AWS does not allow ecr:${operation}: allow it to the operator's role`);
  if (status !== undefined && status >= 500) return make("PRODUCT_UNAVAILABLE", "Amazon ECR failed");
  if (thrown instanceof SyntaxError || status === undefined || status < 400)
    return make("PRODUCT_MALFORMED", "the answer is none of Amazon ECR's; check spec.ecr.endpoint");
  return make("PRODUCT_REFUSED", "Amazon ECR refuses this");
}

/** What the SDK threw, as a `ProductError`: of a foreign text it keeps the error's name and the name of an IAM action, nothing else. */
export function ecrFailure(thrown: unknown, operation: EcrOperation): ProductError {
  if (thrown instanceof ProductError) return thrown;
  const network = networkCodeOf(thrown);
  if (network !== undefined) {
    const message = `cannot talk to Amazon ECR (${operation}: ${network}); check the operator's way out, spec.ecr.region and spec.ecr.endpoint`;
    return new ProductError("PRODUCT_UNAVAILABLE", message, { cause: thrown });
  }
  const failure = (typeof thrown === "object" && thrown !== null ? thrown : {}) as SdkFailure;
  const name = wordOf(failure.name);
  const status = statusOf(failure);
  const retryAfterMs = retryAfterOf(failure);
  const later = { cause: thrown, ...(retryAfterMs !== undefined && { retryAfterMs }) };
  if (THROTTLING.has(name) || status === 429)
    return new ProductError("PRODUCT_THROTTLED", `Amazon ECR had too many requests (${operation}: ${name})`, later);
  if (DENIED.has(name)) return denied(failure, operation, thrown);
  const known = Object.hasOwn(KNOWN, name) ? KNOWN[name] : undefined;
  if (known === undefined) return byStatus(name, status, operation, thrown);
  const [code, words, reason = {}] = known;
  return new ProductError(code, `${words} (${operation}: ${name})`, { ...later, ...reason });
}
