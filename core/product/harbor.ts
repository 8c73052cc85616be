import { createHash } from "node:crypto";
import type { CacheRuleObject } from "../../crds/index.ts";
import { quantity } from "../cacheregistry/quantity.ts";
import { shownHost } from "../cacheregistry/upstream.ts";
import type { RuleMapping } from "../cacherule/mapping.ts";
import { formatTarget } from "../cacherule/pattern.ts";
import type { Difference } from "./step.ts";

/** What Harbor's API calls the settings of a proxy cache project that Entrepot declares; every value is a string there. */
export const PROJECT_METADATA = [
  "public",
  "proxy_speed_kb",
  "max_upstream_conn",
  "proxy_cache_local_on_not_found",
] as const;
export type MetadataKey = (typeof PROJECT_METADATA)[number];

/** Harbor's word for "no limit", in metadata and in quotas. */
export const UNLIMITED = -1;

/** A proxy cache project as a rule declares it. */
export interface DesiredProject {
  readonly name: string;
  readonly metadata: Readonly<Record<MetadataKey, string>>;
  /** Bytes, or `UNLIMITED`. */
  readonly storage: number;
}

/** A project as Harbor has it. */
export interface FoundProject {
  readonly id: number;
  readonly name: string;
  readonly createdAt: string;
  /** The registry endpoint behind it; 0 for a project that is no proxy cache. */
  readonly registryId: number;
  readonly repositories: number;
  readonly metadata: Readonly<Record<string, unknown>>;
}

/** Why Harbor can't serve a rule as it is written. */
export interface HarborRefusal {
  readonly reason: "UnsupportedShape" | "InvalidSpec";
  readonly message: string;
}

const PROJECT_NAME = /^[a-z0-9]+(?:[._-][a-z0-9]+)*$/; // src/pkg/project/manager.go
const PROJECT_NAME_LIMIT = 255;
const STORAGE_LIMIT = 2n ** 50n; // 1024 TB: src/lib/quota_storage_limit.go
const NANO = 1_000_000_000n;

/** The name of the project that a rule becomes: the first component of what is pulled, so the target decides it. */
export function projectName(mapping: Pick<RuleMapping, "target">): string {
  return mapping.target.path;
}

function shapeProblem({ source, target }: RuleMapping): string | undefined {
  const written = formatTarget(target);
  if (source.path !== "" || !source.wildcard) {
    const host = shownHost(source.host);
    return `a proxy cache project of Harbor is for a whole upstream: write source ${host}/* and target ${written.replace(/\/.*$/, "")}/*`;
  }
  if (target.path === "") return "Harbor serves a cache below a project: write target <project>/*";
  if (target.path.includes("/"))
    return `a project of Harbor has no slash in its name: write target ${target.path.replaceAll("/", "-")}/*`;
  return undefined;
}

/** Whether Harbor can serve a rule: `host/*` as `<project>/*`, with settings that it takes. */
export function judgeHarborRule(mapping: RuleMapping, spec: CacheRuleObject["spec"]): HarborRefusal | undefined {
  const shape = shapeProblem(mapping);
  if (shape !== undefined) return { reason: "UnsupportedShape", message: shape };
  const name = projectName(mapping);
  if (!PROJECT_NAME.test(name) || name.length > PROJECT_NAME_LIMIT) {
    const message = `"${name}" can't be the name of a Harbor project: use at most ${PROJECT_NAME_LIMIT} small letters and digits, with single dots, dashes or underscores between them`;
    return { reason: "UnsupportedShape", message };
  }
  const limit = spec.options?.harbor?.storageLimit;
  return limit === undefined || storageBytes(limit) !== undefined
    ? undefined
    : {
        reason: "InvalidSpec",
        message: `storageLimit "${limit}" is none that Harbor takes: write e.g. 100Gi, at most 1Pi`,
      };
}

/** A quantity in whole bytes, rounded up; undefined for what Harbor does not take. */
export function storageBytes(text: string): number | undefined {
  const nano = quantity(text);
  if (nano === undefined) return undefined;
  const bytes = (nano + NANO - 1n) / NANO;
  return bytes > 0n && bytes <= STORAGE_LIMIT ? Number(bytes) : undefined;
}

/** The project that a rule (which was judged) declares. What is absent is Harbor's own default: private, unlimited. */
export function desiredProject(mapping: RuleMapping, spec: CacheRuleObject["spec"]): DesiredProject {
  const {
    public: isPublic,
    bandwidthKbps,
    maxUpstreamConnections,
    serveWhenUpstreamMissing,
    storageLimit,
  } = spec.options?.harbor ?? {};
  return {
    name: projectName(mapping),
    metadata: {
      public: String(isPublic ?? false),
      proxy_speed_kb: String(bandwidthKbps ?? UNLIMITED),
      max_upstream_conn: String(maxUpstreamConnections ?? UNLIMITED),
      proxy_cache_local_on_not_found: String(serveWhenUpstreamMissing ?? false),
    },
    storage: (storageLimit === undefined ? undefined : storageBytes(storageLimit)) ?? UNLIMITED,
  };
}

/**
 * What a setting means, in one spelling. Harbor leaves out what was never set, reads flags as Go's `strconv.ParseBool` does, and takes
 * every number below 1 for no limit (src/pkg/project/models/project.go).
 */
export function normaliseMetadata(key: MetadataKey, value: unknown): string {
  const text = typeof value === "string" ? value.trim().toLowerCase() : "";
  if (key === "public" || key === "proxy_cache_local_on_not_found")
    return String(text === "true" || text === "1" || text === "t");
  const number = /^[+-]?[0-9]{1,10}$/.test(text) ? Number(text) : UNLIMITED;
  return String(number < 1 ? UNLIMITED : number);
}

/** The settings that are not as declared. */
export function metadataDifferences(desired: DesiredProject, found: FoundProject): readonly MetadataKey[] {
  return PROJECT_METADATA.filter((key) => normaliseMetadata(key, found.metadata[key]) !== desired.metadata[key]);
}

/**
 * In what a project differs from what a rule declares. `endpointId` is the id of the registry's endpoint for the upstream, `storage`
 * the hard limit of the project's quota in bytes (`UNLIMITED` where it has none); each undefined when it is not known, which is not
 * a difference for `storage`. Harbor never changes the endpoint of a project.
 */
export function projectDifferences(
  desired: DesiredProject,
  found: FoundProject,
  endpointId: number | undefined,
  storage: number | undefined,
): readonly Difference[] {
  const differences: Difference[] = metadataDifferences(desired, found).map((field) => ({ field, correctable: true }));
  if (found.registryId !== endpointId) differences.push({ field: "registry_id", correctable: false });
  const limit = storage !== undefined && storage < 1 ? UNLIMITED : storage;
  if (limit !== undefined && limit !== desired.storage) differences.push({ field: "storage_limit", correctable: true });
  return differences;
}

/** A time as Harbor writes it, in one spelling, so that it stays the same when Harbor changes how many digits it shows. */
export function normaliseTime(text: string): string {
  const at = Date.parse(text);
  return Number.isNaN(at) ? text : new Date(at).toISOString();
}

/** Eight hex digits that keep shortened names apart. */
export function shortHash(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 8);
}
