import { AzureClient } from "../../adapters/products/azure.ts";
import { type AzureIdentity, type AzureProductSettings, openAzureSdk } from "../../adapters/products/azure-session.ts";
import { ProductError } from "../../adapters/products/errors.ts";
import { CallGate } from "../../adapters/products/gate.ts";
import {
  AZURE_RULE_LIMIT,
  azureRuleId,
  azureRuleName,
  compareAzureRule,
  desiredAzureRule,
  judgeAzureRule,
} from "../../core/product/azure.ts";
import { type AzureRegistry, azureLoginServer, azureRegistryId, isDeleting } from "../../core/product/azure-names.ts";
import type { RemoteRule } from "../../core/product/step.ts";
import { type CacheRegistryObject, REASON } from "../../crds/index.ts";
import { prepareSets, withdrawSets } from "./azure-credentials.ts";
import type {
  ProductContext,
  Progress,
  Refusal,
  RegistryOutcome,
  RegistryProduct,
  RuleRequest,
  WantedUpstream,
} from "./provider.ts";
import { secretValue } from "./secret-value.ts";
import { Sessions } from "./sessions.ts";

/** Below what Azure Resource Manager grants a subscription: 25 reads a second after 250 at once. Source: learn.microsoft.com, ARM throttling. */
const RATE = { burst: 100, perSecond: 20 } as const;

/** Azure Container Registry: rules are its cache rules, credentials of upstreams its credential sets. */
export class AzureProduct implements RegistryProduct {
  readonly name = "azure";
  readonly limit = AZURE_RULE_LIMIT;
  readonly #context: ProductContext;
  readonly #settings: AzureProductSettings;
  readonly #sessions = new Sessions<AzureClient>();

  constructor(context: ProductContext, settings: AzureProductSettings = {}) {
    this.#context = context;
    this.#settings = settings;
  }

  pullHost(registry: CacheRegistryObject): string {
    return azureLoginServer(specOf(registry));
  }

  identity(registry: CacheRegistryObject): string {
    return azureRegistryId(specOf(registry)).toLowerCase();
  }

  judge(request: RuleRequest): Refusal | undefined {
    return judgeAzureRule(request);
  }

  remoteId({ rule, registry }: RuleRequest): string {
    return azureRuleId(specOf(registry), azureRuleName(rule));
  }

  async prepare(
    registry: CacheRegistryObject,
    upstreams: readonly WantedUpstream[],
    signal: AbortSignal,
  ): Promise<RegistryOutcome> {
    const client = await this.#client(registry);
    return await prepareSets({ client, registry, azure: specOf(registry), log: this.#context.log }, upstreams, signal);
  }

  async withdraw(registry: CacheRegistryObject, signal: AbortSignal): Promise<Progress> {
    const client = await this.#client(registry);
    return await withdrawSets({ client, registry, azure: specOf(registry), log: this.#context.log }, signal);
  }

  async observe(request: RuleRequest, signal: AbortSignal): Promise<RemoteRule | undefined> {
    const { rule, registry } = request;
    const found = await (await this.#client(registry)).rule(azureRuleName(rule), signal);
    if (found === undefined) return undefined;
    const desired = desiredAzureRule(request, specOf(registry));
    return compareAzureRule(desired, found, this.remoteId(request), this.#context.clock.now());
  }

  async create(request: RuleRequest, signal: AbortSignal): Promise<void> {
    const client = await this.#client(request.registry);
    const name = azureRuleName(request.rule);
    if ((await client.rule(name, signal)) !== undefined)
      throw new ProductError(
        "PRODUCT_BUSY",
        `cache rule "${name}" appeared in the registry meanwhile; it is looked at again`,
      );
    const { replaced } = await client.createRule(name, desiredAzureRule(request, specOf(request.registry)), signal);
    if (replaced)
      this.#context.log.warn("a cache rule of the same name appeared in the registry and was replaced", { name });
  }

  async update(request: RuleRequest, _found: RemoteRule, signal: AbortSignal): Promise<void> {
    const { credentialSetId } = desiredAzureRule(request, specOf(request.registry));
    const client = await this.#client(request.registry);
    await client.setRuleCredentials(azureRuleName(request.rule), credentialSetId, signal);
  }

  /** Cached images always stay: Azure's rules have no hold on them. */
  async remove(request: RuleRequest, found: RemoteRule, _images: boolean, signal: AbortSignal): Promise<Progress> {
    const client = await this.#client(request.registry);
    const name = azureRuleName(request.rule);
    const now = await client.rule(name, signal);
    if (now === undefined || now.createdAt !== found.createdAt) return { done: true };
    if (!isDeleting(now.provisioningState)) await client.deleteRule(name, signal);
    return { done: false, reason: REASON.Deleting, message: `Azure is deleting cache rule "${name}"` };
  }

  async #client(registry: CacheRegistryObject): Promise<AzureClient> {
    const azure = specOf(registry);
    const identity = this.#identityOf(azure);
    const { clock } = this.#context;
    return await this.#sessions.of(registry.metadata.name, { azure, identity }, async () => {
      const sdk = await openAzureSdk(azure, identity, this.#settings, clock);
      return new AzureClient(sdk, azure, new CallGate({ ...RATE, clock }));
    });
  }

  #identityOf({ auth }: AzureRegistry): AzureIdentity {
    if (auth.clientSecretRef === undefined) return { kind: "workload", ...auth.workloadIdentity };
    const { name } = auth.clientSecretRef;
    const purpose = "spec.azure.auth.clientSecretRef needs tenantId, clientId and clientSecret";
    const value = (key: string): string => secretValue(this.#context, name, key, purpose);
    return {
      kind: "secret",
      tenantId: value("tenantId"),
      clientId: value("clientId"),
      clientSecret: value("clientSecret"),
    };
  }
}

function specOf({ metadata, spec }: CacheRegistryObject): AzureRegistry {
  if (spec.azure === undefined) throw new Error(`CacheRegistry "${metadata.name}" has no azure block`);
  return spec.azure;
}
