import { parseArgs } from "node:util";
import { CLUSTER_OPTIONS, type ClusterFlags, clusterOf } from "./cluster-flags.ts";

/** How much is printed of each rule, and for whom. */
export type RulesOutput = "text" | "wide" | "json";

/** `kubectl entrepot rules`: what is asked of the rules of a cluster. */
export interface RulesCommand {
  readonly kind: "rules";
  /** One rule, with everything that is known of it. */
  readonly name?: string;
  /** Only the rules of this CacheRegistry. */
  readonly registry?: string;
  /** Only those that are not ready; the exit status says whether there are any. */
  readonly notReady: boolean;
  /** Leave none out. */
  readonly all: boolean;
  readonly output: RulesOutput;
  readonly cluster: ClusterFlags;
}

function outputOf(text: string | undefined): RulesOutput {
  if (text === undefined) return "text";
  if (text === "wide" || text === "json") return text;
  throw new Error(`-o "${text}": it can be wide or json`);
}

/** Reads the arguments after `rules`. Throws, with what is wrong, when they are none of the usage. */
export function parseRules(args: readonly string[]): RulesCommand {
  const options = {
    ...CLUSTER_OPTIONS,
    registry: { type: "string" },
    "not-ready": { type: "boolean", default: false },
    all: { type: "boolean", default: false },
    output: { type: "string", short: "o" },
  } as const;
  const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  const [name, ...more] = positionals.map((part) => part.replace(/^(cacherules?|crule)([.]entrepot[.]dev)?\//, ""));
  if (more.length > 0 || name === "") throw new Error("rules shows one rule by its NAME, or all of them without one");
  if (values.registry === "") throw new Error("--registry needs the name of a CacheRegistry");
  if (name !== undefined && values.registry !== undefined)
    throw new Error("rules NAME shows that rule, whatever its registry: leave --registry out");
  return {
    kind: "rules",
    notReady: values["not-ready"],
    all: values.all,
    output: outputOf(values.output),
    cluster: clusterOf(values),
    ...(name !== undefined && { name }),
    ...(values.registry !== undefined && { registry: values.registry }),
  };
}
