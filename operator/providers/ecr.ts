import { type EcrApi, openEcr } from "../../adapters/products/ecr.ts";
import { ProductError } from "../../adapters/products/errors.ts";
import { CallGate } from "../../adapters/products/gate.ts";
import { shownHost } from "../../core/cacheregistry/upstream.ts";
import { durationMs } from "../../core/duration.ts";
import { compareEcrRule, desiredEcrRule, type EcrRule, ecrPrefix } from "../../core/product/ecr.ts";
import { ecrHealth } from "../../core/product/ecr-health.ts";
import { judgeEcr } from "../../core/product/ecr-judge.ts";
import {
  compareEcrTemplate,
  desiredEcrTemplate,
  type FoundEcrTemplate,
  isOurTemplate,
} from "../../core/product/ecr-template.ts";
import { ecrHost, ecrUpstream } from "../../core/product/ecr-upstream.ts";
import type { RemoteRule } from "../../core/product/step.ts";
import { ANNOTATION, type CacheRegistryObject, REASON } from "../../crds/index.ts";
import { ecrSettings } from "./ecr-signin.ts";
import type {
  CredentialsHealth,
  ProductContext,
  Progress,
  Refusal,
  RegistryOutcome,
  RegistryProduct,
  RuleRequest,
  WantedUpstream,
} from "./provider.ts";
import { Sessions } from "./sessions.ts";

const DONE: Progress = { done: true };
const DRIFT_MS = 600_000; // the default of spec.driftInterval
const UNHEALTHY_MS = 60_000; // a mended secret is seen soon

/** The last that ECR said of a rule's credentials. Losing it costs one more call. */
interface Verdict {
  /** What it was asked about: asked again when this differs. */
  readonly about: string;
  readonly untilMs: number;
  readonly health: CredentialsHealth;
}

/** Amazon ECR: a CacheRule is a pull-through cache rule and, where it declares one, the repository creation template of its prefix. */
export class EcrProduct implements RegistryProduct {
  readonly name = "ecr";
  readonly limit = 50; // "Amazon ECR service quotas": rules of a registry, not adjustable
  readonly #context: ProductContext;
  readonly #sessions = new Sessions<EcrApi>();
  readonly #verdicts = new Map<string, Verdict>();

  constructor(context: ProductContext) {
    this.#context = context;
  }

  pullHost({ spec: { ecr } }: CacheRegistryObject): string {
    return ecr === undefined ? "" : ecrHost(ecr.accountId, ecr.region);
  }

  identity(registry: CacheRegistryObject): string {
    return this.pullHost(registry);
  }

  judge(request: RuleRequest): Refusal | undefined {
    return judgeEcr(request);
  }

  remoteId({ mapping }: RuleRequest): string {
    return ecrPrefix(mapping.target);
  }

  async prepare(
    registry: CacheRegistryObject,
    upstreams: readonly WantedUpstream[],
    signal: AbortSignal,
  ): Promise<RegistryOutcome> {
    await (await this.#api(registry)).probe(signal);
    const known = upstreams.map(({ host }) => ({
      host: shownHost(host),
      ...(ecrUpstream(host) === undefined && { health: "Unhealthy", reason: REASON.UnsupportedUpstream }),
    }));
    return { ready: DONE, upstreams: known };
  }

  async withdraw(registry: CacheRegistryObject): Promise<Progress> {
    const own = `${registry.metadata.name}/`;
    for (const key of this.#verdicts.keys()) if (key.startsWith(own)) this.#verdicts.delete(key);
    return await Promise.resolve(DONE); // ECR has nothing that rules share
  }

  async observe(request: RuleRequest, signal: AbortSignal): Promise<RemoteRule | undefined> {
    const api = await this.#api(request.registry);
    const id = this.remoteId(request);
    const found = await api.rule(id, signal);
    if (found === undefined) return undefined;
    const differences = [...compareEcrRule(wanted(request), found), ...(await this.#template(api, request, signal))];
    const createdAt = found.createdAt?.toISOString();
    return { id, ...(createdAt !== undefined && { createdAt }), differences, state: "settled" };
  }

  /** The template is made first, so that no repository is made without it. */
  async create(request: RuleRequest, signal: AbortSignal): Promise<void> {
    const api = await this.#api(request.registry);
    const made = await this.#makeTemplate(api, request, signal);
    try {
      await api.createRule(wanted(request), signal);
    } catch (thrown) {
      // A rule that ECR will not have leaves no template behind. Should this fail too, the template waits for the next attempt.
      const refused = thrown instanceof ProductError && thrown.code === "PRODUCT_REFUSED";
      if (refused && made) await api.deleteTemplate(this.remoteId(request), signal).catch(() => undefined);
      throw thrown;
    }
  }

  async update(request: RuleRequest, found: RemoteRule, signal: AbortSignal): Promise<void> {
    const api = await this.#api(request.registry);
    const isOfTemplate = (field: string): boolean => field.startsWith("repositoryTemplate");
    if (found.differences.some(({ field }) => isOfTemplate(field))) {
      if (desiredEcrTemplate(request) === undefined) await this.#dropTemplate(api, request, signal);
      else await this.#makeTemplate(api, request, signal);
    }
    if (found.differences.some(({ field }) => !isOfTemplate(field))) await api.updateRule(wanted(request), signal);
  }

  /** ECR keeps repositories and images, whatever `images` says. */
  async remove(request: RuleRequest, found: RemoteRule, _images: boolean, signal: AbortSignal): Promise<Progress> {
    const api = await this.#api(request.registry);
    await this.#dropTemplate(api, request, signal); // while the rule is there, a failure is seen and tried again
    await api.deleteRule(found.id, signal);
    this.#verdicts.delete(verdictKey(request));
    return DONE;
  }

  /** Validation makes ECR read the secret and sign in at the upstream: its verdict is believed for nearly a drift interval. */
  async credentials(request: RuleRequest, signal: AbortSignal): Promise<CredentialsHealth | undefined> {
    const { credentialArn, customRoleArn, ecrRepositoryPrefix: prefix } = wanted(request);
    if (credentialArn === undefined && customRoleArn === undefined) return undefined;
    const asked = [request.rule, request.registry].map(
      ({ metadata }) => metadata.annotations?.[ANNOTATION.reconcileAt],
    );
    const about = JSON.stringify([request.rule.metadata.uid, request.registry.spec, prefix, asked]);
    const nowMs = this.#context.clock.monotonicMs();
    const last = this.#verdicts.get(verdictKey(request));
    if (last?.about === about && nowMs < last.untilMs) return last.health;
    const health = await this.#validate(request, prefix, signal);
    const believedMs = 0.9 * (durationMs(request.registry.spec.driftInterval ?? "") ?? DRIFT_MS);
    const untilMs = nowMs + (health.status === "True" ? believedMs : Math.min(believedMs, UNHEALTHY_MS));
    this.#verdicts.set(verdictKey(request), { about, untilMs, health });
    return health;
  }

  async #validate(request: RuleRequest, prefix: string, signal: AbortSignal): Promise<CredentialsHealth> {
    const api = await this.#api(request.registry);
    try {
      const verdict = await api.validateRule(prefix, signal);
      if (verdict !== undefined) return ecrHealth(request, prefix, verdict);
      return { status: "Unknown", message: `ECR can't validate "${prefix}" yet` };
    } catch (thrown) {
      if (!(thrown instanceof ProductError) || thrown.code !== "PRODUCT_FORBIDDEN") throw thrown;
      return { status: "Unknown", message: thrown.message };
    }
  }

  /** What differs in the rule's template. A rule that is on its way out has none to compare. */
  async #template(api: EcrApi, request: RuleRequest, signal: AbortSignal) {
    if (request.rule.metadata.deletionTimestamp !== undefined) return [];
    const found = await this.#findTemplate(api, request, signal);
    return compareEcrTemplate(desiredEcrTemplate(request), found, request.rule.metadata.name);
  }

  /** A rule that declares no template needs no permission to read templates: without it there can be none of ours. */
  async #findTemplate(api: EcrApi, request: RuleRequest, signal: AbortSignal): Promise<FoundEcrTemplate | undefined> {
    try {
      return await api.template(this.remoteId(request), signal);
    } catch (thrown) {
      const forbidden = thrown instanceof ProductError && thrown.code === "PRODUCT_FORBIDDEN";
      if (forbidden && desiredEcrTemplate(request) === undefined) return undefined;
      throw thrown;
    }
  }

  /** Makes the declared template so; whether it was made anew. Never writes to one that is not ours. */
  async #makeTemplate(api: EcrApi, request: RuleRequest, signal: AbortSignal): Promise<boolean> {
    const template = desiredEcrTemplate(request);
    if (template === undefined) return false;
    const found = await api.template(template.prefix, signal);
    if (found === undefined) {
      await api.createTemplate(template, signal);
      return true;
    }
    const { name } = request.rule.metadata;
    const differences = compareEcrTemplate(template, found, name);
    if (differences.length === 0) return false;
    if (!isOurTemplate(found, name)) {
      const fields = differences.map(({ field }) => field).join(", ");
      const message = `ECR already has a repository creation template "${template.prefix}", which Entrepot did not make and which differs in ${fields}; delete it there, or give this rule another target; it is never overwritten`;
      throw new ProductError("PRODUCT_REFUSED", message, { reason: REASON.ForeignRule });
    }
    await api.updateTemplate(template, signal);
    return false;
  }

  async #dropTemplate(api: EcrApi, request: RuleRequest, signal: AbortSignal): Promise<void> {
    const found = await this.#findTemplate(api, request, signal);
    if (found === undefined || !isOurTemplate(found, request.rule.metadata.name)) return;
    await api.deleteTemplate(this.remoteId(request), signal);
  }

  async #api(registry: CacheRegistryObject): Promise<EcrApi> {
    const settings = ecrSettings(registry, this.#context);
    const { clock } = this.#context;
    return await this.#sessions.of(registry.metadata.name, settings, () =>
      openEcr(settings, new CallGate({ clock, burst: 10, perSecond: 5 })),
    );
  }
}

function verdictKey({ rule, registry }: RuleRequest): string {
  return `${registry.metadata.name}/${rule.metadata.name}`;
}

function wanted(request: RuleRequest): EcrRule {
  const rule = desiredEcrRule(request);
  if (rule === undefined) throw new TypeError(`"${request.host}" is no upstream of ECR: judge refuses it`);
  return rule;
}
