import { shownHost } from "../cacheregistry/upstream.ts";
import { normaliseHost } from "../image/reference.ts";
import {
  MANAGER,
  MARK,
  type RepositoryCredentials,
  type RepositoryUpstream,
  type WantedRepository,
} from "./artifactregistry.ts";
import { type CleanupPolicy, cleanupFingerprint } from "./artifactregistry-cleanup.ts";
import type { Difference, RemoteRule } from "./step.ts";

/** A repository as Artifact Registry has it. What it did not say is absent or empty. */
export interface FoundRepository {
  readonly createdAt?: string;
  readonly format?: string;
  readonly mode?: string;
  readonly description: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly kmsKeyName: string;
  /** Absent when it has none that could be read, or one of another package format. */
  readonly upstream?: RepositoryUpstream;
  readonly credentials?: RepositoryCredentials;
  /** Its images are passed through and not kept. */
  readonly noCache: boolean;
  readonly cleanupPolicies: readonly CleanupPolicy[];
  readonly cleanupPolicyDryRun: boolean;
}

/** What can be changed in place, by its path in an update mask. */
export const MUTABLE = {
  description: "description",
  labels: "labels",
  cleanupPolicies: "cleanupPolicies",
  cleanupPolicyDryRun: "cleanupPolicyDryRun",
  credentials: "remoteRepositoryConfig.upstreamCredentials",
} as const;

/**
 * One spelling of an upstream: `docker.io`, `https://host[:port][/path]`, or `projects/…` for a repository of Artifact Registry, however
 * it was given when the repository was made.
 */
export function upstreamKey(upstream: RepositoryUpstream): string {
  if (upstream.kind === "dockerHub") return "docker.io";
  const uri = upstream.uri.trim().replace(/\/+$/, "");
  if (uri.startsWith("projects/")) return uri;
  const [, host = "", path = ""] = /^https:\/\/([^/]+)(\/.*)?$/i.exec(uri) ?? [];
  if (host === "") return uri;
  const shown = shownHost(normaliseHost(host.replace(/:443$/, "")));
  if (shown === "docker.io" && path === "") return "docker.io";
  const [, location, project, repository] =
    /^([a-z0-9-]+)-docker\.pkg\.dev\/([^/]+)\/([^/]+)$/.exec(`${shown}${path}`) ?? [];
  if (location === undefined) return `https://${shown}${path}`;
  return `projects/${project}/locations/${location}/repositories/${repository}`;
}

/** Whether an enum says `wanted`: in any case, and a server that leaves it out or unspecified says nothing to the contrary. */
function saysOtherThan(stated: string | undefined, wanted: string): boolean {
  const found = (stated ?? "").toUpperCase();
  return found !== "" && found !== wanted && !found.endsWith("_UNSPECIFIED");
}

/** Google names a project by its id or by its number: where the two sides differ in that, they can't be told apart. */
export function sameSecretVersion(a: string, b: string): boolean {
  const [, projectA = "", restA = ""] = /^projects\/([^/]+)(\/.*)$/.exec(a) ?? [];
  const [, projectB = "", restB = ""] = /^projects\/([^/]+)(\/.*)$/.exec(b) ?? [];
  if (restA === "" || restB === "") return a === b;
  return restA === restB && (projectA === projectB || /^[0-9]+$/.test(projectA) !== /^[0-9]+$/.test(projectB));
}

function sameCredentials(a: RepositoryCredentials | undefined, b: RepositoryCredentials | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.username === b.username && sameSecretVersion(a.passwordSecretVersion, b.passwordSecretVersion);
}

/** Answers may leave credentials out; then the label says which were set. */
function hasCredentials(wanted: WantedRepository, found: FoundRepository): boolean {
  if (found.credentials !== undefined) return sameCredentials(wanted.credentials, found.credentials);
  return wanted.mark[MARK.credentials] === found.labels[MARK.credentials];
}

function fixedDifferences(wanted: WantedRepository, found: FoundRepository): readonly string[] {
  return [
    ...(saysOtherThan(found.format, "DOCKER") ? ["format"] : []),
    ...(saysOtherThan(found.mode, "REMOTE_REPOSITORY") ? ["mode"] : []),
    ...(found.upstream === undefined || upstreamKey(found.upstream) !== upstreamKey(wanted.upstream)
      ? ["remoteRepositoryConfig"]
      : []),
    ...(found.noCache ? ["remoteRepositoryConfig.noCache"] : []),
    ...(wanted.kmsKeyName !== undefined && wanted.kmsKeyName !== found.kmsKeyName ? ["kmsKeyName"] : []),
  ];
}

function mutableDifferences(wanted: WantedRepository, found: FoundRepository): readonly string[] {
  const { description, labels, cleanupPolicies } = wanted;
  return [
    ...(description !== undefined && description !== found.description ? [MUTABLE.description] : []),
    ...(Object.entries(labels).some(([key, value]) => found.labels[key] !== value) ? [MUTABLE.labels] : []),
    ...(hasCredentials(wanted, found) ? [] : [MUTABLE.credentials]),
    ...(cleanupPolicies !== undefined &&
    cleanupFingerprint(cleanupPolicies) !== cleanupFingerprint(found.cleanupPolicies)
      ? [MUTABLE.cleanupPolicies]
      : []),
    ...(cleanupPolicies !== undefined && found.cleanupPolicyDryRun ? [MUTABLE.cleanupPolicyDryRun] : []),
  ];
}

/**
 * Whose mark a repository carries: this rule's, another's (another rule's of Entrepot, or another tool's `managed-by`), or none. With
 * `managed-by: entrepot` and no owner nothing is said.
 */
export function markOf(wanted: WantedRepository, labels: FoundRepository["labels"]): RemoteRule["mark"] {
  const manager = labels[MARK.managedBy];
  const owner = labels[MARK.owner];
  if (manager === undefined || manager === "") return undefined;
  if (manager !== MANAGER) return "foreign";
  if (owner === undefined) return undefined;
  return owner === wanted.mark[MARK.owner] ? "ours" : "foreign";
}

/** A repository compared with what a rule asks for. `disableUpstreamValidation` is never returned and never compared. */
export function compareRepository(id: string, wanted: WantedRepository, found: FoundRepository): RemoteRule {
  const mark = markOf(wanted, found.labels);
  const difference =
    (correctable: boolean) =>
    (field: string): Difference => ({ field, correctable });
  return {
    id,
    differences: [
      ...fixedDifferences(wanted, found).map(difference(false)),
      ...mutableDifferences(wanted, found).map(difference(true)),
    ],
    state: "settled",
    ...(found.createdAt !== undefined && { createdAt: found.createdAt }),
    ...(mark && { mark }),
  };
}
