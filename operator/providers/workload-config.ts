import { isKubeError } from "../../adapters/kube/errors.ts";
import { Resources } from "../../adapters/kube/resources.ts";
import type { KubeClient, KubeObject, Resource } from "../../adapters/kube/types.ts";
import { CONFIG_ANNOTATION } from "../../core/cacheregistry/labels.ts";
import { messageOf } from "../../core/errors.ts";
import {
  type ConfigFormat,
  type ConfigStep,
  decideConfig,
  RENDERED_ANNOTATION,
  RENDERED_AT_ANNOTATION,
  RULES_ANNOTATION,
  renderedBy,
  renderedMark,
  rolloutHash,
  type Section,
} from "../../core/product/rendered.ts";
import { type CacheRegistryObject, type CacheRegistrySpec, REASON, type Reason } from "../../crds/index.ts";
import type { UpstreamHealthCache } from "../incluster/upstream-health.ts";
import type { SecretObject } from "../resources.ts";
import type { Pending, ProductContext } from "./provider.ts";
import { podAnnotations, type WorkloadKind, type WorkloadObject, workloadResource } from "./workload.ts";
import { isOwnSecret, secretStep, textsOf, type WantedCredentials } from "./workload-secret.ts";

/** What a registry that is rendered into a ConfigMap of its owner's works with. */
export interface RenderedContext extends Omit<ProductContext, "client"> {
  readonly client: Pick<KubeClient, "get" | "create" | "mergePatch" | "delete">;
  /** How upstreams answer, asked once for everybody. */
  readonly health: Pick<UpstreamHealthCache, "check">;
}

/** The provider block of such a registry. */
export type OwnRegistry = NonNullable<CacheRegistrySpec["zot"]>;

interface ConfigMapObject extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

/** A registry's objects as they are. */
export interface LiveRegistry {
  readonly configMap: ConfigMapObject;
  readonly text: string;
  readonly section: Section;
  readonly workload: WorkloadObject;
  readonly secret: SecretObject | undefined;
}

const CORRECTED = "configuration was changed by others, corrected";
const TAKEN_AWAY = "configuration was changed by others, taken away with its registry";

/** Why a registry's objects can't be worked with. */
export interface Unusable extends Pending {
  /** That nothing is there which was rendered for it and is served: its deletion need not wait. */
  readonly isUnserved: boolean;
}

/** What a registry is to be: our part of its configuration, the content of its Secret, and the note of its rules. */
export interface WantedRegistry {
  /** It is deleted: what carries its mark goes, also where others changed it and drift is only reported. */
  readonly isWithdrawn?: true;
  readonly section: Section;
  readonly credentials: WantedCredentials;
  readonly rules: string;
}

/** A state that is not reached, in words for the condition. */
export function pending(reason: Reason, message: string): Pending {
  return { done: false, reason, message };
}

function unusable(reason: Reason, message: string, isUnserved: boolean): Unusable {
  return { done: false, reason, message, isUnserved };
}

/** Our part of the configuration as far as it carries our mark. */
function ownSection({ configMap, section }: LiveRegistry, registry: CacheRegistryObject): Section {
  return renderedBy(configMap.metadata.annotations) === registry.metadata.name ? section : undefined;
}

function wantedHash(live: LiveRegistry, registry: CacheRegistryObject): string {
  const renderedAt = live.configMap.metadata.annotations?.[RENDERED_AT_ANNOTATION];
  const credentials = isOwnSecret(live.secret, registry) ? textsOf(live.secret) : undefined;
  return rolloutHash(ownSection(live, registry), renderedAt, credentials);
}

/** Whether Entrepot ever wrote to the ConfigMap of a registry. */
export function wasRendered({ configMap }: LiveRegistry): boolean {
  return configMap.metadata.annotations?.[RENDERED_AT_ANNOTATION] !== undefined;
}

/** Whether the ConfigMap of a registry carries another's mark: then nothing in it was rendered for this one, which may be under another key. */
export function isOfAnother({ configMap }: LiveRegistry, registry: CacheRegistryObject): boolean {
  const owner = renderedBy(configMap.metadata.annotations);
  return owner !== undefined && owner !== registry.metadata.name;
}

/** Whether the Pod template of a registry's workload is of its present configuration. */
export function isAnnotated(live: LiveRegistry, registry: CacheRegistryObject): boolean {
  const found = podAnnotations(live.workload)[CONFIG_ANNOTATION];
  const nothing = ownSection(live, registry) === undefined && !wasRendered(live);
  return found === undefined ? nothing : found === wantedHash(live, registry);
}

/** Reads and writes the ConfigMap, the Secret and the workload of registries of one format. At rest it writes nothing. */
export class WorkloadConfig {
  readonly #context: RenderedContext;
  readonly #format: ConfigFormat;
  readonly #part: string;

  /** `part` names our part of the configuration for people, e.g. `extensions.sync`. */
  constructor(context: RenderedContext, format: ConfigFormat, part: string) {
    this.#context = context;
    this.#format = format;
    this.#part = part;
  }

  async #get<T extends KubeObject>(resource: Resource, name: string, signal: AbortSignal): Promise<T | undefined> {
    try {
      return await this.#context.client.get<T>(resource, name, { namespace: this.#context.namespace, signal });
    } catch (thrown) {
      if (isKubeError(thrown, "NOT_FOUND")) return undefined;
      throw thrown;
    }
  }

  /** The objects of a registry, or which of them is missing or can't be read. */
  async read(registry: CacheRegistryObject, block: OwnRegistry, signal: AbortSignal): Promise<LiveRegistry | Unusable> {
    const { configMapRef, workloadRef, credentialsSecretName } = block;
    const { namespace } = this.#context;
    const [configMap, workload, secret] = await Promise.all([
      this.#get<ConfigMapObject>(Resources.configMaps, configMapRef.name, signal),
      this.#get<WorkloadObject>(workloadResource(workloadRef.kind as WorkloadKind), workloadRef.name, signal),
      credentialsSecretName === undefined
        ? undefined
        : this.#get<SecretObject>(Resources.secrets, credentialsSecretName, signal),
    ]);
    const where = `ConfigMap "${configMapRef.name}"`;
    if (configMap === undefined) {
      return unusable(
        REASON.RegistryNotReady,
        `${where} does not exist in namespace ${namespace}; create it with the registry's configuration`,
        true,
      );
    }
    if (workload === undefined) {
      return unusable(
        REASON.RegistryNotReady,
        `${workloadRef.kind} "${workloadRef.name}" does not exist in namespace ${namespace}; create it, or correct workloadRef`,
        true,
      );
    }
    const text = configMap.data?.[configMapRef.key];
    if (text === undefined) {
      const message = `${where} has no key ${configMapRef.key}; add it, or correct configMapRef`;
      return unusable(REASON.InvalidSpec, message, !this.#isElsewhere(configMap, registry));
    }
    try {
      const kind = workloadRef.kind; // objects that are asked for by name come without it from some clients
      return { configMap, text, section: this.#format.read(text), workload: { ...workload, kind }, secret };
    } catch (thrown) {
      const message = `${configMapRef.key} of ${where} can't be used: ${messageOf(thrown)}`;
      const isOurs = renderedBy(configMap.metadata.annotations) === registry.metadata.name;
      return unusable(REASON.InvalidSpec, message, !isOurs);
    }
  }

  /** Whether what a registry's mark says is under another key than it names: its owner renamed one of the two. */
  #isElsewhere({ metadata, data }: ConfigMapObject, registry: CacheRegistryObject): boolean {
    const mark = metadata.annotations?.[RENDERED_ANNOTATION];
    const marks = Object.values(data ?? {}).map((text) => {
      try {
        return renderedMark(registry.metadata.name, this.#format.read(text));
      } catch {
        return undefined; // some other file
      }
    });
    return mark !== undefined && marks.includes(mark);
  }

  /** The text that `apply` would write for a section, for checks before it; a Pending where it can't be made. */
  preview(block: OwnRegistry, live: LiveRegistry, section: Section): string | Pending {
    try {
      return this.#format.write(live.text, section);
    } catch (thrown) {
      const { name, key } = block.configMapRef;
      return pending(REASON.InvalidSpec, `${key} of ConfigMap "${name}" can't be written: ${messageOf(thrown)}`);
    }
  }

  /**
   * Makes the registry's objects as wanted: the Secret before the configuration that refers to it, the roll of the Pods last. A write
   * of the Secret or the ConfigMap holds only if nobody wrote since `live` was read (CONFLICT else). `blocked` is why Pods must not be
   * replaced now: then nothing is written that would. Gives the objects as they are then, or what is in the way.
   */
  async apply(
    registry: CacheRegistryObject,
    block: OwnRegistry,
    live: LiveRegistry,
    wanted: WantedRegistry,
    blocked: Pending | undefined,
    signal: AbortSignal,
  ): Promise<LiveRegistry | Pending> {
    const { client, namespace, log } = this.#context;
    const { name } = registry.metadata;
    const step = this.#configStep(registry, live, wanted);
    if (step.do === "report") return pending(step.reason, step.message);
    const text = step.do === "write" ? this.preview(block, live, wanted.section) : live.text;
    if (typeof text !== "string") return text;
    const secretName = block.credentialsSecretName;
    const change = secretStep(registry, secretName, namespace, live.secret, wanted.credentials);
    if (change.do === "report") return change.pending;
    const rolls = step.do === "write" || change.do !== "nothing" || !isAnnotated(live, registry);
    if (rolls && blocked !== undefined) return blocked;
    let next = live;
    if (change.do === "create") {
      next = { ...next, secret: await client.create<SecretObject>(Resources.secrets, change.secret, { signal }) };
    } else if (change.do === "patch") {
      const secret = await client.mergePatch<SecretObject>(Resources.secrets, secretName ?? "", change.patch, {
        namespace,
        signal,
      });
      next = { ...next, secret };
    }
    if (step.do === "write" && step.drifted)
      log.warn(wanted.isWithdrawn === true ? TAKEN_AWAY : CORRECTED, { registry: name });
    if (step.do !== "nothing")
      next = await this.#writeConfig(registry, block, next, wanted, text, step.do === "write", signal);
    return await this.#roll(registry, next, signal);
  }

  #configStep(
    registry: CacheRegistryObject,
    { configMap, section }: LiveRegistry,
    { section: wanted, rules, isWithdrawn }: WantedRegistry,
  ): ConfigStep {
    const { name } = registry.metadata;
    const found = { section, annotations: configMap.metadata.annotations ?? {} };
    const part = `${this.#part} in ConfigMap "${configMap.metadata.name}"`;
    const drift = isWithdrawn === true ? "Correct" : (registry.spec.driftPolicy ?? "Correct");
    return decideConfig(found, { registry: name, section: wanted, rules }, drift, part);
  }

  /** Deletes the registry's Secret, if it is ours. */
  async dropSecret(registry: CacheRegistryObject, { secret }: LiveRegistry, signal: AbortSignal): Promise<void> {
    const { client, namespace } = this.#context;
    if (!isOwnSecret(secret, registry) || secret.metadata.uid === undefined) return;
    await client.delete(Resources.secrets, secret.metadata.name, { namespace, uid: secret.metadata.uid, signal });
  }

  async #writeConfig(
    registry: CacheRegistryObject,
    block: OwnRegistry,
    live: LiveRegistry,
    wanted: WantedRegistry,
    text: string,
    changed: boolean,
    signal: AbortSignal,
  ): Promise<LiveRegistry> {
    const { clock, namespace, client, log } = this.#context;
    const { name, resourceVersion } = live.configMap.metadata;
    const annotations = {
      [RENDERED_ANNOTATION]: renderedMark(registry.metadata.name, wanted.section) ?? null,
      [RULES_ANNOTATION]: wanted.section === undefined ? null : wanted.rules,
      ...(changed && { [RENDERED_AT_ANNOTATION]: clock.now().toISOString() }),
    };
    const patch = {
      metadata: { resourceVersion, annotations },
      ...(changed && { data: { [block.configMapRef.key]: text } }),
    };
    const configMap = await client.mergePatch<ConfigMapObject>(Resources.configMaps, name, patch, {
      namespace,
      signal,
    });
    log.info("registry configuration rendered", { registry: registry.metadata.name, configMap: name, changed });
    return { ...live, configMap, text, section: wanted.section };
  }

  async #roll(registry: CacheRegistryObject, live: LiveRegistry, signal: AbortSignal): Promise<LiveRegistry> {
    if (isAnnotated(live, registry)) return live;
    const { client, namespace, log } = this.#context;
    const { kind, metadata } = live.workload;
    const annotations = { [CONFIG_ANNOTATION]: wantedHash(live, registry) };
    const patch = { spec: { template: { metadata: { annotations } } } };
    const resource = workloadResource(kind as WorkloadKind);
    const workload = await client.mergePatch<WorkloadObject>(resource, metadata.name, patch, { namespace, signal });
    log.info("workload rolled", { registry: registry.metadata.name, kind, workload: metadata.name });
    return { ...live, workload: { ...workload, kind } };
  }
}
