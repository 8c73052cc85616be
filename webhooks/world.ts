import type { Clock } from "../adapters/clock.ts";
import { Informer } from "../adapters/kube/informer.ts";
import type { KubeMetrics } from "../adapters/kube/metrics.ts";
import { Resources } from "../adapters/kube/resources.ts";
import type { KubeClient, KubeObject } from "../adapters/kube/types.ts";
import type { Log } from "../adapters/telemetry/log.ts";
import { ADMISSION_CONFIG_MAP, LONGEST_CACHE_TTL_SECONDS, readConfig } from "../core/admission/config.ts";
import { dropsLiveKey, type Keyring, parseKeyring } from "../core/cache/keyring.ts";
import { Sealer } from "../core/cache/seal.ts";
import { messageOf } from "../core/errors.ts";
import { compilePolicy, degradedBy, keepLastGood } from "../core/policy/compile.ts";
import { RESOLVED_FIELD, readResolved, resolvedName } from "../core/policy/resolved.ts";
import type { CompileSources } from "../core/policy/sources.ts";
import type { CompiledPolicy } from "../core/policy/types.ts";
import { PUBLIC_GOOD_CONFIG_MAP, PUBLIC_GOOD_KEY, SIGSTORE_KEYS_CONFIG_MAP } from "../core/trust/names.ts";
import { type CacheRegistryObject, CLUSTER_IMAGE_POLICIES, type ClusterImagePolicyObject } from "../crds/index.ts";
import { LiveCacheNames } from "./cachenames.ts";
import type { Snapshot } from "./case.ts";

export const CERTIFICATE_SECRET = "webhook-certs";
export const SEAL_SECRET = "entrepot-seal-keys";

interface SecretObject extends KubeObject {
  readonly type?: string;
  readonly data?: Readonly<Record<string, string>>;
}

interface ConfigMapObject extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

type PolicyObject = KubeObject & ClusterImagePolicyObject;

export interface WorldOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly metrics: KubeMetrics;
  readonly log: Log;
  readonly clock: Clock;
  /** Called once snapshots have another keyring than before; `dropped`: a key was taken out whose records may live. */
  readonly onKeyring: (dropped: boolean) => void;
  /** Called after anything changed that a readiness or certificate check may look at. */
  readonly onChange: () => void;
}

/**
 * What the webhook knows of the cluster, kept true by informers and handed out as immutable snapshots. There is no snapshot
 * until every part has been read once: until then nothing is admitted (design D7).
 */
export class World {
  readonly #options: WorldOptions;
  readonly #policies: Informer<PolicyObject>;
  readonly #secrets: Informer<SecretObject>;
  readonly #configMaps: Informer<ConfigMapObject>;
  readonly #names: LiveCacheNames;
  #cluster: string | undefined;
  #compiled: ReadonlyMap<string, CompiledPolicy> = new Map();
  #problems: ReadonlyMap<string, string> = new Map();
  #keyringText: string | undefined;
  #keyring: Keyring | undefined;
  #servedKeyring: Keyring | undefined;
  #sealer: Sealer | undefined;
  #snapshot: Snapshot | undefined;
  #rebuilding: Promise<void> = Promise.resolve();
  #queued = false;

  constructor(options: WorldOptions) {
    const { client, namespace, metrics, log, clock } = options;
    const common = { client, metrics, log };
    this.#options = options;
    this.#policies = new Informer({ ...common, resource: CLUSTER_IMAGE_POLICIES });
    this.#secrets = new Informer({ ...common, resource: Resources.secrets, scope: { namespace } });
    this.#configMaps = new Informer({ ...common, resource: Resources.configMaps, scope: { namespace } });
    this.#names = new LiveCacheNames({ ...common, clock, onChange: () => this.#refreshNames() });
  }

  /** Keeps the snapshot true until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const rebuild = () => this.#rebuild();
    this.#policies.subscribe(rebuild);
    this.#secrets.subscribe(rebuild);
    this.#configMaps.subscribe(rebuild);
    const informers = [this.#policies, this.#secrets, this.#configMaps];
    for (const { synced } of informers) synced.then(rebuild, () => undefined); // it rejects only at the end
    const running = [
      ...informers.map((informer) => informer.run(signal)),
      this.#identify(signal),
      this.#names.run(signal),
    ];
    await Promise.all(running);
  }

  /** The present snapshot, or undefined while some part was never read. */
  current(): Snapshot | undefined {
    return this.#snapshot;
  }

  /** Why there is no snapshot yet, for readiness. */
  missing(): string | undefined {
    if (this.#snapshot !== undefined) return undefined;
    if (this.#cluster === undefined) return "the kube-system namespace has not been read yet";
    if (!this.#policies.hasSynced || !this.#secrets.hasSynced || !this.#configMaps.hasSynced)
      return "policies, Secrets and config have not all been listed yet";
    if (this.#names.current() === undefined)
      return "CacheRules and CacheRegistries have not all been listed yet; see kubectl get crd cacherules.entrepot.dev cacheregistries.entrepot.dev";
    return `Secret ${this.#options.namespace}/${SEAL_SECRET} has no usable keyring yet: the operator creates it`;
  }

  /** What this replica enforces, by policy UID: the operator turns a policy Ready when every replica reports its generation (design D8). */
  report(): { readonly policies: Readonly<Record<string, object>> } {
    const policies: Record<string, object> = {};
    for (const policy of this.#snapshot?.policies ?? []) {
      const { uid, name, generation, hash } = policy;
      const problem = this.#problems.get(uid);
      const degraded = degradedBy(policy);
      policies[uid] = {
        name,
        generation,
        hash,
        ...(problem !== undefined && { problem }),
        ...(degraded !== undefined && { degraded }),
      };
    }
    return { policies };
  }

  /** The raw data of one Secret of the system namespace. */
  secret(name: string): Readonly<Record<string, Uint8Array>> | undefined {
    const data = this.systemSecret(name)?.data;
    return data && Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value, "base64")]));
  }

  /** One Secret of the system namespace as the API server gives it: values are base64. */
  systemSecret(name: string): SecretObject | undefined {
    return this.#secrets.get(`${this.#options.namespace}/${name}`);
  }

  /** A CacheRegistry by name. */
  cacheRegistry(name: string): CacheRegistryObject | undefined {
    return this.#names.registry(name);
  }

  /** The data of one ConfigMap of the system namespace. */
  configMap(name: string): Readonly<Record<string, string>> | undefined {
    const found = this.#configMaps.get(`${this.#options.namespace}/${name}`);
    return found && (found.data ?? {});
  }

  #sources(): CompileSources {
    const resolved = (uid: string) => readResolved(this.configMap(resolvedName(uid))?.[RESOLVED_FIELD]);
    return {
      secrets: (name) => this.secret(name),
      configMaps: (name) => this.configMap(name),
      resolved,
      trustedRoot: (name) =>
        name === undefined
          ? this.configMap(PUBLIC_GOOD_CONFIG_MAP)?.[PUBLIC_GOOD_KEY]
          : this.configMap(SIGSTORE_KEYS_CONFIG_MAP)?.[name],
    };
  }

  async #identify(signal: AbortSignal): Promise<void> {
    while (!signal.aborted && this.#cluster === undefined) {
      try {
        const system = await this.#options.client.get(Resources.namespaces, "kube-system", { signal });
        this.#cluster = system.metadata.uid;
        this.#rebuild();
      } catch (thrown) {
        this.#options.log.warn("namespace kube-system not read, trying again", { error: messageOf(thrown) });
        await this.#options.clock.sleep(1_000, signal);
      }
    }
  }

  #rebuild(): void {
    if (this.#queued) return;
    this.#queued = true;
    this.#rebuilding = this.#rebuilding.then(() => {
      this.#queued = false;
      try {
        this.#build();
      } catch (thrown) {
        this.#options.log.error("snapshot not rebuilt: the last one goes on deciding", { error: messageOf(thrown) });
      }
      this.#options.onChange();
    });
  }

  #build(): void {
    if (!this.#policies.hasSynced || !this.#secrets.hasSynced || !this.#configMaps.hasSynced) return;
    this.#loadKeyring();
    this.#compile();
    const { config, problems } = readConfig(this.configMap(ADMISSION_CONFIG_MAP));
    for (const problem of problems)
      this.#options.log.warn("config-policy-controller has an unusable value", { problem });
    const names = this.#names.current();
    if (this.#cluster === undefined || this.#sealer === undefined || names === undefined) return;
    this.#snapshot = Object.freeze({
      policies: [...this.#compiled.values()],
      config,
      names,
      sealer: this.#sealer,
      cluster: this.#cluster,
    });
    this.#announceKeyring();
  }

  /** Other names are no reason to compile policies again. */
  #refreshNames(): void {
    const names = this.#names.current();
    if (names === undefined) return;
    if (this.#snapshot === undefined) this.#rebuild();
    else this.#snapshot = Object.freeze({ ...this.#snapshot, names });
  }

  #announceKeyring(): void {
    const [before, after] = [this.#servedKeyring, this.#keyring];
    if (after === undefined || after === before) return;
    this.#servedKeyring = after;
    const now = this.#options.clock.now();
    this.#options.onKeyring(before !== undefined && dropsLiveKey(before, after, LONGEST_CACHE_TTL_SECONDS, now));
  }

  #loadKeyring(): void {
    const bytes = this.secret(SEAL_SECRET)?.["jwks.json"];
    const text = bytes === undefined ? undefined : Buffer.from(bytes).toString("utf8");
    if (text === undefined || text === this.#keyringText) return;
    let keyring: Keyring;
    let sealer: Sealer;
    try {
      keyring = parseKeyring(text);
      sealer = new Sealer(keyring);
    } catch (thrown) {
      this.#options.log.error("seal keyring not usable: the last one stays", { error: messageOf(thrown) });
      return;
    }
    this.#sealer = sealer;
    this.#keyringText = text;
    this.#keyring = keyring;
  }

  #compile(): void {
    const sources = this.#sources();
    const problems = new Map<string, string>();
    const compiled = this.#policies.list().map((policy) => {
      const now = compilePolicy(policy, sources);
      const kept = keepLastGood(this.#compiled.get(now.uid), now);
      if (now.cacheTtl.problem !== undefined)
        this.#options.log.warn("policy has an unusable annotation", {
          policy: now.name,
          problem: now.cacheTtl.problem,
        });
      if (now.problem !== undefined) {
        problems.set(now.uid, now.problem);
        const fields = { policy: now.name, problem: now.problem, lastGood: kept !== now };
        this.#options.log.warn("policy does not compile", fields);
      }
      return [now.uid, kept] as const;
    });
    this.#problems = problems;
    this.#compiled = new Map(compiled.sort(([, a], [, b]) => (a.name < b.name ? -1 : 1)));
  }
}
