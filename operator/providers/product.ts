import { ProductError } from "../../adapters/products/errors.ts";
import { decideStep, isOurs, type RemotePolicy, type RemoteRule, type Step } from "../../core/product/step.ts";
import { type CacheRegistryObject, CONDITION, REASON, type Reason } from "../../crds/index.ts";
import { Attempts, isDefiniteNo, NothingMade } from "./attempts.ts";
import type {
  CacheProvider,
  CredentialsHealth,
  Pending,
  Progress,
  Refusal,
  RegistryOutcome,
  RegistryPlanView,
  RegistryProduct,
  RemoteFacts,
  Removal,
  RuleOutcome,
  RuleRequest,
} from "./provider.ts";

const DONE: Progress = { done: true };
const MOVING: readonly Reason[] = [REASON.Updating, REASON.DriftCorrected];

function pending(reason: Pending["reason"], message: string): Pending {
  return { done: false, reason, message };
}

function knownOf({ rule }: RuleRequest) {
  const { remoteId, remoteCreationTime } = rule.status ?? {};
  return {
    ...(remoteId !== undefined && { remoteId }),
    ...(remoteCreationTime !== undefined && { remoteCreationTime }),
  };
}

function policyOf({ rule, registry }: RuleRequest): RemotePolicy {
  return { adoption: rule.spec.adoptionPolicy ?? "IfIdentical", drift: registry.spec.driftPolicy ?? "Correct" };
}

/** An API-managed registry as the reconcilers see it: each pass finds, compares, and does at most one thing. */
export class ProductProvider implements CacheProvider {
  readonly isRemote = true;
  readonly holdsRules = false;
  readonly #product: RegistryProduct;
  readonly #attempts = new Attempts();

  constructor(product: RegistryProduct) {
    this.#product = product;
  }

  get name(): RegistryProduct["name"] {
    return this.#product.name;
  }

  get limit(): number {
    return this.#product.limit ?? Number.POSITIVE_INFINITY;
  }

  pullHost(registry: CacheRegistryObject): string {
    return this.#product.pullHost(registry);
  }

  identity(registry: CacheRegistryObject): string {
    return this.#product.identity(registry);
  }

  judge(request: RuleRequest): Refusal | undefined {
    return this.#product.judge(request);
  }

  async prepare(registry: CacheRegistryObject, plan: RegistryPlanView, signal: AbortSignal): Promise<RegistryOutcome> {
    return await this.#product.prepare(registry, plan.upstreams, signal);
  }

  async withdraw(registry: CacheRegistryObject, signal: AbortSignal): Promise<Progress> {
    return await this.#product.withdraw(registry, signal);
  }

  async serve(asked: RuleRequest, signal: AbortSignal): Promise<RuleOutcome> {
    const request = this.#read(asked);
    const found = await this.#product.observe(request, signal);
    if (found !== undefined) this.#attempts.found(asked.rule);
    const step = decideStep(found, knownOf(request), policyOf(request));
    return await this.#act(step, request, found, signal);
  }

  #read(request: RuleRequest): RuleRequest {
    return this.#attempts.read(request, this.#product.remoteId(request));
  }

  async #act(
    step: Step,
    request: RuleRequest,
    found: RemoteRule | undefined,
    signal: AbortSignal,
  ): Promise<RuleOutcome> {
    const { rule } = request;
    const id = found?.id ?? this.#product.remoteId(request);
    const wasSynced = rule.status?.conditions?.some(
      ({ type, status }) => type === CONDITION.Synced && status === "True",
    );
    const waiting = (synced: Pending, remote: RemoteFacts | undefined): RuleOutcome => ({
      synced,
      // While a rule that was in order is worked on, the product goes on serving it.
      serving: wasSynced === true && MOVING.includes(synced.reason) ? DONE : synced,
      ...(remote && { remote }),
    });
    switch (step.do) {
      case "create": {
        // Written down before it is done: should the answer be lost, the rule found next is known to be ours.
        const made = this.#attempts.mayAsk(request, id) ? await this.#make(request, id, signal) : undefined;
        if (made !== undefined) return await this.#act(made.step, request, made.found, signal);
        const remote = { remoteId: id, adopted: false, drift: step.drift };
        return waiting(pending(REASON.Creating, `"${id}" is being made in the registry`), remote);
      }
      case "update":
        if (found !== undefined) await this.#product.update(request, found, signal);
        return waiting(
          pending(REASON.DriftCorrected, `"${id}" differed in ${step.drift.join(", ")} and is being corrected`),
          this.#facts(request, found, step.drift),
        );
      case "wait":
        return waiting(
          pending(REASON.Updating, `the registry is still at work on "${id}"`),
          this.#facts(request, found, []),
        );
      case "report":
        return waiting(
          pending(step.reason, step.message),
          step.reason === REASON.ForeignRule ? undefined : this.#facts(request, found, step.drift),
        );
      case "nothing":
        return await this.#settled(request, found, step.adopted, signal);
    }
  }

  /** Makes the rule and looks at it at once: the sooner its creation time is known, the surer it is ours. */
  async #make(unasked: RuleRequest, id: string, signal: AbortSignal) {
    const request = this.#attempts.ask(unasked, id);
    try {
      await this.#product.create(request, signal);
    } catch (thrown) {
      if (!isDefiniteNo(thrown) || !(await this.#isNothing(request, signal))) throw thrown;
      this.#attempts.refused(request.rule);
      throw new NothingMade(thrown);
    }
    const found = await this.#product.observe(request, signal);
    const step = decideStep(found, knownOf(request), policyOf(request));
    return step.do === "nothing" || step.do === "wait" ? { found, step } : undefined;
  }

  /** False too where nobody can look: what may have been made stays announced. */
  async #isNothing(request: RuleRequest, signal: AbortSignal): Promise<boolean> {
    try {
      return (await this.#product.observe(request, signal)) === undefined;
    } catch (thrown) {
      if (thrown instanceof ProductError) return false;
      throw thrown;
    }
  }

  async #settled(
    request: RuleRequest,
    found: RemoteRule | undefined,
    adopted: boolean,
    signal: AbortSignal,
  ): Promise<RuleOutcome> {
    const credentials = await this.#credentials(request, signal);
    const serving: Progress =
      credentials?.status === "False" ? pending(REASON.CredentialsUnhealthy, credentials.message) : DONE;
    const remote = this.#facts(request, found, [], adopted);
    return { synced: DONE, serving, ...(credentials && { credentials }), ...(remote && { remote }) };
  }

  async #credentials(request: RuleRequest, signal: AbortSignal): Promise<CredentialsHealth | undefined> {
    return await this.#product.credentials?.(request, signal);
  }

  #facts(
    { rule }: RuleRequest,
    found: RemoteRule | undefined,
    drift: readonly string[],
    adopted = rule.status?.adopted === true,
  ): RemoteFacts | undefined {
    const known = rule.status;
    const remoteId = found?.id ?? known?.remoteId;
    if (remoteId === undefined) return undefined;
    const remoteCreationTime = found?.createdAt ?? known?.remoteCreationTime;
    return {
      remoteId,
      ...(remoteCreationTime !== undefined && { remoteCreationTime }),
      adopted: adopted || known?.adopted === true,
      drift,
    };
  }

  async remove(asked: RuleRequest, images: boolean, signal: AbortSignal): Promise<Removal> {
    const request = this.#read(asked);
    const removal = await this.#remove(request, images, signal);
    if (removal.done) this.#attempts.forget(request.rule);
    return removal;
  }

  async #remove(request: RuleRequest, images: boolean, signal: AbortSignal): Promise<Removal> {
    const found = await this.#product.observe(request, signal);
    if (found === undefined) return DONE;
    if (!isOurs(found, knownOf(request)))
      return { done: true, left: `"${found.id}" stays in the registry: Entrepot did not make it` };
    if (request.rule.status?.adopted === true && found.differences.length > 0) {
      const fields = found.differences.map(({ field }) => field).join(", ");
      return {
        done: true,
        left: `"${found.id}" stays in the registry: it was there before its CacheRule, and was changed since (${fields})`,
      };
    }
    const progress = await this.#product.remove(request, found, images, signal);
    if (progress.done || progress.reason !== REASON.LeftBehind) return progress;
    return { done: true, left: progress.message };
  }
}
