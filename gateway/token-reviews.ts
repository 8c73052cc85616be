import type { Clock } from "../adapters/clock.ts";
import type { KubeClient, KubeObject, Resource } from "../adapters/kube/types.ts";
import { Shared } from "../adapters/shared.ts";
import type { Refusal } from "../core/gateway/access-errors.ts";
import { tokenRefused } from "../core/gateway/access-errors.ts";
import type { AccessPolicy } from "../core/gateway/policy.ts";
import {
  audienceOf,
  type JudgedReview,
  judgeReview,
  objectionTo,
  readClaims,
  type UncheckedClaims,
} from "../core/gateway/tokens.ts";
import { hashKey } from "../core/hashkey.ts";
import { Slots } from "../core/slots.ts";

/** authentication.k8s.io/v1: an answer, never an object that is kept. */
const TOKEN_REVIEWS: Resource = {
  group: "authentication.k8s.io",
  version: "v1",
  plural: "tokenreviews",
  kind: "TokenReview",
  namespaced: false,
};

interface TokenReview extends KubeObject {
  readonly spec: { readonly token: string; readonly audiences: readonly string[] };
  readonly status?: unknown;
}

/** What the API server said of a token, for as long as it is remembered. */
interface Reviewed {
  readonly status: unknown;
  readonly authenticated: boolean;
  readonly expires?: number;
}

/** A token that was taken stays good for so long after its ServiceAccount or its Pod has gone. */
const GOOD_MS = 60_000;
const BAD_MS = 10_000;
const REMEMBERED = 4_096;
const DEADLINE_MS = 10_000;
const AT_ONCE = 8;
const WAITING = 256;

function keepMs({ authenticated, expires }: Reviewed, now: Date): number {
  if (!authenticated) return BAD_MS;
  const left = expires === undefined ? GOOD_MS : expires * 1000 - now.getTime();
  return Math.max(0, Math.min(GOOD_MS, left));
}

/**
 * Asks the API server whose a token is, once for all who show it at the same time. Answers are remembered for a short time, by the
 * token's digest and the audience: the token itself is kept nowhere. What of it may pull is judged at every request, by the policy of then.
 */
export class TokenReviews {
  readonly #client: Pick<KubeClient, "create">;
  readonly #reviews: Shared<Reviewed>;
  readonly #slots = new Slots(AT_ONCE, WAITING);

  constructor(client: Pick<KubeClient, "create">, clock: Pick<Clock, "now">) {
    this.#client = client;
    this.#reviews = new Shared({ max: REMEMBERED, keepMs: (reviewed) => keepMs(reviewed, clock.now()) });
  }

  /** Whose `token` is, or why it lets nobody in. Throws (`KubeError`, `DomainError` BUSY, a timeout) when nobody could be asked. */
  async clientOf(token: string, policy: AccessPolicy): Promise<JudgedReview> {
    const refused = (refusal: Refusal): JudgedReview => ({ kind: "refused", refusal });
    const claims = readClaims(token);
    const audience = claims && audienceOf(claims, policy);
    if (audience === undefined || claims === undefined) return refused(tokenRefused(policy));
    const objection = objectionTo(claims, audience, policy);
    if (objection !== undefined) return refused(objection);
    const key = hashKey([audience, token]);
    const { value } = await this.#reviews.get(key, AbortSignal.timeout(DEADLINE_MS), async (signal) =>
      this.#slots.run(async () => await this.#review(token, audience, claims, signal)),
    );
    return judgeReview(value.status, audience, policy);
  }

  async #review(token: string, audience: string, claims: UncheckedClaims, signal: AbortSignal): Promise<Reviewed> {
    const review: TokenReview = {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenReview",
      metadata: { name: "gateway" }, // nothing of that name is kept; our client wants every object to have one
      spec: { token, audiences: [audience] },
    };
    const { status } = await this.#client.create<TokenReview>(TOKEN_REVIEWS, review, { signal });
    const authenticated = typeof status === "object" && status !== null && "authenticated" in status;
    return {
      status,
      authenticated: authenticated && status.authenticated === true,
      ...(claims.expires !== undefined && { expires: claims.expires }),
    };
  }
}
