import type { Operation } from "fast-json-patch";
import { type Fields, fieldsOf } from "../json.ts";
import { defaultClusterImagePolicy, defaultTrustRoot } from "./defaults.ts";

function missing(before: Fields | undefined, path: string, defaults: Fields): readonly Operation[] {
  if (before === undefined) return [];
  return Object.entries(defaults).flatMap(([name, value]) =>
    before[name] ? [] : [{ op: "add" as const, path: `${path}/${name}`, value }],
  );
}

/**
 * The operations that write defaults into a ClusterImagePolicy or TrustRoot: only fields of objects, never into a list, which GitOps
 * tools compare as a whole (docs/adr/0014). What stands in lists is defaulted by whoever reads it (`defaults.ts`).
 */
export function writtenDefaults(kind: string, object: Fields): readonly Operation[] {
  const spec = fieldsOf(object["spec"]);
  if (kind === "ClusterImagePolicy") {
    const { mode } = defaultClusterImagePolicy({ spec: {} });
    return missing(spec, "/spec", { mode });
  }
  if (kind !== "TrustRoot") return [];
  const { remote = {}, repository = {} } = defaultTrustRoot({ spec: { remote: {}, repository: {} } });
  return [
    ...missing(fieldsOf(spec?.["remote"]), "/spec/remote", { ...remote }),
    ...missing(fieldsOf(spec?.["repository"]), "/spec/repository", { ...repository }),
  ];
}
