import { hashKey } from "../../core/hashkey.ts";
import { fieldsOf, parseJson } from "../../core/json.ts";
import type { Credentials } from "../../core/policy/types.ts";
import type { UsableChallenge } from "../../core/registry/challenge.ts";
import { decideRealm } from "../../core/registry/realm.ts";
import { Shared } from "../shared.ts";
import type { Nearness } from "./addresses.ts";
import type { Endpoint } from "./endpoint.ts";
import { errorOf, RegistryError, type Target } from "./errors.ts";
import type { Answer, Transport } from "./transport.ts";

interface Token {
  readonly value: string;
  /** For how long it is used again. */
  readonly useMs: number;
}

type Bearer = Extract<UsableChallenge, { scheme: "bearer" }>;

/** Who wants a token for what. */
export interface TokenRequest {
  readonly target: Target;
  readonly endpoint: Endpoint;
  readonly challenge: Bearer;
  readonly credentials: Credentials | undefined;
  readonly signal: AbortSignal;
}

const BODY_LIMIT = 64 * 1024;
const TOKEN = /^[A-Za-z0-9._~+/-]{1,16384}=*$/; // RFC 6750 section 2.1
const DEFAULT_SECONDS = 60; // distribution's token specification: `expires_in` absent
const LONGEST_MS = 300_000;
const MARGIN_MS = 10_000; // a token is not used to its last second
const REMEMBERED = 1_000;

/** `Authorization` for Basic (RFC 7617, UTF-8). */
export function basic({ username, password }: Credentials): string {
  return `Basic ${Buffer.from(`${username}:${password}`, "utf8").toString("base64")}`;
}

/** A name for credentials that can be a key in memory without being them. */
export function fingerprint(credentials: readonly Credentials[]): string {
  return hashKey(credentials.map(({ username, password }) => [username, password]));
}

function parseToken(target: Target, answer: Answer): Token {
  const parsed = fieldsOf(parseJson(answer.body.toString("utf8")));
  const value = parsed?.["token"] ?? parsed?.["access_token"];
  if (typeof value !== "string" || !TOKEN.test(value)) {
    const why = "the registry's token service answered without a token; check that its address (realm) is right";
    throw new RegistryError("RESPONSE_MALFORMED", target, why);
  }
  const seconds = parsed?.["expires_in"];
  const lifetimeMs = (typeof seconds === "number" && seconds > 0 ? seconds : DEFAULT_SECONDS) * 1000;
  return { value, useMs: Math.min(lifetimeMs - MARGIN_MS, LONGEST_MS) };
}

/**
 * Tokens of registries that ask for Bearer (distribution's token specification, GET form). Where a token may be asked for, and
 * where credentials may go, is `decideRealm`'s; the scope is always `pull` of the one repository, whatever the registry suggests.
 * One request serves all who want the same token at the same time; a token is used again until shortly before it expires, five
 * minutes at most.
 */
export class Tokens {
  readonly #transport: Transport;
  readonly #shared = new Shared<Token>({ max: REMEMBERED, keepMs: ({ useMs }) => useMs });

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** A token; `rejected` is one that the registry has just refused, and is not given again. Throws `RegistryError`. */
  async get(request: TokenRequest, rejected?: string): Promise<string> {
    const { target, challenge, credentials, signal } = request;
    const key = JSON.stringify([
      target.registry,
      target.repository,
      challenge.realm,
      challenge.service,
      fingerprint(credentials === undefined ? [] : [credentials]),
    ]);
    const fetch = (shared: AbortSignal): Promise<Token> => this.#fetch({ ...request, signal: shared });
    const first = await this.#shared.get(key, signal, fetch);
    if (first.value.value !== rejected) return first.value.value;
    this.#shared.forget(key);
    return (await this.#shared.get(key, signal, fetch)).value.value;
  }

  async #fetch({ target, endpoint, challenge, credentials, signal }: TokenRequest): Promise<Token> {
    const { url, authorization, reach } = await this.#permitted(target, endpoint, challenge, credentials);
    if (challenge.service !== undefined) url.searchParams.set("service", challenge.service);
    url.searchParams.set("scope", `repository:${target.repository}:pull`);
    const answer = await this.#transport.send({
      operation: "token",
      target,
      method: "GET",
      url,
      headers: { accept: "application/json", ...(authorization !== undefined && { authorization }) },
      limit: BODY_LIMIT,
      reach,
      signal,
    });
    if (answer.status === 200) return parseToken(target, answer);
    if (answer.status >= 300 && answer.status < 400) {
      // Not REGISTRY_REDIRECT: that is what registries answer that lack an API.
      throw new RegistryError(
        "RESPONSE_MALFORMED",
        target,
        `the token service ${url.host} redirects; no token is fetched through a redirect`,
      );
    }
    throw errorOf(target, answer, credentials !== undefined);
  }

  async #permitted(
    target: Target,
    endpoint: Endpoint,
    challenge: Bearer,
    credentials: Credentials | undefined,
  ): Promise<{ url: URL; authorization: string | undefined; reach: Nearness }> {
    const decision = decideRealm({ registry: target.registry, plainHttp: endpoint.plainHttp }, challenge.realm);
    if (decision.kind === "refuse") {
      throw new RegistryError(
        "RESPONSE_MALFORMED",
        target,
        `the registry ${decision.reason}; no token is asked for there`,
      );
    }
    if (credentials !== undefined && !decision.credentials) {
      throw new RegistryError(
        "REGISTRY_UNAUTHORIZED",
        target,
        `the registry names ${decision.url.host} as its token service, which is not of the registry's own domain; no credentials were sent there`,
      );
    }
    return {
      url: decision.url,
      authorization: credentials === undefined ? undefined : basic(credentials),
      reach: decision.credentials ? "loopback" : this.#transport.nearness(endpoint.base),
    };
  }
}
