import { Informer } from "../adapters/kube/informer.ts";
import type { KubeMetrics } from "../adapters/kube/metrics.ts";
import { Resources } from "../adapters/kube/resources.ts";
import type { KubeClient, KubeObject, Resource, Scope } from "../adapters/kube/types.ts";
import type { Log } from "../adapters/telemetry/log.ts";
import { ADMISSION_CONFIG_MAP, readConfig } from "../core/admission/config.ts";
import { PUBLIC_KEYS_CONFIG_MAP } from "../core/cache/publicjwks.ts";
import { MANAGED_SELECTOR } from "../core/cacheregistry/labels.ts";
import { RESOLVED_LABEL } from "../core/policy/resolved.ts";
import { PUBLIC_GOOD_CONFIG_MAP, SIGSTORE_KEYS_CONFIG_MAP } from "../core/trust/names.ts";
import {
  ADMISSION_NAME,
  POLICY_DEFAULTING_NAME,
  POLICY_VALIDATION_NAME,
  UPDATES_NAME,
} from "../core/webhookconfig/desired.ts";
import { REWRITING_NAME, type RewriteMode } from "../core/webhookconfig/rewriting.ts";
import {
  CACHE_REGISTRIES,
  CACHE_RULES,
  type CacheRegistryObject,
  type CacheRuleObject,
  CLUSTER_IMAGE_POLICIES,
  type ClusterImagePolicyObject,
  TRUST_ROOTS,
  type TrustRootObject,
} from "../crds/index.ts";
import { type DeploymentObject, type EndpointSliceObject, MANAGED_RESOURCES, type SecretObject } from "./resources.ts";
import type { ConfigMapObject } from "./trustroot/configmap.ts";

export interface WorldOptions {
  readonly client: Pick<KubeClient, "list" | "watch">;
  readonly namespace: string;
  readonly metrics: KubeMetrics;
  readonly log: Log;
}

/** What the operator knows of the cluster: one informer per collection, with no more in it than the operator may read. */
export class World {
  readonly registries: Informer<CacheRegistryObject>;
  readonly rules: Informer<CacheRuleObject>;
  readonly policies: Informer<ClusterImagePolicyObject>;
  readonly trustRoots: Informer<TrustRootObject>;
  /** Of our ConfigMaps these alone: `config-sigstore-keys`. */
  readonly sigstoreKeys: Informer<ConfigMapObject>;
  /** `public-good-trusted-root`. */
  readonly publicGoodRoot: Informer<ConfigMapObject>;
  /** `entrepot-seal-keys-public`. */
  readonly publicSealKeys: Informer<ConfigMapObject>;
  /** `config-policy-controller`. */
  readonly admissionConfig: Informer<ConfigMapObject>;
  /** What was resolved for policies, one each. */
  readonly resolutions: Informer<ConfigMapObject>;
  /** All Secrets of the system namespace: users' credentials, the cache's configurations, our keys. */
  readonly secrets: Informer<SecretObject>;
  readonly deployments: Informer<DeploymentObject>;
  readonly endpointSlices: Informer<EndpointSliceObject>;
  /** The other kinds that are made for CacheRegistries. */
  readonly others: readonly Informer<KubeObject>[];
  /** The webhook configurations that are always there. */
  readonly configurations: readonly Informer<KubeObject>[];
  /** The one that is not, when nothing is rewritten. */
  readonly rewriting: Informer<KubeObject>;
  readonly #namespace: string;

  constructor(options: WorldOptions) {
    const { namespace, ...common } = options;
    this.#namespace = namespace;
    const informer = <T extends KubeObject>(resource: Resource, scope?: Scope) =>
      new Informer<T>({ ...common, resource, ...(scope && { scope }) });
    const named = (resource: Resource, name: string) =>
      informer<KubeObject>(resource, { fieldSelector: `metadata.name=${name}` });
    const managed = { namespace, labelSelector: MANAGED_SELECTOR };
    this.registries = informer(CACHE_REGISTRIES);
    this.rules = informer(CACHE_RULES);
    this.policies = informer(CLUSTER_IMAGE_POLICIES);
    this.trustRoots = informer(TRUST_ROOTS);
    const configMap = (name: string) =>
      informer<ConfigMapObject>(Resources.configMaps, { namespace, fieldSelector: `metadata.name=${name}` });
    this.sigstoreKeys = configMap(SIGSTORE_KEYS_CONFIG_MAP);
    this.publicGoodRoot = configMap(PUBLIC_GOOD_CONFIG_MAP);
    this.publicSealKeys = configMap(PUBLIC_KEYS_CONFIG_MAP);
    this.admissionConfig = configMap(ADMISSION_CONFIG_MAP);
    this.resolutions = informer(Resources.configMaps, { namespace, labelSelector: RESOLVED_LABEL });
    this.secrets = informer(Resources.secrets, { namespace });
    this.deployments = informer(Resources.deployments, managed);
    this.endpointSlices = informer(Resources.endpointSlices, { namespace });
    this.others = MANAGED_RESOURCES.filter(({ kind }) => kind !== "Secret" && kind !== "Deployment").map((resource) =>
      informer<KubeObject>(resource, managed),
    );
    this.configurations = [
      named(Resources.mutatingWebhookConfigurations, ADMISSION_NAME),
      named(Resources.mutatingWebhookConfigurations, UPDATES_NAME),
      named(Resources.mutatingWebhookConfigurations, POLICY_DEFAULTING_NAME),
      named(Resources.validatingWebhookConfigurations, ADMISSION_NAME),
      named(Resources.validatingWebhookConfigurations, UPDATES_NAME),
      named(Resources.validatingWebhookConfigurations, POLICY_VALIDATION_NAME),
    ];
    this.rewriting = named(Resources.mutatingWebhookConfigurations, REWRITING_NAME);
  }

  /** Every object made for any CacheRegistry. */
  managed(): readonly KubeObject[] {
    return [...this.deployments.list(), ...this.secrets.list(), ...this.others.flatMap((informer) => informer.list())];
  }

  /** The live webhook configurations of ours. */
  webhookConfigurations(): readonly KubeObject[] {
    return [...this.configurations, this.rewriting].flatMap((informer) => informer.list());
  }

  /** Whose Pods are given the caches' names. The last known stays while the ConfigMap can't be read. */
  rewriteImages(): RewriteMode {
    const data = this.admissionConfig.get(`${this.#namespace}/${ADMISSION_CONFIG_MAP}`)?.data;
    return readConfig(data).config.rewriteImages;
  }

  get #all(): readonly Informer<KubeObject>[] {
    const { trustRoots, sigstoreKeys, publicGoodRoot, publicSealKeys, admissionConfig, resolutions } = this;
    const { registries, rules, policies, secrets, deployments, endpointSlices } = this;
    // An informer takes callbacks, so it is invariant in its type; only what does not depend on that is used here.
    const typed = [
      registries,
      rules,
      policies,
      trustRoots,
      sigstoreKeys,
      publicGoodRoot,
      publicSealKeys,
      admissionConfig,
      resolutions,
      secrets,
      deployments,
      endpointSlices,
    ] as unknown as readonly Informer<KubeObject>[];
    return [...typed, ...this.others, ...this.configurations, this.rewriting];
  }

  /** Which collections are not known yet, for the readiness probe. */
  unsynced(): readonly string[] {
    return this.#all.filter(({ hasSynced }) => !hasSynced).map(({ resource }) => resource.plural);
  }

  /** Resolves when everything is known; rejects when the world is stopped before. */
  async synced(): Promise<void> {
    await Promise.all(this.#all.map((informer) => informer.synced));
  }

  /** Keeps the knowledge true until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all(this.#all.map((informer) => informer.run(signal)));
  }
}
