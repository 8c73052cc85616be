import type { Log } from "../adapters/telemetry/log.ts";
import { DomainError, messageOf } from "../core/errors.ts";
import {
  checkingBusy,
  clientsNotLoaded,
  credentialsNeeded,
  credentialsRefused,
  policyNotLoaded,
  type Refusal,
  tokenNotChecked,
} from "../core/gateway/access-errors.ts";
import { readAuthorization, type Shown } from "../core/gateway/authorization.ts";
import { type AccessPolicy, asksFor, pingAsks } from "../core/gateway/policy.ts";
import { type JudgedReview, readClaims } from "../core/gateway/tokens.ts";
import type { AccessDocument } from "../core/gatewayaccess/types.ts";
import { Passwords } from "./passwords.ts";

/** Whether a request may go on, and as whom: nobody by name where nothing is asked for. */
export type Admission =
  | { readonly kind: "admitted"; readonly user?: string }
  | { readonly kind: "refused"; readonly refusal: Refusal };

export interface AccessOptions {
  /** The name of the CacheRegistry that is served. */
  readonly registry: string;
  /** What it says of access; undefined before it is known. */
  readonly policy: () => AccessPolicy | undefined;
  /** The users that have passwords; undefined before they are known. */
  readonly document: () => AccessDocument | undefined;
  readonly reviewToken: (token: string, policy: AccessPolicy) => Promise<JudgedReview>;
  readonly log: Log;
}

/** Of which upstreams a client may see what is cached. */
export type Listing =
  | { readonly kind: "admitted"; readonly mayList: (upstreamHost: string, marked?: boolean) => boolean }
  | { readonly kind: "refused"; readonly refusal: Refusal };

const OPEN: Admission = { kind: "admitted" };

function refused(refusal: Refusal): Admission {
  return { kind: "refused", refusal };
}

/** Decides who may have what. Whatever cannot be decided is refused. */
export class Access {
  readonly #options: AccessOptions;
  readonly #passwords = new Passwords();

  constructor(options: AccessOptions) {
    this.#options = options;
  }

  /** The policy of this moment; undefined before it is known. */
  get policy(): AccessPolicy | undefined {
    return this.#options.policy();
  }

  /** For `/v2/`. */
  async ping(authorization: string | undefined): Promise<Admission> {
    const { policy } = this;
    if (policy === undefined) return refused(policyNotLoaded(this.#options.registry));
    return pingAsks(policy) ? await this.#client(policy, authorization) : OPEN;
  }

  /** For content of an upstream. What is open is given whatever the client shows: CRI-O shows an empty user where it has none. */
  async content(upstreamHost: string, authorization: string | undefined): Promise<Admission> {
    const { policy } = this;
    if (policy === undefined) return refused(policyNotLoaded(this.#options.registry));
    return asksFor(policy, upstreamHost) ? await this.#client(policy, authorization) : OPEN;
  }

  /** For content that a proxy marked as read with credentials, whatever the policy says of its upstream. */
  async marked(authorization: string | undefined): Promise<Admission> {
    const { policy } = this;
    if (policy === undefined) return refused(policyNotLoaded(this.#options.registry));
    return policy.anonymous ? OPEN : await this.#client(policy, authorization);
  }

  /** For the catalogue: who shows nothing sees what is open, who shows credentials must be a client. */
  async listing(authorization: string | undefined): Promise<Listing> {
    const { policy } = this;
    if (policy === undefined) return { kind: "refused", refusal: policyNotLoaded(this.#options.registry) };
    if (policy.anonymous) return { kind: "admitted", mayList: () => true };
    if (readAuthorization(authorization).kind === "nothing" || !pingAsks(policy))
      return { kind: "admitted", mayList: (host, marked = false) => !marked && !asksFor(policy, host) };
    const admission = await this.#client(policy, authorization);
    return admission.kind === "refused" ? admission : { kind: "admitted", mayList: () => true };
  }

  async #client(policy: AccessPolicy, authorization: string | undefined): Promise<Admission> {
    const shown = readAuthorization(authorization);
    try {
      return await this.#identify(policy, shown);
    } catch (thrown) {
      const { registry, log } = this.#options;
      if (thrown instanceof DomainError && thrown.code === "BUSY") return refused(checkingBusy(registry));
      log.warn("credentials not checked", { error: messageOf(thrown) });
      return refused(tokenNotChecked(registry));
    }
  }

  async #identify(policy: AccessPolicy, shown: Shown): Promise<Admission> {
    switch (shown.kind) {
      case "nothing":
        return refused(credentialsNeeded(policy));
      case "unreadable":
        return refused(credentialsRefused(policy));
      case "bearer":
        return await this.#byToken(policy, shown.token);
      case "basic":
        return await this.#byPassword(policy, shown.username, shown.password);
    }
  }

  async #byPassword(policy: AccessPolicy, username: string, password: string): Promise<Admission> {
    const { registry, document: current } = this.#options;
    const document = current();
    const takesTokens = policy.serviceAccounts !== undefined || policy.own !== undefined;
    const isToken = takesTokens && readClaims(password) !== undefined;
    if (document === undefined && policy.secrets.size > 0 && !isToken) return refused(clientsNotLoaded(registry));
    const user =
      document === undefined ? undefined : await this.#passwords.userOf(document, policy.secrets, username, password);
    if (user !== undefined) return { kind: "admitted", user };
    return isToken ? await this.#byToken(policy, password) : refused(credentialsRefused(policy));
  }

  async #byToken(policy: AccessPolicy, token: string): Promise<Admission> {
    const judged = await this.#options.reviewToken(token, policy);
    return judged.kind === "client" ? { kind: "admitted", user: judged.name } : refused(judged.refusal);
  }
}
