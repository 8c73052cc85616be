import { setTimeout as sleep } from "node:timers/promises";
import { LRUCache } from "lru-cache";
import type { Credentials, Keychain } from "../../core/policy/types.ts";
import { parseChallenges, type UsableChallenge, usableChallenge } from "../../core/registry/challenge.ts";
import { decideRedirect, type RedirectSubject } from "../../core/registry/redirect.ts";
import type { Nearness } from "./addresses.ts";
import { type Endpoint, endpointOf, type IsPlainHttp } from "./endpoint.ts";
import { errorOf, isRegistryError, RegistryError, type Target } from "./errors.ts";
import { isBrokenConnection } from "./failures.ts";
import { basic, Tokens } from "./tokens.ts";
import type { Answer, Operation, Outgoing, Sink, Transport } from "./transport.ts";

/** A repository, and who may read it. */
export interface Source extends Target {
  readonly keychain: Keychain;
}

/** One request to a repository's API. */
export interface Ask {
  readonly operation: Operation;
  readonly source: Source;
  readonly method: "GET" | "HEAD";
  /** Relative to `/v2/<repository>/`, with its query if any; to `/v2/` itself when the source has no repository. */
  readonly path: string;
  readonly accept: string;
  readonly limit: number;
  readonly subject: RedirectSubject;
  readonly signal: AbortSignal;
  readonly sink?: Sink;
}

const HOPS = 3;
const TRIES = 3;
const BACK_OFF_MS = 100;
const LONGEST_RETRY_AFTER_MS = 5_000;
const CREDENTIALS_TRIED = 4;
const REGISTRIES_REMEMBERED = 1_000;
const CHALLENGE_KEPT_MS = 3_600_000;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

interface Authorized {
  readonly header: string | undefined;
  readonly token?: string;
}

/** In how many milliseconds an answer or a failure is worth another try; undefined: never. */
function retryDelay(tried: number, answer: Answer | undefined, thrown: unknown): number | undefined {
  if (tried >= TRIES) return undefined;
  const backOff = BACK_OFF_MS * 4 ** (tried - 1) * (0.5 + Math.random());
  if (answer === undefined) return isBrokenConnection(thrown) ? backOff : undefined;
  if (answer.status === 429) {
    const seconds = /^[0-9]{1,6}$/.exec(answer.header("retry-after") ?? "1")?.[0];
    const delay = Number(seconds ?? Number.POSITIVE_INFINITY) * 1000;
    return delay <= LONGEST_RETRY_AFTER_MS ? Math.max(delay, backOff) : undefined;
  }
  return answer.status >= 502 && answer.status <= 504 ? backOff : undefined;
}

/** Requests with everything around them: authentication, redirects (`decideRedirect`), a few retries. All are GET or HEAD. */
export class Requests {
  readonly #transport: Transport;
  readonly #tokens: Tokens;
  readonly #isPlainHttp: IsPlainHttp | undefined;
  // How each registry wants to be authenticated to, once it has said so: saves the request that a 401 costs.
  readonly #challenges = new LRUCache<string, UsableChallenge>({ max: REGISTRIES_REMEMBERED, ttl: CHALLENGE_KEPT_MS });

  constructor(transport: Transport, isPlainHttp?: IsPlainHttp) {
    this.#transport = transport;
    this.#tokens = new Tokens(transport);
    this.#isPlainHttp = isPlainHttp;
  }

  /**
   * Asks with each of the keychain's credentials in turn until one is let in, anonymously if there are none. Gives any answer that
   * is a success or a plain "no" (404, 400, 405…); throws `RegistryError` for the rest.
   */
  async ask(ask: Ask): Promise<Answer> {
    const { registry, repository, keychain } = ask.source;
    const credentials = keychain.forRepository(registry, repository).slice(0, CREDENTIALS_TRIED);
    const endpoint = endpointOf(registry, this.#isPlainHttp);
    let refused: RegistryError | undefined;
    for (const one of credentials.length === 0 ? [undefined] : credentials) {
      try {
        const answer = await this.#as(one, endpoint, ask);
        if (answer.status < 500 && ![401, 403, 429].includes(answer.status)) return answer;
        throw errorOf(ask.source, answer, one !== undefined);
      } catch (thrown) {
        if (!isRegistryError(thrown, "REGISTRY_UNAUTHORIZED", "REGISTRY_FORBIDDEN")) throw thrown;
        refused ??= thrown;
      }
    }
    throw refused;
  }

  async #as(credentials: Credentials | undefined, endpoint: Endpoint, ask: Ask): Promise<Answer> {
    const first = await this.#authorizeAsKnown(credentials, endpoint, ask);
    const answer = await this.#follow(first.header, endpoint, ask);
    if (answer.status !== 401) return answer;
    const challenge = this.#learn(ask.source, answer);
    if (challenge === undefined) return answer;
    const second = await this.#authorize(challenge, credentials, endpoint, ask, first.token);
    return second.header === first.header ? answer : this.#follow(second.header, endpoint, ask);
  }

  /** In the way that the registry asked for last time; if that does not work any more, it is asked again next time. */
  async #authorizeAsKnown(credentials: Credentials | undefined, endpoint: Endpoint, ask: Ask): Promise<Authorized> {
    const { registry } = ask.source;
    try {
      return await this.#authorize(this.#challenges.get(registry), credentials, endpoint, ask);
    } catch (thrown) {
      this.#challenges.delete(registry);
      throw thrown;
    }
  }

  #learn(target: Target, answer: Answer): UsableChallenge | undefined {
    const header = answer.header("www-authenticate");
    if (header === undefined) return undefined;
    const challenges = parseChallenges(header);
    if (challenges === undefined) {
      throw new RegistryError(
        "RESPONSE_MALFORMED",
        target,
        "the registry asks for authentication with a malformed WWW-Authenticate header; no credentials were sent",
      );
    }
    const usable = usableChallenge(challenges);
    if (usable !== undefined) this.#challenges.set(target.registry, usable);
    return usable;
  }

  async #authorize(
    challenge: UsableChallenge | undefined,
    credentials: Credentials | undefined,
    endpoint: Endpoint,
    { source, signal }: Ask,
    rejected?: string,
  ): Promise<Authorized> {
    if (challenge === undefined) return { header: undefined };
    if (challenge.scheme === "basic") return { header: credentials === undefined ? undefined : basic(credentials) };
    const target = { registry: source.registry, repository: source.repository };
    const token = await this.#tokens.get({ target, endpoint, challenge, credentials, signal }, rejected);
    return { header: `Bearer ${token}`, token };
  }

  async #follow(header: string | undefined, endpoint: Endpoint, ask: Ask): Promise<Answer> {
    const { source, subject } = ask;
    let url = new URL(`/v2/${source.repository === "" ? "" : `${source.repository}/`}${ask.path}`, endpoint.base);
    let authorization = header;
    let reach: Nearness = "loopback";
    for (let hop = 0; hop <= HOPS; hop++) {
      const answer = await this.#try(ask, url, authorization, reach);
      if (!REDIRECTS.has(answer.status)) return answer;
      const decision = decideRedirect(source.registry, subject, url, answer.header("location"));
      if (decision.kind === "refuse")
        throw new RegistryError("REGISTRY_REDIRECT", source, `the registry ${decision.reason}; it was not followed`);
      if (!decision.sameOrigin) {
        authorization = undefined;
        reach = this.#transport.nearness(endpoint.base);
      }
      url = decision.url;
    }
    throw new RegistryError(
      "REGISTRY_REDIRECT",
      source,
      `the registry redirects more than ${HOPS} times; check its configuration`,
    );
  }

  async #try(ask: Ask, url: URL, authorization: string | undefined, reach: Nearness): Promise<Answer> {
    const { operation, source: target, method, accept, limit, signal, sink } = ask;
    const headers = { accept, ...(authorization !== undefined && { authorization }) };
    const outgoing: Outgoing = { operation, target, method, url, headers, limit, reach, signal, ...(sink && { sink }) };
    for (let tried = 1; ; tried++) {
      const [answer, failure] = await this.#transport.send(outgoing).then(
        (value): [Answer, undefined] => [value, undefined],
        (thrown: unknown): [undefined, unknown] => [undefined, thrown],
      );
      const delay = retryDelay(tried, answer, failure);
      if (delay === undefined) {
        if (answer === undefined) throw failure;
        return answer;
      }
      await sleep(delay, undefined, { signal }).catch((thrown: unknown) => {
        throw new RegistryError(
          "REGISTRY_TIMEOUT",
          target,
          `${url.host} asked to be tried again later than there is time for; try again`,
          { cause: thrown },
        );
      });
    }
  }
}
