import { createPublicKey, generateKeyPairSync } from "node:crypto";
import tls from "node:tls";
import { systemClock } from "../../../adapters/clock.ts";
import { ProductError, type ProductErrorCode } from "../../../adapters/products/errors.ts";
import { parseMapping } from "../../../core/cacherule/mapping.ts";
import { decideStep, type RemoteIdentity, type Step } from "../../../core/product/step.ts";
import type { CacheRegistryObject, CacheRuleObject, Upstream } from "../../../crds/index.ts";
import { ArtifactRegistryProduct } from "../../../operator/providers/artifactregistry.ts";
import type { RuleRequest } from "../../../operator/providers/provider.ts";
import type { SecretObject } from "../../../operator/resources.ts";
import { type Contract, readContract } from "./contract.ts";
import { FakeArtifactRegistry } from "./fake.ts";

export const PARENT = "projects/acme-cache/locations/europe-west3";
export const SECRETS_NAMESPACE = "entrepot-system";
export const PRIVATE_KEY = generateKeyPairSync("rsa", { modulusLength: 2048 })
  .privateKey.export({ type: "pkcs8", format: "pem" })
  .toString();

/** A service account key as Google gives it out. */
export function keyFile(change: Readonly<Record<string, unknown>> = {}): string {
  return JSON.stringify({
    type: "service_account",
    project_id: "acme-cache",
    private_key_id: "0123abcd",
    private_key: PRIVATE_KEY,
    client_email: "entrepot@acme-cache.iam.gserviceaccount.com",
    token_uri: "https://oauth2.googleapis.com/token",
    universe_domain: "googleapis.com",
    ...change,
  });
}

export function secret(name: string, data: Readonly<Record<string, string>>): SecretObject {
  const encoded = Object.entries(data).map(([key, value]) => [key, Buffer.from(value).toString("base64")]);
  return { metadata: { name, namespace: SECRETS_NAMESPACE }, data: Object.fromEntries(encoded) } as SecretObject;
}

const SERVED = { generation: 1, resourceVersion: "1", creationTimestamp: "2026-01-01T00:00:00Z" };

export function rule(
  spec: Partial<CacheRuleObject["spec"]> = {},
  uid = "5c0a1e9e-0000-4000-8000-000000000001",
): CacheRuleObject {
  return {
    apiVersion: "entrepot.dev/v1alpha1",
    kind: "CacheRule",
    metadata: { name: "hub", uid, ...SERVED },
    spec: { registryRef: { name: "gar" }, source: "docker.io/*", target: "hub/*", ...spec },
  };
}

/** The product against a fake of Artifact Registry, with a clock that waits for nothing but can be moved. */
export class Stage {
  readonly fake: FakeArtifactRegistry;
  readonly secrets = new Map<string, SecretObject>();
  readonly product: ArtifactRegistryProduct;
  readonly signal = new AbortController().signal;
  upstreams: Upstream[] = [];
  endpoint = "";
  #skipped = 0;

  constructor(contract: Contract) {
    this.fake = new FakeArtifactRegistry(contract, createPublicKey(PRIVATE_KEY));
    this.setKey(keyFile());
    this.product = new ArtifactRegistryProduct({
      namespace: SECRETS_NAMESPACE,
      secrets: this.secrets,
      client: { get: () => Promise.reject(new Error("not used")) },
      clock: {
        ...systemClock,
        monotonicMs: () => systemClock.monotonicMs() + this.#skipped,
        sleep: async () => undefined,
      },
      log: { debug() {}, info() {}, warn() {}, error() {} } as never,
    });
  }

  setKey(text: string): void {
    this.secrets.set(`${SECRETS_NAMESPACE}/google`, secret("google", { "key.json": text }));
  }

  /** Lets time pass. */
  skip(ms: number): void {
    this.#skipped += ms;
  }

  registry(): CacheRegistryObject {
    const auth = { secretRef: { name: "google" } };
    return {
      apiVersion: "entrepot.dev/v1alpha1",
      kind: "CacheRegistry",
      metadata: { name: "gar", uid: "r", ...SERVED },
      spec: {
        artifactRegistry: { project: "acme-cache", location: "europe-west3", endpoint: this.endpoint, auth },
        ...(this.upstreams.length > 0 && { upstreams: this.upstreams }),
      },
    };
  }

  request(asked: CacheRuleObject = rule()): RuleRequest {
    const mapping = parseMapping(asked.spec);
    return { rule: asked, registry: this.registry(), mapping, host: mapping.source.host };
  }

  /** What the reconciler would do next. */
  async step(
    request: RuleRequest,
    known: RemoteIdentity = {},
    adoption: "IfIdentical" | "Never" = "IfIdentical",
  ): Promise<Step> {
    const found = await this.product.observe(request, this.signal);
    return decideStep(found, known, { adoption, drift: "Correct" });
  }
}

/** For `before`: the stage with its fake running and trusted, and what ends it; undefined, said on the console, without the contract. */
export async function raiseStage(): Promise<{ stage: Stage; end: () => Promise<void> } | undefined> {
  const contract = await readContract();
  if (contract === undefined) {
    console.log("      skipped: the discovery document (google-api-python-client 2.202.0) can't be had");
    return undefined;
  }
  const stage = new Stage(contract);
  stage.endpoint = await stage.fake.start();
  const trusted = tls.getCACertificates("default");
  tls.setDefaultCACertificates([...trusted, stage.fake.identity.cert]);
  const end = async (): Promise<void> => {
    tls.setDefaultCACertificates(trusted);
    await stage.fake.stop();
  };
  return { stage, end };
}

/** Awaits a `ProductError` of that code. No message may hold what only a body or a key has. */
export async function failure(code: ProductErrorCode, promise: Promise<unknown>): Promise<ProductError> {
  const thrown = await promise.then(
    (value) => `success: ${JSON.stringify(value)}`,
    (error: unknown) => error,
  );
  if (!(thrown instanceof ProductError) || thrown.code !== code)
    throw new Error(`expected a ProductError ${code}, got ${String(thrown)}`, { cause: thrown });
  if (/SECRET-BODY|PRIVATE KEY|eyJ|Bearer/.test(thrown.message)) throw new Error(`a secret is in "${thrown.message}"`);
  return thrown;
}
