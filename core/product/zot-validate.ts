import { RE2JS } from "re2js";
import { type Fields, fieldsOf, isFields } from "../json.ts";
import { zotPart } from "./zot-document.ts";

const SYNC_KEYS = ["enable", "credentialsFile", "downloadDir", "registries"];
const CONTENT_KEYS = ["prefix", "tags", "destination", "stripPrefix", "platforms"];
const TAGS_KEYS = ["regex", "excludeRegex", "semver"];
const REGISTRY_KEYS = [
  "urls",
  "pollInterval",
  "content",
  "tlsVerify",
  "onDemand",
  "certDir",
  "maxRetries",
  "retryDelay",
  "maxRetryDelay",
  "onlySigned",
  "syncLegacyCosignTags",
  "credentialHelper",
  "oauth2CredentialHelper",
  "preserveDigest",
  "syncTimeout",
  "responseHeaderTimeout",
  "manifestCheckInterval",
  "reqConcurrent",
  "reqPerSec",
  "disableHTTP2",
  "maxIdleConnsPerHost",
  "platforms",
];
const POSITIVE = ["reqConcurrent", "reqPerSec", "maxIdleConnsPerHost"];

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };
const DURATION = /^(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h))+$/;

/** A Go duration of these units in milliseconds; undefined for what is none. */
function milliseconds(text: unknown): number | undefined {
  if (typeof text !== "string" || !DURATION.test(text)) return undefined;
  return [...text.matchAll(/([0-9.]+)(ms|s|m|h)/g)].reduce(
    (sum, [, amount, unit = ""]) => sum + Number(amount) * (UNITS[unit] ?? 0),
    0,
  );
}

/** Whether doublestar (v4, `ValidatePattern`) takes it: classes and alternatives are closed, no escape at the end. */
export function isGlob(pattern: string): boolean {
  let [depth, inClass] = [0, 0];
  for (let at = 0; at < pattern.length; at++) {
    const character = pattern[at];
    if (character === "\\" && ++at >= pattern.length) return false;
    if (inClass > 0) {
      inClass = character === "]" && inClass > 1 ? 0 : inClass + 1;
      continue;
    }
    if (character === "[") inClass = 1;
    if (character === "{") depth++;
    if (character === "}" && --depth < 0) return false;
  }
  return depth === 0 && inClass === 0;
}

function isRegex(text: unknown): boolean {
  if (typeof text !== "string") return false;
  try {
    RE2JS.compile(text);
    return true;
  } catch {
    return false;
  }
}

function unknownKeys(where: string, object: Fields, known: readonly string[]): readonly string[] {
  const names = new Set(known.map((name) => name.toLowerCase()));
  return Object.keys(object)
    .filter((key) => !names.has(key.toLowerCase()))
    .map((key) => `${where} has the key ${key}, which zot does not know`);
}

function contentProblems(where: string, content: Fields): readonly string[] {
  const problems = [...unknownKeys(where, content, CONTENT_KEYS)];
  const { prefix, destination, stripPrefix } = content;
  if (typeof prefix !== "string" || !isGlob(prefix)) problems.push(`${where}: the prefix is no glob`);
  const tags = fieldsOf(content["tags"]) ?? {};
  problems.push(...unknownKeys(`${where}.tags`, tags, TAGS_KEYS));
  for (const name of ["regex", "excludeRegex"]) {
    if (name in tags && !isRegex(tags[name])) problems.push(`${where}.tags.${name} is no regular expression`);
  }
  if (stripPrefix === true && destination === "/" && typeof prefix === "string" && !prefix.includes("/*")) {
    problems.push(`${where}: stripPrefix with the destination / needs a glob in the prefix`);
  }
  return problems;
}

function listOf(value: unknown): readonly Fields[] {
  return Array.isArray(value) ? value.filter(isFields) : [];
}

function registryProblems(where: string, registry: Fields, compatible: boolean): readonly string[] {
  const problems = [...unknownKeys(where, registry, REGISTRY_KEYS)];
  const { urls, maxRetries, retryDelay, maxRetryDelay, onDemand, pollInterval, preserveDigest } = registry;
  const content = listOf(registry["content"]);
  const valid =
    Array.isArray(urls) && urls.length > 0 && urls.every((url) => typeof url === "string" && URL.canParse(url));
  if (!valid) problems.push(`${where} has no valid urls`);
  if ((maxRetries !== undefined || maxRetryDelay !== undefined) && retryDelay === undefined) {
    problems.push(`${where}: maxRetries and maxRetryDelay need retryDelay`);
  }
  if ((milliseconds(maxRetryDelay) ?? Number.POSITIVE_INFINITY) < (milliseconds(retryDelay) ?? 0)) {
    problems.push(`${where}: maxRetryDelay is less than retryDelay`);
  }
  for (const name of ["pollInterval", "manifestCheckInterval", "retryDelay", "maxRetryDelay"]) {
    if (name in registry && milliseconds(registry[name]) === undefined)
      problems.push(`${where}.${name} is no duration`);
  }
  for (const name of POSITIVE) {
    if (name in registry && !(Number(registry[name]) > 0)) problems.push(`${where}.${name} must be more than 0`);
  }
  if (preserveDigest === true && !compatible) {
    problems.push(`${where}: preserveDigest needs http.compat: ["docker2s2"] in zot's configuration`);
  }
  if (onDemand !== true && (content.length === 0 || pollInterval === undefined)) {
    problems.push(`${where} is neither onDemand nor polled with content, and zot ignores it`);
  }
  return [...problems, ...content.flatMap((one, index) => contentProblems(`${where}.content[${index}]`, one))];
}

/**
 * What zot would refuse, or leave unused, of the sync part of a whole configuration: its own start-up checks
 * (pkg/cli/server/root.go: validateSync, the strict loading of keys; pkg/extensions/sync: which registries are used) read from its
 * source. zot that is given such a configuration does not start, or goes on with the old one and only logs it.
 */
export function zotProblems(document: Fields): readonly string[] {
  const sync = zotPart(zotPart(document, "extensions"), "sync");
  const compat = Object.entries(zotPart(document, "http")).find(([key]) => key.toLowerCase() === "compat")?.[1];
  const compatible = Array.isArray(compat) && compat.length > 0;
  const problems = [...unknownKeys("extensions.sync", sync, SYNC_KEYS)];
  const remoteStorage = Object.keys(zotPart(zotPart(document, "storage"), "storagedriver")).length > 0;
  const registries = listOf(sync["registries"]);
  if (registries.length > 0 && remoteStorage && !Object.keys(sync).some((key) => key.toLowerCase() === "downloaddir")) {
    problems.push(
      "zot with a storageDriver needs extensions.sync.downloadDir: add it to the configuration, it stays yours",
    );
  }
  return [
    ...problems,
    ...registries.flatMap((one, index) => registryProblems(`extensions.sync.registries[${index}]`, one, compatible)),
  ];
}
