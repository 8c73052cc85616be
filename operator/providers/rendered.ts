import type { CacheRegistryObject } from "../../crds/index.ts";
import type {
  CacheProvider,
  Progress,
  Refusal,
  RegistryOutcome,
  RegistryPlanView,
  Removal,
  RenderedRegistry,
  RuleOutcome,
  RuleRequest,
} from "./provider.ts";

/** A registry that is rendered as a whole, as the reconcilers see it: its rules only have to be watched arriving. */
export class RenderedProvider implements CacheProvider {
  readonly isRemote = false;
  readonly #registry: RenderedRegistry;

  constructor(registry: RenderedRegistry) {
    this.#registry = registry;
  }

  get name(): RenderedRegistry["name"] {
    return this.#registry.name;
  }

  get holdsRules(): boolean {
    return this.#registry.holdsRules;
  }

  get limit(): number {
    return this.#registry.limit ?? Number.POSITIVE_INFINITY;
  }

  pullHost(registry: CacheRegistryObject): string {
    return this.#registry.pullHost(registry);
  }

  identity(registry: CacheRegistryObject): string {
    return this.#registry.identity(registry);
  }

  judge(request: RuleRequest): Refusal | undefined {
    return this.#registry.judge(request);
  }

  async prepare(registry: CacheRegistryObject, plan: RegistryPlanView, signal: AbortSignal): Promise<RegistryOutcome> {
    return await this.#registry.prepare(registry, plan, signal);
  }

  async withdraw(registry: CacheRegistryObject, signal: AbortSignal): Promise<Progress> {
    return await this.#registry.withdraw(registry, signal);
  }

  async serve(request: RuleRequest, signal: AbortSignal): Promise<RuleOutcome> {
    return await this.#registry.observe(request, signal);
  }

  async remove(request: RuleRequest, _images: boolean, signal: AbortSignal): Promise<Removal> {
    return await this.#registry.removed(request, signal);
  }
}
