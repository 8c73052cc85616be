// What a contestant of the benchmark is: something that may stand between the API server and a Pod.
import type { ClusterHandle } from "../hack/testcluster/handle.ts";
import type { ApiServer } from "../test/support/api-server.ts";

/** What every contestant is measured with: the same API server, registry and images. */
export interface Bed {
  readonly cluster: ClusterHandle;
  readonly api: ApiServer;
  /** `host:port` of the registry as images name it: the counting, delaying proxy. */
  readonly registry: string;
  /** PEM of the key that signed the images. */
  readonly publicKey: string;
  /** The namespace whose Pods are measured; made by the contestant (with the labels it wants) in `start`, removed in `stop`. */
  readonly namespace: string;
}

/** A contestant in force: a Pod with an unsigned image is refused (but for `none` and `noop`). */
export interface Running {
  /** Pids whose CPU and memory are the contestant's; asked anew for each cell, because a restart changes them. */
  readonly pids: readonly number[];
  /** Ends its processes and starts them again, in force when it resolves; absent where nothing is measured right after a restart. */
  restart?(): Promise<void>;
  /** Ends its processes and takes its webhook configurations and the namespace away. */
  stop(): Promise<void>;
}

export interface Contestant {
  readonly name: string;
  readonly version: () => Promise<string>;
  /** Whether results are cached, so that warm scenarios are of interest. */
  readonly warm: boolean;
  /** One that others are compared with: it verifies nothing, so that neither the registry nor its delay matters to it. */
  readonly baseline?: true;
  start(bed: Bed): Promise<Running>;
}
