import { DomainError } from "../../core/errors.ts";
import { parseOciError } from "../../core/registry/excerpt.ts";

/** Why a registry gave no answer, as callers switch on it. */
export type RegistryErrorCode =
  | "REGISTRY_UNREACHABLE"
  | "REGISTRY_UNAUTHORIZED"
  | "REGISTRY_FORBIDDEN"
  | "MANIFEST_UNKNOWN"
  | "NAME_UNKNOWN"
  | "REGISTRY_THROTTLED"
  | "REGISTRY_TIMEOUT"
  | "RESPONSE_TOO_LARGE"
  | "RESPONSE_MALFORMED"
  | "DIGEST_MISMATCH"
  | "REGISTRY_REDIRECT";

/** Which repository a request is about; messages begin with it. */
export interface Target {
  readonly registry: string;
  readonly repository: string;
}

/**
 * A failed request to a registry. The message names host and repository, the reason and the next step; it carries no credentials,
 * and of the registry's answer at most the cleaned and shortened `message` of an OCI error body.
 */
export class RegistryError extends DomainError<RegistryErrorCode> {
  /** With REGISTRY_THROTTLED: for how long the registry asked to be left alone, if it said so. */
  readonly retryAfterMs: number | undefined;
  /** The registry is up, and is a cache that could not ask its upstream: that says nothing about what else it has. */
  readonly upstreamSilent: boolean;
  readonly #target: Target;
  readonly #why: string;

  constructor(
    code: RegistryErrorCode,
    { registry, repository }: Target,
    why: string,
    options: { cause?: unknown; retryAfterMs?: number; upstreamSilent?: boolean } = {},
  ) {
    super(code, `${registry}/${repository}: ${why}`, options);
    this.name = "RegistryError";
    this.retryAfterMs = options.retryAfterMs;
    this.upstreamSilent = options.upstreamSilent === true;
    this.#target = { registry, repository };
    this.#why = why;
  }

  /** The same failure with `more` after its message. */
  saying(more: string): RegistryError {
    const { code, cause, retryAfterMs, upstreamSilent } = this;
    const options = { cause, upstreamSilent, ...(retryAfterMs !== undefined && { retryAfterMs }) };
    return new RegistryError(code, this.#target, `${this.#why}${more}`, options);
  }
}

/** True when `thrown` is a `RegistryError` with one of `codes` (any, if none is given). */
export function isRegistryError(thrown: unknown, ...codes: readonly RegistryErrorCode[]): thrown is RegistryError {
  return thrown instanceof RegistryError && (codes.length === 0 || codes.includes(thrown.code));
}

const PULL_SECRETS =
  "add an imagePullSecret of type kubernetes.io/dockerconfigjson (or kubernetes.io/dockercfg) for this registry to the Pod or its ServiceAccount";

function unauthorized(target: Target, status: number, withCredentials: boolean, said: string): RegistryError {
  const code = status === 401 ? "REGISTRY_UNAUTHORIZED" : "REGISTRY_FORBIDDEN";
  const why = withCredentials
    ? `the registry refused the credentials of the imagePullSecrets (HTTP ${status}${said}); check that they are valid and may pull this repository`
    : `the registry wants credentials (HTTP ${status}${said}) or the repository does not exist; ${PULL_SECRETS}`;
  return new RegistryError(code, target, why);
}

function unknown(target: Target, code: string | undefined, said: string): RegistryError {
  return code === "NAME_UNKNOWN"
    ? new RegistryError(
        "NAME_UNKNOWN",
        target,
        `the registry has no such repository (HTTP 404${said}); check the image's name`,
      )
    : new RegistryError(
        "MANIFEST_UNKNOWN",
        target,
        `the registry has no such manifest or blob (HTTP 404${said}); check tag and digest`,
      );
}

/** `Retry-After` in seconds (RFC 9110 section 10.2.3); its form as a date is left alone, for clocks differ. */
function retryAfter(header: string | undefined): { retryAfterMs?: number } {
  const seconds = /^[0-9]{1,6}$/.exec(header ?? "")?.[0];
  return seconds === undefined ? {} : { retryAfterMs: Number(seconds) * 1000 };
}

/** The error for an answer that is not what was asked for, by its HTTP status. `body` is read as an OCI error if it is one. */
export function errorOf(
  target: Target,
  answer: { status: number; body: Buffer; header?(name: string): string | undefined },
  withCredentials: boolean,
): RegistryError {
  const { status } = answer;
  const error = parseOciError(answer.body.toString("utf8"));
  const said = error === undefined ? "" : `, ${error.code}${error.message === "" ? "" : `: ${error.message}`}`;
  if (status === 401 || status === 403) return unauthorized(target, status, withCredentials, said);
  if (status === 404) return unknown(target, error?.code, said);
  if (status === 429) {
    return new RegistryError(
      "REGISTRY_THROTTLED",
      target,
      `the registry limits the rate of requests (HTTP 429${said}); try again later, or use credentials with a higher limit`,
      retryAfter(answer.header?.("retry-after")),
    );
  }
  if (status >= 500) {
    return new RegistryError(
      "REGISTRY_UNREACHABLE",
      target,
      `the registry failed (HTTP ${status}${said}); try again, and look at the registry if it lasts`,
      // RFC 9110 sections 15.6.3 and 15.6.5; what a balancer says of a registry that is down is no OCI error.
      { upstreamSilent: error !== undefined && (status === 502 || status === 504) },
    );
  }
  return new RegistryError(
    "RESPONSE_MALFORMED",
    target,
    `the registry answered HTTP ${status}${said}, which this request cannot have; check that the host is a registry`,
  );
}
