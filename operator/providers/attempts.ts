import { ProductError, type ProductErrorCode } from "../../adapters/products/errors.ts";
import type { CacheRuleObject } from "../../crds/index.ts";
import type { RuleRequest } from "./provider.ts";

/** Answers after which nothing goes on at the product: what is found later was not made by that call. */
const DEFINITE: readonly ProductErrorCode[] = ["PRODUCT_REFUSED", "PRODUCT_FORBIDDEN", "PRODUCT_UNAUTHENTICATED"];

/** Whether the product said no, rather than nothing. A creation of several calls may have made a part before. */
export function isDefiniteNo(thrown: unknown): thrown is ProductError {
  return thrown instanceof ProductError && DEFINITE.includes(thrown.code);
}

/** The product's no to a creation, after which there was nothing: status must not go on announcing the rule. */
export class NothingMade extends ProductError {
  constructor(no: ProductError) {
    const { code, message, reason, retryAfterMs } = no;
    super(code, message, { cause: no, reason, ...(retryAfterMs !== undefined && { retryAfterMs }) });
  }
}

type Told = "refused" | "asked";

/**
 * What this process knows of its attempts at rules that a product has refused, and status does not say (yet). A refusal takes the
 * announcement out of status; to announce every further attempt there would be two writes each, and each of them brings the rule
 * back at once. So those are remembered here. If the process ends in the middle of one, what came of it is not known to be ours.
 */
export class Attempts {
  /** By the rule's uid. */
  readonly #told = new Map<string, Told>();

  /** The request with what is known of the rule's announcement in its status. `id` is the rule's in the product. */
  read(request: RuleRequest, id: string): RuleRequest {
    const { rule } = request;
    const { uid } = rule.metadata;
    const { remoteId, remoteCreationTime } = rule.status ?? {};
    const told = this.#told.get(uid);
    if (told === "asked" && remoteId !== undefined) this.#told.delete(uid); // status says it by now
    if (remoteCreationTime !== undefined) return request;
    if (told === "asked" && remoteId === undefined) return announced(request, id);
    return told === "refused" && remoteId !== undefined ? announced(request, undefined) : request;
  }

  /** Whether the product may be asked to make the rule now: status announces it, or the attempt after a refusal is remembered here. */
  mayAsk({ rule }: RuleRequest, id: string): boolean {
    const told = this.#told.get(rule.metadata.uid);
    if (told !== undefined) return told === "refused";
    return rule.status?.remoteId === id && rule.status.remoteCreationTime === undefined;
  }

  /** The product is about to be asked. The request as it is from then on. */
  ask(request: RuleRequest, id: string): RuleRequest {
    const { uid } = request.rule.metadata;
    if (this.#told.has(uid)) this.#told.set(uid, "asked");
    return announced(request, id);
  }

  /** The product said no, and there is nothing. */
  refused({ metadata: { uid } }: CacheRuleObject): void {
    this.#told.set(uid, "refused");
  }

  /** There is a rule of the name, whoever made it. `rule` is as status has it. */
  found({ metadata: { uid }, status }: CacheRuleObject): void {
    const isWritten = status?.remoteId === undefined || status.remoteCreationTime !== undefined;
    if (isWritten && this.#told.get(uid) === "refused") this.#told.delete(uid);
  }

  /** The rule is deleted. */
  forget({ metadata: { uid } }: CacheRuleObject): void {
    this.#told.delete(uid);
  }
}

function announced(request: RuleRequest, id: string | undefined): RuleRequest {
  const { remoteId: _remoteId, ...status } = request.rule.status ?? {};
  return { ...request, rule: { ...request.rule, status: { ...status, ...(id !== undefined && { remoteId: id }) } } };
}
