import { fieldsOf, parseJson, stringField } from "../json.ts";
import { accountNotAllowed, type Refusal, tokenForAnother, tokenRefused } from "./access-errors.ts";
import { type AccessPolicy, OWN_AUDIENCE } from "./policy.ts";

/** Claims of a token that nobody has checked: enough to refuse by, never to let in by. */
export interface UncheckedClaims {
  readonly audiences: readonly string[];
  /** When it ends by its own word, in seconds since 1970. */
  readonly expires?: number;
}

const JWT = /^[A-Za-z0-9_-]{2,4096}\.([A-Za-z0-9_-]{2,8192})\.[A-Za-z0-9_-]{16,2048}$/;
const ACCOUNT = /^system:serviceaccount:([^:]{1,63}):([^:]{1,253})$/;

/** Reads a JSON Web Token (RFC 7519) without checking its signature; undefined if it is none. */
export function readClaims(token: string): UncheckedClaims | undefined {
  const payload = JWT.exec(token)?.[1];
  const claims = payload === undefined ? undefined : parseJson(Buffer.from(payload, "base64url").toString("utf8"));
  const fields = fieldsOf(claims);
  if (fields === undefined) return undefined;
  const { aud, exp } = fields;
  const audiences = (Array.isArray(aud) ? (aud as unknown[]) : [aud]).filter((one) => typeof one === "string");
  return { audiences, ...(typeof exp === "number" && Number.isFinite(exp) && { expires: exp }) };
}

/** The audience for which a token is to be checked: that of our own processes where it is made for that, else that of clients; undefined where no token is taken. */
export function audienceOf({ audiences }: UncheckedClaims, policy: AccessPolicy): string | undefined {
  if (policy.own !== undefined && audiences.includes(OWN_AUDIENCE)) return OWN_AUDIENCE;
  return policy.serviceAccounts?.audience;
}

/** Why a token need not be shown to the API server: it is not for us by its own word. */
export function objectionTo(claims: UncheckedClaims, audience: string, policy: AccessPolicy): Refusal | undefined {
  return claims.audiences.includes(audience) ? undefined : tokenForAnother(policy);
}

/** The API server's verdict on a token: whose it is, or why it lets nobody in. */
export type JudgedReview =
  | { readonly kind: "client"; readonly name: string }
  | { readonly kind: "refused"; readonly refusal: Refusal };

/**
 * Judges the `status` of a TokenReview (authentication.k8s.io/v1) that asked for `audience`. It must be named in the answer: an API
 * server that does not know of audiences authenticates the token for itself alone. Let in are ServiceAccounts of the namespaces that
 * spec allows, and with their own audience our own processes, and nobody else.
 */
export function judgeReview(status: unknown, audience: string, policy: AccessPolicy): JudgedReview {
  const refused = (refusal: Refusal): JudgedReview => ({ kind: "refused", refusal });
  const fields = fieldsOf(status);
  if (fields?.["authenticated"] !== true) return refused(tokenRefused(policy));
  const { audiences } = fields;
  if (!Array.isArray(audiences) || !audiences.includes(audience)) return refused(tokenForAnother(policy));
  const username = stringField(fields["user"], "username") ?? "";
  const accounts = policy.serviceAccounts;
  if (audience === OWN_AUDIENCE)
    return policy.own?.has(username) === true ? { kind: "client", name: username } : refused(tokenRefused(policy));
  const namespace = ACCOUNT.exec(username)?.[1];
  if (namespace === undefined || accounts === undefined) return refused(tokenRefused(policy));
  if (accounts.namespaces !== undefined && !accounts.namespaces.has(namespace))
    return refused(accountNotAllowed(username, namespace, policy));
  return { kind: "client", name: username };
}
