import { systemClock } from "../../../adapters/clock.ts";
import { ProductError, type ProductErrorCode } from "../../../adapters/products/errors.ts";
import { type Log, silentLog } from "../../../adapters/telemetry/log.ts";
import { parseMapping } from "../../../core/cacherule/mapping.ts";
import { normaliseHost } from "../../../core/image/reference.ts";
import { decideStep, type Step } from "../../../core/product/step.ts";
import type { CacheRegistryObject, CacheRuleObject, CacheRuleSpec, Upstream } from "../../../crds/index.ts";
import { AzureProduct } from "../../../operator/providers/azure.ts";
import type { RegistryOutcome, RuleRequest, WantedUpstream } from "../../../operator/providers/provider.ts";
import { specFile } from "../specs.ts";
import { FakeAzure } from "./fake.ts";
import { GROUP, REGISTRY, SECRET, SUBSCRIPTION, TENANT } from "./replies.ts";

export const SWAGGER = "azure-containerregistry-cache-2025-11-01.json";
export const VAULT = "https://myvault.vault.azure.net/secrets";
export const KEY_VAULT = { usernameSecretId: `${VAULT}/username`, passwordSecretId: `${VAULT}/password` } as const;
export const DOCKER_HUB: Upstream = { host: "docker.io", credentials: { keyVault: KEY_VAULT } };
export const NAMESPACE = "cosign-system";

const METADATA = { uid: "u", generation: 1, resourceVersion: "1", creationTimestamp: "2030-01-01T00:00:00Z" } as const;

/** A fake of Azure with the product on it, in one test's hands; `undefined` where Azure's contract is not to be had. */
export class AzureStage {
  readonly fake: FakeAzure;
  #product: AzureProduct | undefined;
  readonly secrets = new Map<string, { readonly data: Readonly<Record<string, string>> }>();
  readonly #log: Log;

  constructor(contract: string, log: Log = silentLog) {
    this.fake = new FakeAzure(contract);
    this.#log = log;
  }

  /** Skips the suite by name where the contract is missing. */
  static here(suite: Mocha.Context): AzureStage {
    const contract = specFile(SWAGGER);
    if (contract === undefined) {
      console.log(`skipped: ${SWAGGER} is missing; set ENTREPOT_SPECS to the folder that has it`);
      suite.skip();
    }
    return new AzureStage(contract ?? "");
  }

  get product(): AzureProduct {
    this.#product ??= this.restarted();
    return this.#product;
  }

  /** A new product, which remembers nothing. */
  restarted(): AzureProduct {
    this.#product = new AzureProduct(
      {
        namespace: NAMESPACE,
        secrets: { get: (name: string) => this.secrets.get(name) as never },
        client: { get: () => Promise.reject(new Error("the product asks the API server for nothing")) },
        clock: systemClock,
        log: this.#log,
      },
      { authorityHost: this.fake.url },
    );
    return this.#product;
  }

  /** Fresh fake, product and Secret. */
  reset(): void {
    this.fake.reset();
    this.#product = undefined;
    this.secrets.clear();
    this.signIn({ tenantId: TENANT, clientId: "00000000-0000-0000-0000-000000000002", clientSecret: SECRET });
  }

  signIn(values: Readonly<Record<string, string>>): void {
    const data = Object.entries(values).map(([key, value]) => [key, Buffer.from(value).toString("base64")] as const);
    this.secrets.set(`${NAMESPACE}/azure`, { data: Object.fromEntries(data) });
  }

  registry(
    upstreams: readonly Upstream[] = [DOCKER_HUB],
    change: Partial<CacheRegistryObject["spec"]> = {},
  ): CacheRegistryObject {
    return {
      apiVersion: "entrepot.dev/v1alpha1",
      kind: "CacheRegistry",
      metadata: { ...METADATA, name: "prod" },
      spec: {
        azure: {
          subscriptionId: SUBSCRIPTION,
          resourceGroup: GROUP,
          registryName: REGISTRY,
          endpoint: `${this.fake.url}/`,
          auth: { clientSecretRef: { name: "azure" } },
        },
        upstreams: [...upstreams],
        ...change,
      },
    };
  }

  /** Runs `prepare` as the reconciler does, its outcome written into the registry's status each time, until it is ready. */
  async prepared(
    registry: CacheRegistryObject,
    passes = 6,
  ): Promise<{ registry: CacheRegistryObject; outcome: RegistryOutcome }> {
    let current = registry;
    for (let pass = 1; ; pass++) {
      const outcome = await this.product.prepare(current, upstreamsOf(current), new AbortController().signal);
      current = { ...current, status: { ...current.status, upstreams: [...outcome.upstreams] } };
      if (outcome.ready.done || pass === passes) return { registry: current, outcome };
    }
  }
}

export function upstreamsOf(registry: CacheRegistryObject): readonly WantedUpstream[] {
  return (registry.spec.upstreams ?? []).map((entry) => ({ host: normaliseHost(entry.host), entry, used: true }));
}

export function ruleRequest(
  registry: CacheRegistryObject,
  spec: Partial<CacheRuleSpec> & { readonly name?: string } = {},
  status: CacheRuleObject["status"] = {},
): RuleRequest {
  const { name = "demo-rule", ...rest } = spec;
  const full = { registryRef: { name: "prod" }, source: "docker.io/library/nginx", target: "hub/nginx", ...rest };
  const rule: CacheRuleObject = {
    apiVersion: "entrepot.dev/v1alpha1",
    kind: "CacheRule",
    metadata: { ...METADATA, name },
    spec: full,
    status,
  };
  const mapping = parseMapping(full);
  return { rule, registry, mapping, host: mapping.source.host };
}

/** What is to be done about a rule, from what the product finds and the status knows. */
export async function stepOf(
  product: AzureProduct,
  request: RuleRequest,
  drift: "Correct" | "Report" = "Correct",
): Promise<Step> {
  const found = await product.observe(request, new AbortController().signal);
  const { remoteId, remoteCreationTime } = request.rule.status ?? {};
  const known = { ...(remoteId && { remoteId }), ...(remoteCreationTime && { remoteCreationTime }) };
  return decideStep(found, known, { adoption: request.rule.spec.adoptionPolicy ?? "IfIdentical", drift });
}

/** Awaits a `ProductError` of that code. Nothing secret may be in its message. */
export async function productFailure(code: ProductErrorCode, promise: Promise<unknown>): Promise<ProductError> {
  const thrown = await promise.then(
    (value) => `success: ${JSON.stringify(value)}`,
    (error: unknown) => error,
  );
  if (!(thrown instanceof ProductError) || thrown.code !== code)
    throw new Error(`expected a ProductError ${code}, got ${String(thrown)}`, { cause: thrown });
  if (/token-of-a-test|client-secret-of-a-test|secret body/.test(thrown.message))
    throw new Error(`a secret is in the message: ${thrown.message}`);
  return thrown;
}
