import { LRUCache } from "lru-cache";
import type { Clock } from "../adapters/clock.ts";
import { startDeadline } from "../adapters/deadline.ts";
import { isKubeError } from "../adapters/kube/errors.ts";
import { Resources } from "../adapters/kube/resources.ts";
import type { KubeClient } from "../adapters/kube/types.ts";
import { Shared } from "../adapters/shared.ts";
import type { Log } from "../adapters/telemetry/log.ts";
import { messageOf } from "../core/errors.ts";
import { isNamespaceName, isObjectName } from "../core/objectnames.ts";

export interface PullSecretsOptions {
  readonly client: Pick<KubeClient, "getMetadata">;
  readonly log: Log;
  readonly clock: Pick<Clock, "monotonicMs">;
}

/** Whether a namespace has a Secret; `unknown`: the API server did not say. */
export type Presence = "present" | "absent" | "unknown";

const LOOKUP_MS = 2_000;
const KEEP_MS = 30_000;
/** An API server that does not answer is not asked again for every Pod. */
const KEEP_UNKNOWN_MS = 5_000;
const REMEMBERED = 10_000;

/** Which namespaces have the Secrets that nodes pull from caches with: one metadata-only GET for all Pods that ask within half a minute. */
export class PullSecrets {
  readonly #client: Pick<KubeClient, "getMetadata">;
  readonly #log: Log;
  readonly #remembered: LRUCache<string, Presence>;
  readonly #reads = new Shared<{ readonly presence: Presence }>({ max: 1, keepMs: () => 0 });

  constructor({ client, log, clock }: PullSecretsOptions) {
    this.#client = client;
    this.#log = log;
    this.#remembered = new LRUCache({
      max: REMEMBERED,
      perf: { now: () => clock.monotonicMs() },
      ttlResolution: 0,
    });
  }

  /** Whether the namespace has the Secret. Rejects only when `signal` aborts. Of the Secret nothing but metadata is read. */
  async look(namespace: string, name: string, signal: AbortSignal): Promise<Presence> {
    if (!isNamespaceName(namespace) || !isObjectName(name)) return "absent"; // nothing is called so: keys stay short
    const key = `${namespace}/${name}`;
    const known = this.#remembered.get(key);
    if (known !== undefined) return known;
    const read = async (shared: AbortSignal) => ({ presence: await this.#read(namespace, name, shared) });
    const { presence } = (await this.#reads.get(key, signal, read)).value;
    return presence;
  }

  async #read(namespace: string, name: string, signal: AbortSignal): Promise<Presence> {
    using deadline = startDeadline(LOOKUP_MS, signal);
    const presence = await this.#ask(namespace, name, deadline.signal);
    const ttl = presence === "unknown" ? KEEP_UNKNOWN_MS : KEEP_MS;
    if (!signal.aborted) this.#remembered.set(`${namespace}/${name}`, presence, { ttl });
    return presence;
  }

  async #ask(namespace: string, name: string, signal: AbortSignal): Promise<Presence> {
    try {
      await this.#client.getMetadata(Resources.secrets, name, { namespace, signal });
      return "present";
    } catch (thrown) {
      if (isKubeError(thrown, "NOT_FOUND")) return "absent";
      const error = messageOf(thrown);
      this.#log.warn("pull Secret not looked up: Pods are not given it", { namespace, name, error });
      return "unknown";
    }
  }
}
