import type { ECRClient, PullThroughCacheRule, RepositoryCreationTemplate } from "@aws-sdk/client-ecr";
import { type EcrRule, samePrefix } from "../../core/product/ecr.ts";
import type { EcrTemplate } from "../../core/product/ecr-template.ts";
import { abortable } from "../deadline.ts";
import { type EcrSettings, ecrClient } from "./ecr-client.ts";
import { type EcrOperation, ecrFailure } from "./ecr-failures.ts";
import { ProductError } from "./errors.ts";
import type { CallGate } from "./gate.ts";

type Sdk = typeof import("@aws-sdk/client-ecr");

/** What ECR says of a rule's credentials. */
export interface EcrValidation {
  readonly isValid: boolean;
  /** ECR's own words: foreign text. */
  readonly failure: string;
}

function templateFields(template: EcrTemplate) {
  const { encryptionType, kmsKey, resourceTags } = template;
  return {
    description: template.description,
    encryptionConfiguration: { encryptionType, ...(kmsKey !== "" && { kmsKey }) },
    imageTagMutability: template.imageTagMutability,
    appliedFor: ["PULL_THROUGH_CACHE" as const],
    resourceTags: resourceTags.map((tag) => ({ ...tag })),
  };
}

/** Amazon ECR's API as far as caching needs it. Each call goes through the registry's gate, is made once, and throws `ProductError`s. */
export class EcrApi {
  readonly #sdk: Sdk;
  readonly #client: ECRClient;
  readonly #gate: CallGate;
  readonly #accountId: string;

  constructor(sdk: Sdk, client: ECRClient, gate: CallGate, accountId: string) {
    this.#sdk = sdk;
    this.#client = client;
    this.#gate = gate;
    this.#accountId = accountId;
  }

  async #call<T>(
    operation: EcrOperation,
    send: (options: { abortSignal: AbortSignal }) => Promise<T>,
    signal: AbortSignal,
  ): Promise<T> {
    return await this.#gate.run(async (abortSignal) => {
      try {
        // The SDK does not end the search for credentials when it is told to stop.
        return await abortable(send({ abortSignal }), abortSignal);
      } catch (thrown) {
        throw ecrFailure(thrown, operation);
      }
    }, signal);
  }

  /** As `#call`; undefined when what is named is not there. */
  async #callIfThere<T>(
    operation: EcrOperation,
    send: (options: { abortSignal: AbortSignal }) => Promise<T>,
    signal: AbortSignal,
  ): Promise<T | undefined> {
    const absent = (thrown: unknown): boolean =>
      thrown instanceof this.#sdk.PullThroughCacheRuleNotFoundException ||
      thrown instanceof this.#sdk.TemplateNotFoundException;
    return await this.#call(
      operation,
      async (options) => {
        try {
          return await send(options);
        } catch (thrown) {
          if (absent(thrown)) return undefined;
          throw thrown;
        }
      },
      signal,
    );
  }

  get #registry() {
    return { registryId: this.#accountId };
  }

  /** Asks for one rule, whichever: whether the account is there and the operator may read it. */
  async probe(signal: AbortSignal): Promise<void> {
    const command = new this.#sdk.DescribePullThroughCacheRulesCommand({ ...this.#registry, maxResults: 1 });
    await this.#call("DescribePullThroughCacheRules", (options) => this.#client.send(command, options), signal);
  }

  /** The rule of a prefix; undefined when there is none (which ECR says by an error). */
  async rule(prefix: string, signal: AbortSignal): Promise<PullThroughCacheRule | undefined> {
    const operation = "DescribePullThroughCacheRules";
    const command = new this.#sdk.DescribePullThroughCacheRulesCommand({
      ...this.#registry,
      ecrRepositoryPrefixes: [prefix],
    });
    const answer = await this.#callIfThere(operation, (options) => this.#client.send(command, options), signal);
    if (answer === undefined) return undefined;
    if (answer.pullThroughCacheRules === undefined)
      throw new ProductError("PRODUCT_MALFORMED", `Amazon ECR answered ${operation} without a list of rules`);
    const isAsked = (rule: PullThroughCacheRule): boolean =>
      rule.ecrRepositoryPrefix !== undefined && samePrefix(rule.ecrRepositoryPrefix) === prefix;
    return answer.pullThroughCacheRules.find(isAsked);
  }

  async createRule(rule: EcrRule, signal: AbortSignal): Promise<void> {
    const command = new this.#sdk.CreatePullThroughCacheRuleCommand({ ...this.#registry, ...rule });
    await this.#call("CreatePullThroughCacheRule", (options) => this.#client.send(command, options), signal);
  }

  /** Puts the rule's ARNs in place of those that ECR has; what is absent stays as it is. */
  async updateRule({ ecrRepositoryPrefix, credentialArn, customRoleArn }: EcrRule, signal: AbortSignal): Promise<void> {
    const command = new this.#sdk.UpdatePullThroughCacheRuleCommand({
      ...this.#registry,
      ecrRepositoryPrefix,
      ...(credentialArn !== undefined && { credentialArn }),
      ...(customRoleArn !== undefined && { customRoleArn }),
    });
    await this.#call("UpdatePullThroughCacheRule", (options) => this.#client.send(command, options), signal);
  }

  /** Has ECR try the upstream with the rule's credentials; undefined when the rule is not there. */
  async validateRule(ecrRepositoryPrefix: string, signal: AbortSignal): Promise<EcrValidation | undefined> {
    const operation = "ValidatePullThroughCacheRule";
    const command = new this.#sdk.ValidatePullThroughCacheRuleCommand({ ...this.#registry, ecrRepositoryPrefix });
    const answer = await this.#callIfThere(operation, (options) => this.#client.send(command, options), signal);
    return answer && { isValid: answer.isValid === true, failure: answer.failure ?? "" };
  }

  /** Takes the rule away; one that is gone already is as good. Repositories and images stay. */
  async deleteRule(ecrRepositoryPrefix: string, signal: AbortSignal): Promise<void> {
    const command = new this.#sdk.DeletePullThroughCacheRuleCommand({ ...this.#registry, ecrRepositoryPrefix });
    await this.#callIfThere("DeletePullThroughCacheRule", (options) => this.#client.send(command, options), signal);
  }

  /** The template of a prefix; undefined when there is none. Refuses another account's answer: this call names no account. */
  async template(prefix: string, signal: AbortSignal): Promise<RepositoryCreationTemplate | undefined> {
    const operation = "DescribeRepositoryCreationTemplates";
    const command = new this.#sdk.DescribeRepositoryCreationTemplatesCommand({ prefixes: [prefix] });
    const answer = await this.#callIfThere(operation, (options) => this.#client.send(command, options), signal);
    if (answer?.registryId !== undefined && answer.registryId !== this.#accountId) {
      const message = `the operator's credentials are of account ${answer.registryId}, and spec.ecr.accountId is ${this.#accountId}: sign in to that account`;
      throw new ProductError("PRODUCT_REGISTRY_NOT_FOUND", message);
    }
    return answer?.repositoryCreationTemplates?.find((found) => samePrefix(found.prefix) === prefix);
  }

  async createTemplate(template: EcrTemplate, signal: AbortSignal): Promise<void> {
    const { prefix, lifecyclePolicy, repositoryPolicy, customRoleArn } = template;
    const { resourceTags, ...fields } = templateFields(template);
    const command = new this.#sdk.CreateRepositoryCreationTemplateCommand({
      prefix,
      ...fields,
      ...(resourceTags.length > 0 && { resourceTags }),
      ...(lifecyclePolicy !== "" && { lifecyclePolicy }),
      ...(repositoryPolicy !== "" && { repositoryPolicy }),
      ...(customRoleArn !== "" && { customRoleArn }),
    });
    await this.#call("CreateRepositoryCreationTemplate", (options) => this.#client.send(command, options), signal);
  }

  /** Makes every field of the template as it is to be; an empty one is sent, for one that is left out would stay. */
  async updateTemplate(template: EcrTemplate, signal: AbortSignal): Promise<void> {
    const { prefix, lifecyclePolicy, repositoryPolicy, customRoleArn } = template;
    const command = new this.#sdk.UpdateRepositoryCreationTemplateCommand({
      prefix,
      ...templateFields(template),
      lifecyclePolicy,
      repositoryPolicy,
      customRoleArn,
    });
    await this.#call("UpdateRepositoryCreationTemplate", (options) => this.#client.send(command, options), signal);
  }

  async deleteTemplate(prefix: string, signal: AbortSignal): Promise<void> {
    const command = new this.#sdk.DeleteRepositoryCreationTemplateCommand({ prefix });
    await this.#callIfThere(
      "DeleteRepositoryCreationTemplate",
      (options) => this.#client.send(command, options),
      signal,
    );
  }
}

/** Opens ECR in a region; the SDK is loaded now. Nothing is asked yet. */
export async function openEcr(settings: EcrSettings, gate: CallGate): Promise<EcrApi> {
  const sdk = await import("@aws-sdk/client-ecr");
  return new EcrApi(sdk, await ecrClient(settings), gate, settings.accountId);
}
