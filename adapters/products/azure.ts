import type { CacheRule, ContainerRegistryManagementClient, CredentialSet } from "@azure/arm-containerregistry";
import type { AzureRule, DesiredAzureRule } from "../../core/product/azure.ts";
import type { AzureCredentialSet, WantedSet } from "../../core/product/azure-credentials.ts";
import type { AzureRegistry } from "../../core/product/azure-names.ts";
import { AzureAnswer, azureFailure } from "./azure-errors.ts";
import { ProductError } from "./errors.ts";
import type { CallGate } from "./gate.ts";

interface CallOptions {
  readonly abortSignal: AbortSignal;
  /** The status is wanted of calls that tell by it what they did. */
  readonly onResponse: (response: { readonly status: number }) => void;
}

interface Submitted {
  submitted(): Promise<void>;
}

const PAGES_LIMIT = 100;
const PRINCIPAL = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/**
 * The cache rules and credential sets of one registry, by Azure Resource Manager's API 2025-11-01. Operations that run long are begun and
 * not waited for: reading again tells how they stand, now and after a restart. That API knows no conditional writes, so whoever creates
 * looks first. Everything throws `ProductError`s.
 */
export class AzureClient {
  readonly #sdk: ContainerRegistryManagementClient;
  readonly #registry: AzureRegistry;
  readonly #gate: CallGate;

  constructor(sdk: ContainerRegistryManagementClient, registry: AzureRegistry, gate: CallGate) {
    this.#sdk = sdk;
    this.#registry = registry;
    this.#gate = gate;
  }

  async rule(name: string, signal: AbortSignal): Promise<AzureRule | undefined> {
    return await this.#find(
      `show cache rule "${name}"`,
      async (options) => ruleOf(await this.#sdk.cacheRules.get(...this.#at, name, options), name),
      signal,
    );
  }

  async rules(signal: AbortSignal): Promise<readonly AzureRule[]> {
    const pages = this.#sdk.cacheRules.list(...this.#at, { abortSignal: signal }).byPage();
    const found = await this.#all("list the cache rules", pages, signal);
    return found.map((rule) => ruleOf(rule, rule.name ?? ""));
  }

  /** Begins to make the rule. Says whether there was one of the name after all, which this has then replaced. */
  async createRule(name: string, rule: DesiredAzureRule, signal: AbortSignal): Promise<{ readonly replaced: boolean }> {
    const body: CacheRule = {
      sourceRepository: rule.source,
      targetRepository: rule.target,
      ...(rule.credentialSetId !== undefined && { credentialSetResourceId: rule.credentialSetId }),
    };
    const doing = `create cache rule "${name}"`;
    const status = await this.#write(doing, (o) => this.#sdk.cacheRules.create(...this.#at, name, body, o), signal);
    return { replaced: status === 200 };
  }

  /** Begins to change which credential set the rule uses; undefined for none. */
  async setRuleCredentials(name: string, credentialSetId: string | undefined, signal: AbortSignal): Promise<void> {
    // Only an explicit null takes it away (recorded exchange 14); the SDK's type does not know of it, its serializer copies it.
    const body = { credentialSetResourceId: credentialSetId ?? (null as unknown as string) };
    const doing = `change the credential set of cache rule "${name}"`;
    await this.#write(doing, (o) => this.#sdk.cacheRules.update(...this.#at, name, body, o), signal);
  }

  async deleteRule(name: string, signal: AbortSignal): Promise<void> {
    await this.#write(`delete cache rule "${name}"`, (o) => this.#sdk.cacheRules.delete(...this.#at, name, o), signal);
  }

  async credentialSet(name: string, signal: AbortSignal): Promise<AzureCredentialSet | undefined> {
    return await this.#find(
      `show credential set "${name}"`,
      async (options) => setOf(await this.#sdk.credentialSets.get(...this.#at, name, options)),
      signal,
    );
  }

  async credentialSets(signal: AbortSignal): Promise<readonly AzureCredentialSet[]> {
    const pages = this.#sdk.credentialSets.list(...this.#at, { abortSignal: signal }).byPage();
    return (await this.#all("list the credential sets", pages, signal)).map(setOf);
  }

  /** Begins to make the set, with an identity of its own that is to read the secrets. */
  async createCredentialSet({ name, loginServer, ...wanted }: WantedSet, signal: AbortSignal): Promise<void> {
    const body: CredentialSet = {
      identity: { type: "SystemAssigned" },
      loginServer,
      authCredentials: credentialsOf(wanted),
    };
    const doing = `create credential set "${name}"`;
    await this.#write(doing, (o) => this.#sdk.credentialSets.create(...this.#at, name, body, o), signal);
  }

  /** Begins to change which secrets the set reads. */
  async updateCredentialSet({ name, ...wanted }: WantedSet, signal: AbortSignal): Promise<void> {
    const body = { authCredentials: credentialsOf(wanted) };
    const doing = `change credential set "${name}"`;
    await this.#write(doing, (o) => this.#sdk.credentialSets.update(...this.#at, name, body, o), signal);
  }

  async deleteCredentialSet(name: string, signal: AbortSignal): Promise<void> {
    const doing = `delete credential set "${name}"`;
    await this.#write(doing, (o) => this.#sdk.credentialSets.delete(...this.#at, name, o), signal);
  }

  get #at(): readonly [string, string] {
    return [this.#registry.resourceGroup, this.#registry.registryName];
  }

  async #call<T>(doing: string, call: (signal: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<T> {
    const what = `${doing} in registry "${this.#registry.registryName}"`;
    return await this.#gate.run(async (within) => {
      try {
        return await call(within);
      } catch (thrown) {
        throw azureFailure(thrown, what);
      }
    }, signal);
  }

  async #find<T>(
    doing: string,
    get: (options: { readonly abortSignal: AbortSignal }) => Promise<T>,
    signal: AbortSignal,
  ): Promise<T | undefined> {
    const call = async (abortSignal: AbortSignal): Promise<T | undefined> => {
      try {
        return await get({ abortSignal });
      } catch (thrown) {
        if (thrown instanceof AzureAnswer && thrown.status === 404 && !thrown.isRegistryMissing) return undefined;
        throw thrown;
      }
    };
    return await this.#call(doing, call, signal);
  }

  async #all<T>(doing: string, pages: AsyncIterableIterator<T[]>, signal: AbortSignal): Promise<readonly T[]> {
    const found: T[] = [];
    for (let count = 0; count < PAGES_LIMIT; count++) {
      const page = await this.#call(doing, () => pages.next(), signal);
      if (page.done === true) return found;
      found.push(...page.value);
    }
    throw new ProductError("PRODUCT_MALFORMED", `Azure's answer when asked to ${doing} has no end`);
  }

  /** Sends the request and does not poll. Gives the status of the first answer. */
  async #write(doing: string, begin: (options: CallOptions) => Submitted, signal: AbortSignal): Promise<number> {
    let status = 0;
    const call = async (abortSignal: AbortSignal): Promise<void> => {
      const onResponse = (response: { readonly status: number }): void => {
        status = response.status;
      };
      await begin({ abortSignal, onResponse }).submitted();
    };
    await this.#call(doing, call, signal);
    return status;
  }
}

function credentialsOf({ secrets }: Pick<WantedSet, "secrets">): NonNullable<CredentialSet["authCredentials"]> {
  return secrets === undefined
    ? []
    : [
        {
          name: "Credential1", // the only name that there is
          usernameSecretIdentifier: secrets.username,
          passwordSecretIdentifier: secrets.password,
        },
      ];
}

function malformed(what: string): ProductError {
  return new ProductError(
    "PRODUCT_MALFORMED",
    `Azure's answer describes no ${what}; check spec.azure.endpoint of the CacheRegistry`,
  );
}

function ruleOf(found: CacheRule, name: string): AzureRule {
  const { sourceRepository, targetRepository, credentialSetResourceId, provisioningState, creationDate } = found;
  if (typeof sourceRepository !== "string" || typeof targetRepository !== "string") throw malformed("cache rule");
  if (typeof found.name !== "string" || found.name.toLowerCase() !== name.toLowerCase()) throw malformed("cache rule");
  const modifiedAt = found.systemData?.lastModifiedAt;
  return {
    name: found.name,
    source: sourceRepository,
    target: targetRepository,
    ...(typeof credentialSetResourceId === "string" && { credentialSetId: credentialSetResourceId }),
    ...(isDate(creationDate) && { createdAt: creationDate.toISOString() }),
    ...(typeof provisioningState === "string" && { provisioningState }),
    ...(isDate(modifiedAt) && { modifiedAt }),
  };
}

function isDate(value: Date | undefined): value is Date {
  return value instanceof Date && !Number.isNaN(value.getTime());
}

function setOf(found: CredentialSet): AzureCredentialSet {
  const { name, loginServer, identity, provisioningState } = found;
  if (typeof name !== "string" || typeof loginServer !== "string") throw malformed("credential set");
  const { usernameSecretIdentifier, passwordSecretIdentifier, credentialHealth } = found.authCredentials?.[0] ?? {};
  const healthCode = /^[A-Za-z][\w.]{0,79}$/.exec(credentialHealth?.errorCode ?? "")?.[0];
  return {
    name,
    loginServer,
    ...(usernameSecretIdentifier !== undefined && { usernameSecretId: usernameSecretIdentifier }),
    ...(passwordSecretIdentifier !== undefined && { passwordSecretId: passwordSecretIdentifier }),
    ...(credentialHealth?.status !== undefined && { health: String(credentialHealth.status) }),
    ...(healthCode !== undefined && { healthCode }),
    ...(PRINCIPAL.test(identity?.principalId ?? "") && { principalId: String(identity?.principalId) }),
    ...(typeof provisioningState === "string" && { provisioningState }),
  };
}
