import { parseArgs } from "node:util";
import { WORKLOAD_KINDS, type WorkloadKind } from "../core/admission/workload.ts";
import { CLUSTER_OPTIONS, type ClusterFlags, clusterOf } from "./cluster-flags.ts";
import { parseRender, type RenderCommand } from "./render-arguments.ts";
import { parseRules, type RulesCommand } from "./rules-arguments.ts";

export type OutputFormat = "text" | "yaml" | "json";

export type Command =
  | { readonly kind: "help" }
  | {
      readonly kind: "show";
      readonly workload: WorkloadKind;
      readonly name: string;
      readonly namespace?: string;
      readonly output: OutputFormat;
      readonly cluster: ClusterFlags;
    }
  | { readonly kind: "verify"; readonly file: string; readonly jwks: string; readonly output: OutputFormat }
  | { readonly kind: "flush"; readonly cluster: ClusterFlags }
  | RulesCommand
  | RenderCommand;

export const USAGE = `Usage:
  kubectl entrepot cache show KIND/NAME [-n NAMESPACE] [-o yaml|json]
      What is sealed on a workload: which policies hold for which images, who sealed it, whether it is still used, and why not.
  kubectl entrepot cache verify [FILE|-] --jwks FILE [-o yaml|json]
      Without a cluster: whether the seals on saved objects (or of a bare annotation) hold, and what they say.
  kubectl entrepot cache flush
      Ends every record: each image is verified anew when its next workload comes.
  kubectl entrepot rules [NAME] [--registry REGISTRY] [--not-ready] [--all] [-o wide|json]
      How the CacheRules are: a summary for each registry, then those that are not ready and what to do about them, then others.
      With NAME, everything about that rule.
  kubectl entrepot render containerd [--registry REGISTRY] [--output-dir DIR]
      The rules as hosts.toml files, so that nodes pull the upstream's names from the cache.
  kubectl entrepot render helm-values [--registry REGISTRY] [--image REF]... [--images FILE|-]
      The names in the cache as values for charts: of the rules, or of the images given, one a line in FILE.
  kubectl entrepot render kyverno [--registry REGISTRY]
      The rules as a Kyverno policy that renames images of Pods.

  --kubeconfig FILE, --context NAME       as kubectl's
  --system-namespace NAMESPACE            where Entrepot runs (else the environment's SYSTEM_NAMESPACE, else cosign-system)

Exit status: 0 done (verify: every seal holds; rules --not-ready: no rule is; render with
images: each has a name in a cache), 1 not, 2 not understood.`;

const SHORT: Readonly<Record<string, string>> = {
  po: "pods",
  rs: "replicasets",
  deploy: "deployments",
  sts: "statefulsets",
  ds: "daemonsets",
  cj: "cronjobs",
};

function workloadOf(text: string): WorkloadKind {
  const name = text.toLowerCase();
  const plural = SHORT[name] ?? name;
  const found = WORKLOAD_KINDS.find(({ group, plural: row, kind }) =>
    [row, kind.toLowerCase(), `${row}.${group}`].includes(plural),
  );
  if (found !== undefined) return found;
  const kinds = WORKLOAD_KINDS.map(({ kind }) => kind.toLowerCase()).join(", ");
  throw new Error(`"${text}" is no kind that carries records; these do: ${kinds}`);
}

function outputOf(text: string | undefined): OutputFormat {
  if (text === undefined) return "text";
  if (text === "yaml" || text === "json") return text;
  throw new Error(`-o "${text}": it can be yaml or json`);
}

function parseShow(args: readonly string[]): Command {
  const options = {
    ...CLUSTER_OPTIONS,
    namespace: { type: "string", short: "n" },
    output: { type: "string", short: "o" },
  } as const;
  const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  const [kind, name, ...more] = positionals.flatMap((part) => part.split("/"));
  if (!kind || !name || more.length > 0) throw new Error("cache show needs one KIND/NAME, such as deployment/app");
  return {
    kind: "show",
    workload: workloadOf(kind),
    name,
    output: outputOf(values.output),
    cluster: clusterOf(values),
    ...(values.namespace !== undefined && { namespace: values.namespace }),
  };
}

function parseVerify(args: readonly string[]): Command {
  const options = { jwks: { type: "string" }, output: { type: "string", short: "o" } } as const;
  const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  const [file = "-", ...more] = positionals;
  if (more.length > 0) throw new Error("cache verify reads one file; several objects can stand in it");
  if (values.jwks === undefined)
    throw new Error(
      "cache verify needs --jwks FILE; a cluster publishes its own: " +
        "kubectl -n cosign-system get configmap entrepot-seal-keys-public -o jsonpath='{.data.jwks\\.json}'",
    );
  if (values.jwks === "-" && file === "-") throw new Error("--jwks - and the objects cannot both be standard input");
  return { kind: "verify", file, jwks: values.jwks, output: outputOf(values.output) };
}

function parseFlush(args: readonly string[]): Command {
  const { values } = parseArgs({ args: [...args], options: CLUSTER_OPTIONS, strict: true });
  return { kind: "flush", cluster: clusterOf(values) };
}

/** Reads the arguments after the program's name. Throws, with what is wrong, when they are none of the usage. */
export function parseCommand(args: readonly string[]): Command {
  const [area, verb, ...rest] = args;
  if (area === undefined || args.includes("--help") || args.includes("-h") || area === "help") return { kind: "help" };
  if (area === "rules") return parseRules(args.slice(1));
  if (area === "render") return parseRender(args.slice(1));
  if (area !== "cache") throw new Error(`there is no command "${area}"`);
  switch (verb) {
    case "show":
      return parseShow(rest);
    case "verify":
      return parseVerify(rest);
    case "flush":
      return parseFlush(rest);
    default:
      throw new Error(verb === undefined ? "cache show, verify or flush?" : `there is no command "cache ${verb}"`);
  }
}
