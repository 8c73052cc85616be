import { createHash } from "node:crypto";
import { fieldsOf, parseJson } from "../json.ts";
import type { ResolvedPolicy } from "./sources.ts";

/** `ResolvedPolicy` with what only its writer uses. */
export interface Resolution extends ResolvedPolicy {
  /** When each value was fetched that is there now (RFC 3339), by KMS URI or sha256sum. A refresh that brings the same moves nothing. */
  readonly fetchedAt: Readonly<Record<string, string>>;
}

/** On the ConfigMap of a policy: the policy's UID. */
export const RESOLVED_LABEL = "entrepot.dev/resolved-policy";

/** The key of the ConfigMap's data. */
export const RESOLVED_FIELD = "resolved.json";

/** Bytes of `resolved.json`: the data of a ConfigMap is 1 MiB at most (k8s.io/kubernetes validation, MaxSecretSize). */
export const RESOLVED_LIMIT = 1_048_000;

/** The ConfigMap of the system namespace that holds what was resolved for the policy with this UID. */
export function resolvedName(policyUid: string): string {
  return `policy-resolved-${policyUid}`;
}

/** The labels of that ConfigMap. */
export function resolvedLabels(policyUid: string): Readonly<Record<string, string>> {
  return {
    "app.kubernetes.io/name": "entrepot",
    "app.kubernetes.io/managed-by": "entrepot",
    [RESOLVED_LABEL]: policyUid,
  };
}

/** The sha256 of a text in UTF-8, as `sha256sum` writes it. */
export function sha256sum(text: string): string {
  return createHash("sha256").update(text, "utf8").digest("hex");
}

/** `resolved.json`: equal resolutions give equal bytes. */
export function writeResolved({ generation, keys, documents, problems, fetchedAt }: Resolution): string {
  const parts = Object.entries({ keys, documents, problems, fetchedAt });
  return JSON.stringify({ generation, ...Object.fromEntries(parts.map(([name, part]) => [name, sorted(part)])) });
}

function sorted(part: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/**
 * Reads `resolved.json`; undefined for no text, for more than `RESOLVED_LIMIT` bytes and for what is no resolution. A document that has not
 * the sum under which it is filed is left out: it is not what was fetched.
 */
export function readResolved(text: string | undefined): Resolution | undefined {
  if (text === undefined || Buffer.byteLength(text) > RESOLVED_LIMIT) return undefined;
  const { generation, keys, documents, problems, fetchedAt } = fieldsOf(parseJson(text)) ?? {};
  if (typeof generation !== "number" || !Number.isSafeInteger(generation)) return undefined;
  const bodies = Object.entries(texts(documents)).filter(([sum, body]) => sha256sum(body) === sum);
  return {
    generation,
    keys: texts(keys),
    documents: Object.fromEntries(bodies),
    problems: texts(problems),
    fetchedAt: texts(fetchedAt),
  };
}

function texts(value: unknown): Readonly<Record<string, string>> {
  const entries = Object.entries(fieldsOf(value) ?? {});
  return Object.fromEntries(entries.filter((entry): entry is [string, string] => typeof entry[1] === "string"));
}
