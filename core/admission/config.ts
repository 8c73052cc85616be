/** Name of the ConfigMap in the system namespace that says how admission behaves: policy-controller's. */
export const ADMISSION_CONFIG_MAP = "config-policy-controller";

/** `config-policy-controller`, read: how admission behaves. Every key may change at any time. */
export interface AdmissionConfig {
  readonly noMatchPolicy: "deny" | "allow" | "warn";
  readonly failOnEmptyAuthorities: boolean;
  /** Whether annotations are written and believed. */
  readonly cacheEnabled: boolean;
  readonly cacheTtlSeconds: number;
  readonly tagTtlSeconds: number;
  readonly epoch: string;
  readonly resolveDigests: "pods" | "all" | "off";
  /** Whose Pods are given the cache's names: nobody's, those of namespaces that opted in, or those of all that did not opt out. */
  readonly rewriteImages: "off" | "labelled" | "all";
}

const DAY = 24 * 3600;
/** No record lives longer than this. */
export const LONGEST_CACHE_TTL_SECONDS = 30 * DAY;
const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: DAY };

/** Seconds of a duration such as `24h`, `90m` or `1h30m`; undefined for anything else. */
export function parseDuration(text: string): number | undefined {
  if (!/^(?:[0-9]{1,6}[smhd]){1,4}$/.test(text)) return undefined;
  return [...text.matchAll(/([0-9]+)([smhd])/g)].reduce(
    (sum, [, digits, unit]) => sum + Number(digits) * (UNITS[unit ?? ""] ?? 0),
    0,
  );
}

type Data = Readonly<Record<string, string>>;

function duration(data: Data, key: string, fallback: number, maximum: number, problems: string[]): number {
  const text = data[key];
  if (text === undefined) return fallback;
  const seconds = parseDuration(text);
  if (seconds !== undefined && seconds > 0 && seconds <= maximum) return seconds;
  problems.push(`${key}: "${text}" is no duration between 1s and ${maximum / DAY}d; ${fallback}s is used`);
  return fallback;
}

function oneOf<T extends string>(data: Data, key: string, allowed: readonly T[], fallback: T, problems: string[]): T {
  const text = data[key];
  if (text === undefined) return fallback;
  const found = allowed.find((value) => value === text);
  if (found !== undefined) return found;
  problems.push(`${key}: "${text}" is none of ${allowed.join(", ")}; ${fallback} is used`);
  return fallback;
}

/** The spellings of Go's strconv.ParseBool, with which policy-controller reads its own keys. */
const BOOLEANS: ReadonlyMap<string, boolean> = new Map([
  ...["1", "t", "T", "true", "TRUE", "True"].map((text) => [text, true] as const),
  ...["0", "f", "F", "false", "FALSE", "False"].map((text) => [text, false] as const),
]);

function boolean(data: Data, key: string, fallback: boolean, problems: string[]): boolean {
  const text = data[key];
  if (text === undefined) return fallback;
  const found = BOOLEANS.get(text);
  if (found === undefined) problems.push(`${key}: "${text}" is neither true nor false; ${fallback} is used`);
  return found ?? fallback;
}

/** `enable-oci11` of policy-controller: it turns on what here cannot be turned off. */
const ALWAYS_ON = "enable-oci11";

const KEYS: ReadonlySet<string> = new Set([
  "no-match-policy",
  "fail-on-empty-authorities",
  ALWAYS_ON,
  "dev.chainguard.enable-cip-cache",
  "dev.entrepot.cache-ttl",
  "dev.entrepot.tag-ttl",
  "dev.entrepot.cache-epoch",
  "dev.entrepot.resolve-digests",
  "dev.entrepot.rewrite-images",
  "_example", // documentation, by the custom of policy-controller's ConfigMaps
]);

function withoutEffect(data: Data): readonly string[] {
  const unknown = Object.keys(data).filter((key) => !KEYS.has(key));
  return [
    ...unknown.map((key) => `${key}: there is no such setting`),
    ...(BOOLEANS.get(data[ALWAYS_ON] ?? "true") === true
      ? []
      : [`${ALWAYS_ON}: "${data[ALWAYS_ON]}" has no effect: signatures are looked for among referrers too, always`]),
  ];
}

/**
 * Reads the ConfigMap's data (undefined: it does not exist). Keys are reversed domains, as `dev.chainguard.…` is: the API server
 * takes no slash in a key. An unreadable value falls back to the stricter default and is named
 * in `problems`; it never turns anything off that was on, nor the cache on.
 */
export function readConfig(data: Data | undefined): { config: AdmissionConfig; problems: readonly string[] } {
  const problems: string[] = [];
  const from = data ?? {};
  const config: AdmissionConfig = {
    noMatchPolicy: oneOf(from, "no-match-policy", ["deny", "allow", "warn"], "deny", problems),
    failOnEmptyAuthorities: boolean(from, "fail-on-empty-authorities", true, problems),
    cacheEnabled: from["dev.chainguard.enable-cip-cache"] === "true",
    cacheTtlSeconds: duration(from, "dev.entrepot.cache-ttl", DAY, LONGEST_CACHE_TTL_SECONDS, problems),
    tagTtlSeconds: duration(from, "dev.entrepot.tag-ttl", 60, DAY, problems),
    epoch: (from["dev.entrepot.cache-epoch"] ?? "0").slice(0, 64),
    resolveDigests: oneOf(from, "dev.entrepot.resolve-digests", ["pods", "all", "off"], "pods", problems),
    rewriteImages: oneOf(from, "dev.entrepot.rewrite-images", ["off", "labelled", "all"], "labelled", problems),
  };
  return { config, problems: [...problems, ...withoutEffect(from)] };
}
