import { dump, FAILSAFE_SCHEMA, load } from "js-yaml";
import { type Digest, isDigest } from "../image/reference.ts";
import { canonicalJson, fieldsOf } from "../json.ts";
import type { AuthorityMatches } from "../policy/types.ts";
import { matchesOf } from "./matches.ts";

/** Where the sealed records stand on an object; the name is the published one, which users' scripts read. */
export const CACHE_ANNOTATION = "clusterimagepolicies.chainguard.dev/cache";

/** What was established about one digest under one compiled policy (design D1, D2). Facts only: no verdict about an object. */
export interface VerificationRecord {
  readonly policyName: string;
  readonly policyUid: string;
  readonly resourceVersion: string;
  /** Hash of the compiled policy under which the facts hold. */
  readonly policyHash: string;
  /** Namespace whose credentials were used, where the policy names its own (`signaturePullSecrets`). */
  readonly scope?: string;
  /** Seconds since the epoch. A hit never moves them. */
  readonly issued: number;
  readonly expires: number;
  /** What the authorities established, by name. */
  readonly authorities: AuthorityMatches;
  /** The image's configurations by platform, as JSON, where `spec.policy` judges them. */
  readonly config?: string;
}

/** The contents of one annotation. */
export interface SealedRecords {
  readonly cluster: string;
  readonly epoch: string;
  /** By `registry/repository@digest`, then by policy UID. */
  readonly records: ReadonlyMap<string, ReadonlyMap<string, VerificationRecord>>;
  /** `registry/repository:tag` → the digest that was verified for it. */
  readonly pins: ReadonlyMap<string, Digest>;
}

/** Names what records say, far cheaper than writing them: the Pods of a ReplicaSet all get the same. What was found is not in it, since one policy finds one thing in one second. */
export function contentsKey({ cluster, epoch, records, pins }: SealedRecords): string {
  const entries = [...records].flatMap(([image, byPolicy]) =>
    [...byPolicy.values()].map(({ policyUid, policyHash, scope, issued, expires }) =>
      [image, policyUid, policyHash, scope ?? "", issued, expires].join(" "),
    ),
  );
  const pinned = [...pins].map(([tag, digest]) => `${tag} ${digest}`);
  return [cluster, epoch, ...entries.sort(), ...pinned.sort()].join("\n");
}

const FORMAT = "2";

const instant = (seconds: number) => `${new Date(seconds * 1000).toISOString().slice(0, 19)}Z`;

function recordYaml(record: VerificationRecord): object {
  return {
    name: record.policyName,
    resourceversion: record.resourceVersion,
    policy: record.policyHash,
    ...(record.scope !== undefined && { scope: record.scope }),
    issued: instant(record.issued),
    expires: instant(record.expires),
    authorities: record.authorities,
    ...(record.config !== undefined && { config: record.config }),
  };
}

/**
 * The records as YAML of the published shape (`records:` by image, then policy UID), ended by a newline. Canonical: keys sorted,
 * no folding, no anchors, so that the same records give the same bytes.
 */
export function writeRecords(sealed: SealedRecords): string {
  const records = Object.fromEntries(
    [...sealed.records].map(([image, byPolicy]) => [
      image,
      Object.fromEntries([...byPolicy].map(([uid, record]) => [uid, recordYaml(record)])),
    ]),
  );
  const document = {
    entrepot: { cluster: sealed.cluster, epoch: sealed.epoch, version: FORMAT },
    records,
    ...(sealed.pins.size > 0 && { pins: Object.fromEntries(sealed.pins) }),
  };
  return dump(JSON.parse(canonicalJson(document)), { lineWidth: -1, noRefs: true, quoteStyle: "double" });
}

const textOf = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined);

function instantOf(value: unknown): number | undefined {
  const milliseconds = typeof value === "string" ? Date.parse(value) : Number.NaN;
  return Number.isNaN(milliseconds) ? undefined : milliseconds / 1000;
}

function recordOf(policyUid: string, value: unknown): VerificationRecord | undefined {
  const fields = fieldsOf(value);
  const policyName = textOf(fields?.["name"]);
  const resourceVersion = textOf(fields?.["resourceversion"]);
  const policyHash = textOf(fields?.["policy"]);
  const scope = textOf(fields?.["scope"]);
  const issued = instantOf(fields?.["issued"]);
  const expires = instantOf(fields?.["expires"]);
  const authorities = matchesOf(fields?.["authorities"]);
  const config = textOf(fields?.["config"]);
  if (policyName === undefined || resourceVersion === undefined || policyHash === undefined) return undefined;
  if (issued === undefined || expires === undefined || authorities === undefined) return undefined;
  return {
    policyName,
    policyUid,
    resourceVersion,
    policyHash,
    issued,
    expires,
    authorities,
    ...(scope !== undefined && { scope }),
    ...(config !== undefined && { config }),
  };
}

function recordsOf(value: unknown): SealedRecords["records"] | undefined {
  const images = fieldsOf(value);
  if (images === undefined) return undefined;
  const result = new Map<string, Map<string, VerificationRecord>>();
  for (const [image, byPolicy] of Object.entries(images)) {
    const policies = fieldsOf(byPolicy);
    if (policies === undefined) return undefined;
    const records = new Map<string, VerificationRecord>();
    for (const [uid, raw] of Object.entries(policies)) {
      const record = recordOf(uid, raw);
      if (record === undefined) return undefined;
      records.set(uid, record);
    }
    result.set(image, records);
  }
  return result;
}

function pinsOf(value: unknown): SealedRecords["pins"] | undefined {
  if (value === undefined) return new Map();
  const fields = fieldsOf(value);
  if (fields === undefined) return undefined;
  const pins = new Map<string, Digest>();
  for (const [tag, digest] of Object.entries(fields)) {
    if (typeof digest !== "string" || !isDigest(digest)) return undefined;
    pins.set(tag, digest);
  }
  return pins;
}

/**
 * Reads what `writeRecords` wrote; undefined for anything else, another format version included. Call it on text whose seal has
 * been verified, never before.
 */
export function readRecords(text: string): SealedRecords | undefined {
  let document: unknown;
  try {
    document = load(text, { schema: FAILSAFE_SCHEMA, maxAliases: 0, maxDepth: 16 });
  } catch {
    return undefined;
  }
  const fields = fieldsOf(document);
  const header = fieldsOf(fields?.["entrepot"]);
  const cluster = textOf(header?.["cluster"]);
  const epoch = textOf(header?.["epoch"]);
  const records = recordsOf(fields?.["records"]);
  const pins = pinsOf(fields?.["pins"]);
  if (header?.["version"] !== FORMAT || cluster === undefined || epoch === undefined) return undefined;
  if (records === undefined || pins === undefined) return undefined;
  return { cluster, epoch, records, pins };
}
