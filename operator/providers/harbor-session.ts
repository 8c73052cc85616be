import { KubeError } from "../../adapters/kube/errors.ts";
import { Resources } from "../../adapters/kube/resources.ts";
import type { KubeObject } from "../../adapters/kube/types.ts";
import { ProductError } from "../../adapters/products/errors.ts";
import { CallGate, type CallGateOptions } from "../../adapters/products/gate.ts";
import { HarborApi } from "../../adapters/products/harbor.ts";
import { type HarborAccess, HarborHttp } from "../../adapters/products/harbor-http.ts";
import { readCredentials } from "../../core/cacheregistry/credentials.ts";
import type { CacheRegistryObject, CacheRegistrySpec } from "../../crds/index.ts";
import type { ProductContext } from "./provider.ts";
import { Sessions } from "./sessions.ts";

export type HarborSpec = NonNullable<CacheRegistrySpec["harbor"]>;
export type HarborGateOptions = Omit<CallGateOptions, "clock">;

interface ConfigMapObject extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

const BUNDLE_KEPT_MS = 60_000;
/** Harbor deletes a repository with all its artifacts in one call, which may take its time. For calls that wait for an upstream see harbor-endpoints.ts. */
const GATE: HarborGateOptions = { perSecond: 20, burst: 40, deadlineMs: 60_000 };

/** The Harbor block of a registry that has one. */
export function harborOf(registry: CacheRegistryObject): HarborSpec {
  const { harbor } = registry.spec;
  if (harbor === undefined) throw new Error(`CacheRegistry "${registry.metadata.name}" is no Harbor`);
  return harbor;
}

/** Clients of Harbors, one for each CacheRegistry, with what its spec names read from the cluster. */
export class HarborSessions {
  readonly #context: ProductContext;
  readonly #gate: HarborGateOptions;
  readonly #sessions = new Sessions<HarborApi>();
  /** By registry: a ConfigMap is no informer's business, and is not read for every rule. */
  readonly #bundles = new Map<string, { readonly key: string; readonly pem: string; readonly untilMs: number }>();

  constructor(context: ProductContext, gate: HarborGateOptions) {
    this.#context = context;
    this.#gate = { ...GATE, ...gate };
  }

  /** Throws `PRODUCT_UNAUTHENTICATED` when the Secret is not there or is none, and what reading the ConfigMap leads to. */
  async of(registry: CacheRegistryObject, signal: AbortSignal): Promise<HarborApi> {
    const access = await this.#access(registry, signal);
    const { clock } = this.#context;
    return await this.#sessions.of(registry.metadata.uid, access, async () => {
      return new HarborApi(new HarborHttp(access, new CallGate({ ...this.#gate, clock })));
    });
  }

  async #access(registry: CacheRegistryObject, signal: AbortSignal): Promise<HarborAccess> {
    const { url, auth } = harborOf(registry);
    const { namespace, secrets } = this.#context;
    const { name } = auth.secretRef;
    const secret = secrets.get(`${namespace}/${name}`);
    const missing = `Secret "${name}", by which Entrepot signs in to Harbor, does not exist in namespace ${namespace}; create it there, of type kubernetes.io/basic-auth with the keys username and password`;
    if (secret === undefined) throw new ProductError("PRODUCT_UNAUTHENTICATED", missing, { reason: "SecretNotFound" });
    const read = readCredentials(secret, new URL(url).host);
    if (read.kind === "problem") {
      const message = `namespace ${namespace}: ${read.message} (Entrepot signs in to Harbor with its keys username and password)`;
      throw new ProductError("PRODUCT_UNAUTHENTICATED", message, { reason: "SecretInvalid" });
    }
    const ca = await this.#bundle(registry, signal);
    const credentialsFrom = `Secret "${name}" in namespace ${namespace}`;
    return { url, ...read.credentials, credentialsFrom, ...(ca !== undefined && { ca }) };
  }

  async #bundle(registry: CacheRegistryObject, signal: AbortSignal): Promise<string | undefined> {
    const reference = harborOf(registry).caBundleRef;
    if (reference === undefined) return undefined;
    const { clock, client, namespace } = this.#context;
    const key = `${reference.name}/${reference.key}`;
    const known = this.#bundles.get(registry.metadata.uid);
    if (known?.key === key && clock.monotonicMs() < known.untilMs) return known.pem;
    const from = `ConfigMap "${reference.name}" in namespace ${namespace}`;
    const unusable = (how: string, cause?: unknown) =>
      new ProductError(
        "PRODUCT_UNAVAILABLE",
        `${from} ${how}; put the certificates to trust for Harbor there, in PEM`,
        {
          reason: "InvalidSpec",
          cause,
        },
      );
    const found = await client
      .get<ConfigMapObject>(Resources.configMaps, reference.name, { namespace, signal })
      .catch((thrown: unknown) => {
        throw thrown instanceof KubeError && thrown.code === "NOT_FOUND" ? unusable("does not exist", thrown) : thrown;
      });
    const pem = found.data?.[reference.key] ?? "";
    if (!pem.includes("-----BEGIN CERTIFICATE-----"))
      throw unusable(`has no certificate in its key "${reference.key}"`);
    this.#bundles.set(registry.metadata.uid, { key, pem, untilMs: clock.monotonicMs() + BUNDLE_KEPT_MS });
    return pem;
  }
}
