import { parseArgs } from "node:util";
import { parseDuration } from "../core/admission/config.ts";
import { DomainError, messageOf } from "../core/errors.ts";

/** The flags of `entrepot operator`: policy-controller's, by its names. */
export interface OperatorFlags {
  /** `--disable-tuf`: the public-good root is the installation's copy, and nothing is read from outside for it. */
  readonly disableTuf: boolean;
  /** `--tuf-mirror`; absent: Sigstore's own. */
  readonly tufMirror?: string;
  /** `--tuf-root`: a file with the root.json that trust in the mirror begins with; absent: the installation's copy. */
  readonly tufRoot?: string;
  /** `--policy-resync-period`: between looks at what policies name outside the cluster; 10 h if not given. */
  readonly policyResyncMs: number;
  /** `--trustroot-resync-period`: between refreshes of trust roots; 24 h if not given. */
  readonly trustRootResyncMs: number;
}

const OPTIONS = {
  "disable-tuf": { type: "boolean" },
  "tuf-mirror": { type: "string" },
  "tuf-root": { type: "string" },
  "policy-resync-period": { type: "string" },
  "trustroot-resync-period": { type: "string" },
} as const;

const LONGEST_SECONDS = 20 * 24 * 3600; // what a timer of Node can wait, with room

/** Go's `strconv.ParseBool`. */
const BOOLEANS: Readonly<Record<string, boolean>> = {
  ...Object.fromEntries(["1", "t", "T", "true", "TRUE", "True"].map((word) => [word, true])),
  ...Object.fromEntries(["0", "f", "F", "false", "FALSE", "False"].map((word) => [word, false])),
};

/** One argument in the form that Node parses: Go's flag package also takes one dash, and `=value` after a boolean. */
function normalised(argument: string): string {
  const [, name = "", value] = /^--?([a-z][a-z-]+)(?:=(.*))?$/s.exec(argument) ?? [];
  if (!Object.hasOwn(OPTIONS, name)) return argument;
  if (value === undefined) return `--${name}`;
  const wanted = OPTIONS[name as keyof typeof OPTIONS].type === "boolean" ? BOOLEANS[value] : undefined;
  if (wanted === undefined) return `--${name}=${value}`;
  return wanted ? `--${name}` : `--no-${name}`;
}

function parse(argv: readonly string[]) {
  try {
    const args = argv.map(normalised);
    return parseArgs({ args, options: OPTIONS, strict: true, allowPositionals: false, allowNegative: true }).values;
  } catch (thrown) {
    throw invalid([
      `${messageOf(thrown).replace(/\s+/g, " ")}; the flags are ${Object.keys(OPTIONS)
        .map((name) => `--${name}`)
        .join(", ")}`,
    ]);
  }
}

function invalid(problems: readonly string[]): DomainError<"CONFIG_INVALID"> {
  return new DomainError("CONFIG_INVALID", `operator flags: ${problems.join("; ")}`, { terminal: true });
}

/** Reads the arguments after `operator`, as Go's flag package would: `-flag=value`, `--flag value`. Throws `CONFIG_INVALID` naming every bad one. */
export function parseOperatorFlags(argv: readonly string[]): OperatorFlags {
  const values = parse(argv);
  const problems: string[] = [];
  const milliseconds = (name: "policy-resync-period" | "trustroot-resync-period", fallback: string): number => {
    const text = values[name] ?? fallback;
    const seconds = parseDuration(text);
    if (seconds === undefined || seconds < 1)
      problems.push(`--${name}="${text}" is no duration of at least 1s, as in 10h or 1h30m`);
    return Math.min(seconds ?? 1, LONGEST_SECONDS) * 1000;
  };
  const mirror = values["tuf-mirror"] || undefined;
  const protocol = mirror === undefined ? "https:" : URL.parse(mirror)?.protocol;
  if (protocol !== "https:" && protocol !== "http:")
    problems.push(`--tuf-mirror="${mirror?.slice(0, 200)}" is no http or https URL`);
  const root = values["tuf-root"] || undefined;
  const flags: OperatorFlags = {
    disableTuf: values["disable-tuf"] ?? false,
    ...(mirror !== undefined && { tufMirror: mirror }),
    ...(root !== undefined && { tufRoot: root }),
    policyResyncMs: milliseconds("policy-resync-period", "10h"),
    trustRootResyncMs: milliseconds("trustroot-resync-period", "24h"),
  };
  if (problems.length > 0) throw invalid(problems);
  return Object.freeze(flags);
}
