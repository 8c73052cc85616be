import { ProductError } from "../../adapters/products/errors.ts";
import type { RemoteRule } from "../../core/product/step.ts";
import type { CacheRegistryObject, Provider } from "../../crds/index.ts";
import type { Progress, RegistryOutcome, RegistryProduct, RuleRequest } from "../../operator/providers/provider.ts";

/** A rule as the simulated product keeps it. */
export interface KeptRule {
  readonly createdAt: string;
  source: string;
  /** What can be changed in place. */
  credentials: string;
  readonly by: "us" | "another";
  state: RemoteRule["state"];
}

/** What the next call does besides its work. */
export type Fault =
  | "registry-gone"
  | "throttled"
  | "unavailable"
  | "unavailable-for-now"
  | "lost-response"
  | "unauthenticated"
  | "forbidden"
  | "refused"
  /** Done, or half of it, before the no. */
  | "refused-after";

/** Faults that come when the work is done. */
const AFTERWARDS: readonly Fault[] = ["lost-response", "refused-after"];

/** The credentials that every rule should have. */
export const DECLARED_CREDENTIALS = "declared";

/**
 * A registry product in memory, with the worst habits of real ones, for tests of what is the same for all of them. What a vendor's API
 * is like is not its business: each has a contract fake of its own.
 */
export class SimulatedProduct implements RegistryProduct {
  readonly name: Provider = "azure";
  readonly limit = 1_000;
  readonly rules = new Map<string, KeptRule>();
  /** For the next calls, whatever they are. */
  readonly faults: Fault[] = [];
  /** For the next calls of `create`. */
  readonly faultsOfCreate: Fault[] = [];
  /** For the looks that follow the next calls of `create`. */
  readonly faultsAfterCreate: Fault[] = [];
  /** For the next calls of `withdraw`. */
  readonly faultsOfWithdraw: Fault[] = [];
  /** How many further looks an operation takes. */
  slowness = 0;
  reads = 0;
  writes = 0;
  /** Writes that hit a rule of somebody else. */
  trespasses = 0;
  #made = 0;
  #wasAsked = false;
  readonly #working = new Map<string, number>();

  pullHost(registry: CacheRegistryObject): string {
    return `${registry.metadata.name}.example`;
  }

  identity(registry: CacheRegistryObject): string {
    return `registry ${registry.spec.azure?.registryName}`;
  }

  judge(): undefined {
    return undefined;
  }

  remoteId({ rule }: RuleRequest): string {
    return `/rules/${rule.metadata.name}`;
  }

  /** Another's hand makes or changes a rule. */
  meddle(id: string, rule: Partial<KeptRule>): void {
    this.rules.set(id, { ...this.#fresh("another", "elsewhere"), ...this.rules.get(id), ...rule });
  }

  #fresh(by: KeptRule["by"], source: string): KeptRule {
    this.#made += 1;
    const createdAt = `made ${this.#made}`;
    return { createdAt, source, credentials: DECLARED_CREDENTIALS, by, state: "settled" };
  }

  #fault(faults = this.faults): Fault | undefined {
    const fault = faults.shift();
    if (fault === undefined || AFTERWARDS.includes(fault)) return fault;
    throw this.#failure(fault);
  }

  #failure(fault: Fault): ProductError {
    return {
      throttled: () => new ProductError("PRODUCT_THROTTLED", "too many requests", { retryAfterMs: 30_000 }),
      "registry-gone": () => new ProductError("PRODUCT_REGISTRY_NOT_FOUND", "there is no such registry"),
      "unavailable-for-now": () =>
        new ProductError("PRODUCT_UNAVAILABLE", "it is not available for now", { retryAfterMs: 30_000 }),
      unavailable: () => new ProductError("PRODUCT_UNAVAILABLE", "it does not answer"),
      unauthenticated: () => new ProductError("PRODUCT_UNAUTHENTICATED", "the token expired"),
      forbidden: () => new ProductError("PRODUCT_FORBIDDEN", "it may only be read"),
      refused: () => new ProductError("PRODUCT_REFUSED", "it says no"),
      "refused-after": () => new ProductError("PRODUCT_REFUSED", "it says no to the rest"),
      "lost-response": () => new ProductError("PRODUCT_UNAVAILABLE", "the connection broke"),
    }[fault]();
  }

  async prepare(): Promise<RegistryOutcome> {
    this.reads += 1;
    this.#fault();
    return { ready: { done: true }, upstreams: [] };
  }

  async withdraw(): Promise<Progress> {
    this.#fault(this.faultsOfWithdraw);
    return { done: true };
  }

  async observe(request: RuleRequest): Promise<RemoteRule | undefined> {
    this.reads += 1;
    const faults = this.#wasAsked ? this.faultsAfterCreate : this.faults;
    this.#wasAsked = false;
    this.#fault(faults);
    const id = this.remoteId(request);
    const kept = this.rules.get(id);
    if (kept === undefined) return undefined;
    const left = this.#working.get(id) ?? 0;
    if (left > 0) this.#working.set(id, left - 1);
    const differences = [
      ...(kept.source === request.rule.spec.source ? [] : [{ field: "source", correctable: false }]),
      ...(kept.credentials === DECLARED_CREDENTIALS ? [] : [{ field: "credentials", correctable: true }]),
    ];
    return { id, createdAt: kept.createdAt, differences, state: left > 0 ? "changing" : kept.state };
  }

  async create(request: RuleRequest): Promise<void> {
    this.#wasAsked = this.faultsAfterCreate.length > 0;
    const fault = this.#fault(this.faultsOfCreate.length > 0 ? this.faultsOfCreate : this.faults);
    const id = this.remoteId(request);
    if (this.rules.has(id)) throw new ProductError("PRODUCT_BUSY", "there is one already");
    this.writes += 1;
    this.rules.set(id, this.#fresh("us", request.rule.spec.source));
    this.#working.set(id, this.slowness);
    if (fault !== undefined) throw this.#failure(fault);
  }

  async update(request: RuleRequest): Promise<void> {
    const fault = this.#fault();
    const kept = this.rules.get(this.remoteId(request));
    if (kept === undefined) throw new ProductError("PRODUCT_UNAVAILABLE", "it is gone");
    this.writes += 1;
    if (kept.by === "another" && kept.source !== request.rule.spec.source) this.trespasses += 1;
    kept.credentials = DECLARED_CREDENTIALS;
    this.#working.set(this.remoteId(request), this.slowness);
    if (fault !== undefined) throw this.#failure(fault);
  }

  async remove(request: RuleRequest): Promise<Progress> {
    const fault = this.#fault();
    const id = this.remoteId(request);
    if (this.rules.get(id)?.by === "another" && request.rule.status?.adopted !== true) this.trespasses += 1;
    this.writes += 1;
    this.rules.delete(id);
    if (fault !== undefined) throw this.#failure(fault);
    return { done: true };
  }
}
