import { systemClock } from "../../../adapters/clock.ts";
import { ProductError } from "../../../adapters/products/errors.ts";
import { parseMapping } from "../../../core/cacherule/mapping.ts";
import { normaliseHost } from "../../../core/image/reference.ts";
import { decideStep, type RemoteIdentity, type RemoteRule, type Step } from "../../../core/product/step.ts";
import type { CacheRegistryObject, CacheRuleObject, Upstream } from "../../../crds/index.ts";
import { HarborProduct } from "../../../operator/providers/harbor.ts";
import type { AskingLimits } from "../../../operator/providers/harbor-endpoints.ts";
import type { HarborGateOptions } from "../../../operator/providers/harbor-session.ts";
import type { ProductContext, RuleRequest, WantedUpstream } from "../../../operator/providers/provider.ts";
import type { SecretObject } from "../../../operator/resources.ts";
import type { FakeHarbor } from "./fake.ts";

export const NAMESPACE = "cosign-system";
export const SIGN_IN = "harbor-robot";
/** No deadline hurries these tests but the ones that wait for it. */
const GATE: HarborGateOptions = { perSecond: 10_000, burst: 10_000, deadlineMs: 20_000 };

/** A Secret of type kubernetes.io/basic-auth; `version` is its resourceVersion. */
export function basicAuth(name: string, username: string, password: string, version = "1"): SecretObject {
  const base64 = (text: string) => Buffer.from(text).toString("base64");
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name, namespace: NAMESPACE, uid: `uid-${name}`, resourceVersion: version },
    type: "kubernetes.io/basic-auth",
    data: { username: base64(username), password: base64(password) },
  };
}

/** A CacheRegistry on a fake Harbor, and everything that the product reads beside it. */
export class HarborStage {
  readonly harbor: FakeHarbor;
  readonly secrets = new Map<string, SecretObject>();
  readonly signal = new AbortController().signal;
  upstreams: Upstream[] = [];
  uid = "0d5b7c1e-0000-4000-8000-000000000001";
  product: HarborProduct;
  readonly #gate: HarborGateOptions;
  readonly #limits: Partial<AskingLimits>;
  readonly #known = new Map<string, RemoteIdentity>();

  constructor(harbor: FakeHarbor, gate: HarborGateOptions = {}, limits: Partial<AskingLimits> = {}) {
    this.harbor = harbor;
    this.#limits = limits;
    this.#gate = { ...GATE, ...gate };
    this.put(basicAuth(SIGN_IN, harbor.username, harbor.password));
    this.product = this.#product();
  }

  put(secret: SecretObject): void {
    this.secrets.set(`${NAMESPACE}/${secret.metadata.name}`, secret);
  }

  /** The operator ended and another one took over: nothing in memory is left. */
  restart(): void {
    this.product = this.#product();
  }

  get registry(): CacheRegistryObject {
    return {
      apiVersion: "entrepot.dev/v1alpha1",
      kind: "CacheRegistry",
      metadata: {
        name: "main",
        uid: this.uid,
        generation: 1,
        resourceVersion: "1",
        creationTimestamp: "2026-01-01T00:00:00Z",
      },
      spec: {
        harbor: {
          url: this.harbor.url,
          caBundleRef: { name: "harbor-ca", key: "ca.crt" },
          auth: { secretRef: { name: SIGN_IN } },
        },
        upstreams: this.upstreams,
      },
    };
  }

  request(source: string, target: string, change: Partial<CacheRuleObject["spec"]> = {}): RuleRequest {
    const spec = { registryRef: { name: "main" }, source, target, ...change };
    const rule: CacheRuleObject = {
      apiVersion: "entrepot.dev/v1alpha1",
      kind: "CacheRule",
      metadata: {
        name: "a-rule",
        uid: "rule-uid",
        generation: 1,
        resourceVersion: "1",
        creationTimestamp: "2026-01-01T00:00:00Z",
      },
      spec,
    };
    const mapping = parseMapping(spec);
    return { rule, registry: this.registry, mapping, host: mapping.source.host };
  }

  async prepare(...hosts: string[]): ReturnType<HarborProduct["prepare"]> {
    return await this.prepareWithin(this.signal, ...hosts);
  }

  async prepareWithin(signal: AbortSignal, ...hosts: string[]): ReturnType<HarborProduct["prepare"]> {
    const wanted: WantedUpstream[] = hosts.map(normaliseHost).map((host) => {
      const entry = this.upstreams.find((one) => normaliseHost(one.host) === host);
      return { host, used: true, ...(entry && { entry }) };
    });
    return await this.product.prepare(this.registry, wanted, signal);
  }

  async observe(request: RuleRequest): Promise<RemoteRule | undefined> {
    return await this.product.observe(request, this.signal);
  }

  /** One pass as the reconciler makes it: what was decided, and done. Status is kept as a CacheRule's would be. */
  async pass(declared: RuleRequest, drift: "Correct" | "Report" = "Correct"): Promise<Step> {
    const id = this.product.remoteId(declared);
    const known = this.#known.get(id) ?? {};
    const request = { ...declared, rule: { ...declared.rule, status: known } };
    const found = await this.observe(request);
    const step = decideStep(found, known, { adoption: request.rule.spec.adoptionPolicy ?? "IfIdentical", drift });
    if (step.do === "create") {
      this.#known.set(id, { remoteId: id });
      await this.product.create(request, this.signal);
    }
    if (step.do === "update" && found !== undefined) await this.product.update(request, found, this.signal);
    if (step.do !== "create" && step.do !== "report" && found?.createdAt !== undefined)
      this.#known.set(id, { remoteId: id, remoteCreationTime: found.createdAt });
    return step;
  }

  async remove(request: RuleRequest, images: boolean): ReturnType<HarborProduct["remove"]> {
    const found = await this.observe(request);
    return found === undefined ? { done: true } : await this.product.remove(request, found, images, this.signal);
  }

  #product(): HarborProduct {
    const get = async () => {
      const data = { "ca.crt": this.harbor.ca };
      return await Promise.resolve({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "harbor-ca" }, data });
    };
    const context: ProductContext = {
      namespace: NAMESPACE,
      secrets: this.secrets,
      client: { get: get as unknown as ProductContext["client"]["get"] },
      clock: systemClock,
      log: SILENT,
    };
    return new HarborProduct(context, this.#gate, this.#limits);
  }
}

const SILENT = new Proxy({} as ProductContext["log"], { get: () => () => undefined });

/** Awaits a `ProductError` and gives it. */
export async function productFailure(promise: Promise<unknown>): Promise<ProductError> {
  const thrown = await promise.then(
    (value) => `success: ${JSON.stringify(value)}`,
    (error: unknown) => error,
  );
  if (thrown instanceof ProductError) return thrown;
  throw new Error(`expected a ProductError, got ${String(thrown)}`, { cause: thrown });
}
