export type Fields = Readonly<Record<string, unknown>>;

/** An error answer of ECR. */
export class EcrError extends Error {
  readonly type: string;
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;

  constructor(type: string, status = 400, headers: Readonly<Record<string, string>> = {}) {
    super(type);
    this.type = type;
    this.status = status;
    this.headers = headers;
  }
}

const LIMIT = 50; // "Amazon ECR service quotas"

// Upstreams that need a secret: "Sync an upstream registry with an Amazon ECR private registry", Amazon ECR user guide.
const NEEDS_SECRET = /^(?:registry-1\.docker\.io|ghcr\.io|registry\.gitlab\.com|cgr\.dev|.+\.azurecr\.io)$/;

/** What an ECR private registry remembers, and its answers; what is asked has the form of the service model already. */
export class EcrState {
  readonly accountId: string;
  readonly rules = new Map<string, Fields>();
  readonly templates = new Map<string, Fields>();
  /** ARNs of secrets that ECR can read. */
  readonly secrets = new Set<string>();
  validation: { readonly isValid: boolean; readonly failure?: string } = { isValid: true };
  /** Seconds; moves on with each thing that is made. */
  #now = 1_760_000_000.125;

  constructor(accountId: string) {
    this.accountId = accountId;
  }

  #tick(): number {
    this.#now += 1;
    return this.#now;
  }

  #checkSecret(arn: unknown): void {
    if (typeof arn === "string" && !this.secrets.has(arn)) throw new EcrError("SecretNotFoundException");
  }

  #rule(body: Fields): Fields {
    const rule = this.rules.get(String(body["ecrRepositoryPrefix"]));
    if (rule === undefined) throw new EcrError("PullThroughCacheRuleNotFoundException");
    return rule;
  }

  #template(body: Fields): Fields {
    const template = this.templates.get(String(body["prefix"]));
    if (template === undefined) throw new EcrError("TemplateNotFoundException");
    return template;
  }

  answer(operation: string, body: Fields): Fields {
    const { registryId = this.accountId } = body;
    // Another account's registry can't be named in these operations without rights there.
    if (registryId !== this.accountId) throw new EcrError("AccessDeniedException");
    switch (operation) {
      case "CreatePullThroughCacheRule":
        return this.#createRule(body);
      case "DescribePullThroughCacheRules":
        return this.#describeRules(body);
      case "UpdatePullThroughCacheRule": {
        const { registryId: _id, ...given } = body;
        this.#checkSecret(body["credentialArn"]);
        const {
          createdAt: _createdAt,
          upstreamRegistryUrl: _url,
          upstreamRegistry: _name,
          ...shown
        } = {
          ...this.#rule(body),
          ...given,
          updatedAt: this.#tick(),
        } as Fields;
        this.rules.set(String(body["ecrRepositoryPrefix"]), { ...this.#rule(body), ...shown });
        return shown;
      }
      case "ValidatePullThroughCacheRule": {
        const { createdAt: _createdAt, updatedAt: _updatedAt, upstreamRegistry: _name, ...rule } = this.#rule(body);
        return { ...rule, ...this.validation };
      }
      case "DeletePullThroughCacheRule": {
        const { updatedAt: _updatedAt, upstreamRegistry: _name, ...rule } = this.#rule(body);
        this.rules.delete(String(body["ecrRepositoryPrefix"]));
        return rule;
      }
      default:
        return this.#templates(operation, body);
    }
  }

  #createRule(body: Fields): Fields {
    const prefix = String(body["ecrRepositoryPrefix"]);
    const url = String(body["upstreamRegistryUrl"]);
    if (this.rules.has(prefix)) throw new EcrError("PullThroughCacheRuleAlreadyExistsException");
    if (this.rules.size >= LIMIT) throw new EcrError("LimitExceededException");
    // "Customizing repository prefixes for ECR to ECR pull through cache": only with a prefix other than ROOT.
    const upstreamPrefix = body["upstreamRepositoryPrefix"];
    if (prefix === "ROOT" && upstreamPrefix !== undefined) throw new EcrError("ValidationException");
    if (NEEDS_SECRET.test(url) && body["credentialArn"] === undefined) throw new EcrError("InvalidParameterException");
    this.#checkSecret(body["credentialArn"]);
    const rule = {
      ...body,
      registryId: this.accountId,
      upstreamRepositoryPrefix: upstreamPrefix ?? "ROOT",
      createdAt: this.#tick(),
    };
    this.rules.set(prefix, rule);
    return rule;
  }

  #describeRules(body: Fields): Fields {
    const asked = body["ecrRepositoryPrefixes"] as readonly string[] | undefined;
    const all = asked === undefined ? [...this.rules.keys()] : asked;
    const rules = all.map((ecrRepositoryPrefix) => this.#rule({ ecrRepositoryPrefix }));
    const most = Number(body["maxResults"] ?? 100);
    return { pullThroughCacheRules: rules.slice(0, most), ...(rules.length > most && { nextToken: "more" }) };
  }

  #templates(operation: string, body: Fields): Fields {
    const prefix = String(body["prefix"]);
    switch (operation) {
      case "CreateRepositoryCreationTemplate":
        if (this.templates.has(prefix)) throw new EcrError("TemplateAlreadyExistsException");
        this.templates.set(prefix, { ...body, createdAt: this.#tick() });
        break;
      case "DescribeRepositoryCreationTemplates": {
        const asked = new Set((body["prefixes"] as readonly string[] | undefined) ?? this.templates.keys());
        const found = [...this.templates].filter(([name]) => asked.has(name)).map(([, template]) => template);
        return { registryId: this.accountId, repositoryCreationTemplates: found };
      }
      case "UpdateRepositoryCreationTemplate":
        this.templates.set(prefix, { ...this.#template(body), ...body, updatedAt: this.#tick() });
        break;
      case "DeleteRepositoryCreationTemplate": {
        const repositoryCreationTemplate = this.#template(body);
        this.templates.delete(prefix);
        return { registryId: this.accountId, repositoryCreationTemplate };
      }
      default:
        throw new Error(`the fake does not do ${operation}`);
    }
    return { registryId: this.accountId, repositoryCreationTemplate: this.#template(body) };
  }
}
