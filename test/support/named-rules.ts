import type { CacheRegistryView, NamedRuleView } from "../../core/cachenames/types.ts";

/** The host of the cache that sample rules belong to, if not told otherwise. */
export const HOST = "localhost:30500";

/** An in-cluster registry, to which nobody can push. */
export const MAIN_REGISTRY: CacheRegistryView = { metadata: { name: "main" }, spec: { inCluster: {} } };

/** What of a sample rule is not as in most of them. */
export interface NamedRuleChange {
  readonly name?: string;
  readonly registry?: string;
  readonly host?: string;
  /** Why it is not Ready; it is, if absent. */
  readonly notReady?: string;
  readonly accepted?: string;
  readonly suspend?: boolean;
  readonly rewrite?: "Pods" | "Never";
  readonly creationTimestamp?: string;
  readonly deletionTimestamp?: string;
}

/** An accepted, ready rule as the operator leaves it: `host` is the registry's pull host, with a path where it has one. */
export function namedRule(source: string, target: string, change: NamedRuleChange = {}): NamedRuleView {
  const { registry = "main", host = HOST, notReady, accepted = "True", suspend, rewrite } = change;
  const { name = source.replaceAll(/[^a-z0-9]+/g, "-").replace(/-$/, ""), creationTimestamp = "2026-01-01T00:00:00Z" } =
    change;
  const path = target.replace(/\/?\*$/, "");
  const deleted = change.deletionTimestamp !== undefined && { deletionTimestamp: change.deletionTimestamp };
  return {
    metadata: { name, uid: `uid-${name}`, generation: 1, creationTimestamp, ...deleted },
    spec: { registryRef: { name: registry }, source, target, ...(suspend && { suspend }), ...(rewrite && { rewrite }) },
    status: {
      pullPrefix: path === "" ? host : `${host}/${path}`,
      conditions: [
        { type: "Accepted", status: accepted, message: "the conflict" },
        { type: "Ready", status: notReady === undefined ? "True" : "False", message: notReady ?? "it is" },
      ],
    },
  };
}
