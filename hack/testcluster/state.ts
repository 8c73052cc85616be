import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { DaemonSpec } from "./processes.ts";

/**
 * `node`: a whole cluster with one real node in namespaces of its own. `control-plane`: API server and controllers on loopback.
 * `existing`: somebody else's, of which nothing is started or ended.
 */
export type Mode = "node" | "control-plane" | "existing";

/** What a running cluster's folder says about it. */
export interface ClusterRecord {
  readonly mode: Mode;
  /** Whether Pods can run. */
  readonly hasNode: boolean;
  /** Which builds of the tools it runs: a cluster of other builds is replaced, not reused. */
  readonly stamp: string;
  readonly kubeconfig: string;
  readonly server: string;
  /** The plain registry, `host:port`, valid where the cluster's network is. */
  readonly registry: string;
  readonly daemons: readonly DaemonSpec[];
  /** What was started later, such as a second registry: the cluster is whole without it. */
  readonly extras?: readonly DaemonSpec[];
}

const FILE = "cluster.json";

/** The record of the cluster in `dir`, or undefined if it was never whole. */
export function readRecord(dir: string): ClusterRecord | undefined {
  const path = join(dir, FILE);
  return existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as ClusterRecord) : undefined;
}

/** Replaces the record in one step: a reader sees the old or the new one. */
export function writeRecord(dir: string, record: ClusterRecord): void {
  const path = join(dir, FILE);
  writeFileSync(`${path}.tmp`, `${JSON.stringify(record, null, 2)}\n`);
  renameSync(`${path}.tmp`, path);
}
