import type { protos } from "@google-cloud/artifact-registry";
import { MARK, type RepositoryUpstream, type WantedRepository } from "../../core/product/artifactregistry.ts";
import type { CleanupPolicy } from "../../core/product/artifactregistry-cleanup.ts";
import { type FoundRepository, MUTABLE } from "../../core/product/artifactregistry-compare.ts";

/** A repository in the SDK's messages. */
export type RepositoryMessage = protos.google.devtools.artifactregistry.v1.IRepository;
type RemoteMessage = NonNullable<RepositoryMessage["remoteRepositoryConfig"]>;
type PolicyMessage = protos.google.devtools.artifactregistry.v1.ICleanupPolicy;
type Seconds = protos.google.protobuf.IDuration | protos.google.protobuf.ITimestamp;

/** An enum's name; a number that the SDK has no name for is some other value than any that is known. */
function nameOf(value: string | number | null | undefined): string {
  return typeof value === "number" ? `VALUE_${value}` : (value ?? "");
}

function secondsOf(value: Seconds): number {
  return Number(String(value.seconds ?? 0)) + (value.nanos ?? 0) / 1e9;
}

function durationOf(seconds: number): { seconds: number; nanos: number } {
  const whole = Math.floor(seconds);
  return { seconds: whole, nanos: Math.round((seconds - whole) * 1e9) };
}

function upstreamOf(remote: RemoteMessage): RepositoryUpstream | undefined {
  const { dockerRepository, commonRepository } = remote;
  if (nameOf(dockerRepository?.publicRepository) === "DOCKER_HUB") return { kind: "dockerHub" };
  const custom = dockerRepository?.customRepository?.uri;
  if (custom) return { kind: "custom", uri: custom };
  return commonRepository?.uri ? { kind: "common", uri: commonRepository.uri } : undefined;
}

function foundPolicy(key: string, { id, action, condition, mostRecentVersions }: PolicyMessage): CleanupPolicy {
  const head = { id: id || key, action: nameOf(action) };
  if (mostRecentVersions) {
    const { keepCount, packageNamePrefixes } = mostRecentVersions;
    return { ...head, mostRecent: { keepCount: keepCount ?? 0, packageNamePrefixes: packageNamePrefixes ?? [] } };
  }
  return {
    ...head,
    condition: {
      tagState: nameOf(condition?.tagState),
      tagPrefixes: condition?.tagPrefixes ?? [],
      versionNamePrefixes: condition?.versionNamePrefixes ?? [],
      packageNamePrefixes: condition?.packageNamePrefixes ?? [],
      ...(condition?.olderThan && { olderThan: secondsOf(condition.olderThan) }),
      ...(condition?.newerThan && { newerThan: secondsOf(condition.newerThan) }),
    },
  };
}

/** A repository as the SDK read it. `noCache` is told apart, for the SDK's protobufs do not have it. */
export function foundRepository(message: RepositoryMessage, noCache: boolean): FoundRepository {
  const remote = message.remoteRepositoryConfig ?? {};
  const upstream = upstreamOf(remote);
  const credentials = remote.upstreamCredentials?.usernamePasswordCredentials;
  return {
    format: nameOf(message.format),
    mode: nameOf(message.mode),
    description: message.description ?? "",
    labels: message.labels ?? {},
    kmsKeyName: message.kmsKeyName ?? "",
    noCache,
    cleanupPolicies: Object.entries(message.cleanupPolicies ?? {}).map(([key, policy]) => foundPolicy(key, policy)),
    cleanupPolicyDryRun: message.cleanupPolicyDryRun === true,
    ...(message.createTime && { createdAt: new Date(secondsOf(message.createTime) * 1_000).toISOString() }),
    ...(upstream && { upstream }),
    ...(credentials && {
      credentials: {
        username: credentials.username ?? "",
        passwordSecretVersion: credentials.passwordSecretVersion ?? "",
      },
    }),
  };
}

function policyMessage({ id, action, condition, mostRecent }: CleanupPolicy): PolicyMessage {
  const head = { id, action: action as "DELETE" | "KEEP" };
  if (mostRecent !== undefined) return { ...head, mostRecentVersions: { keepCount: mostRecent.keepCount } };
  const { tagState, tagPrefixes, olderThan, newerThan } = condition ?? { tagState: "ANY", tagPrefixes: [] };
  return {
    ...head,
    condition: {
      tagState: tagState as "ANY" | "TAGGED" | "UNTAGGED",
      ...(tagPrefixes.length > 0 && { tagPrefixes: [...tagPrefixes] }),
      ...(olderThan !== undefined && { olderThan: durationOf(olderThan) }),
      ...(newerThan !== undefined && { newerThan: durationOf(newerThan) }),
    },
  };
}

function policyMessages(policies: readonly CleanupPolicy[]): Record<string, PolicyMessage> {
  return Object.fromEntries(policies.map((policy) => [policy.id, policyMessage(policy)]));
}

function upstreamMessage(upstream: RepositoryUpstream): RemoteMessage {
  switch (upstream.kind) {
    case "dockerHub":
      return { dockerRepository: { publicRepository: "DOCKER_HUB" } };
    case "custom":
      return { dockerRepository: { customRepository: { uri: upstream.uri } } };
    case "common":
      return { commonRepository: { uri: upstream.uri } };
  }
}

function credentialsMessage({ credentials }: WantedRepository): RemoteMessage {
  return credentials === undefined ? {} : { upstreamCredentials: { usernamePasswordCredentials: { ...credentials } } };
}

/** The repository to create. */
export function newRepository(wanted: WantedRepository): RepositoryMessage {
  const { upstream, labels, mark, description, kmsKeyName, cleanupPolicies } = wanted;
  return {
    format: "DOCKER",
    mode: "REMOTE_REPOSITORY",
    labels: { ...labels, ...mark },
    remoteRepositoryConfig: { ...upstreamMessage(upstream), ...credentialsMessage(wanted) },
    ...(description !== undefined && { description }),
    ...(kmsKeyName !== undefined && { kmsKeyName }),
    ...(cleanupPolicies && { cleanupPolicies: policyMessages(cleanupPolicies) }),
  };
}

function changedLabels(wanted: WantedRepository, found: FoundRepository): Readonly<Record<string, string>> {
  const { [MARK.credentials]: _old, ...others } = found.labels;
  const credentials = wanted.mark[MARK.credentials];
  return { ...others, ...wanted.labels, ...(credentials !== undefined && { [MARK.credentials]: credentials }) };
}

/** The fields to change for `fields`: with credentials goes the label that names them. */
export function changedFields(fields: readonly string[]): readonly string[] {
  return fields.includes(MUTABLE.credentials) ? [...new Set([...fields, MUTABLE.labels])] : fields;
}

/** What a PATCH of `fields` (paths of an update mask) sends. Labels of others stay: a mask replaces the whole map. */
export function changedRepository(
  name: string,
  wanted: WantedRepository,
  found: FoundRepository,
  fields: readonly string[],
): RepositoryMessage {
  const has = (field: string): boolean => fields.includes(field);
  return {
    name,
    ...(has(MUTABLE.description) && { description: wanted.description ?? "" }),
    ...(has(MUTABLE.labels) && { labels: changedLabels(wanted, found) }),
    ...(has(MUTABLE.cleanupPolicies) && { cleanupPolicies: policyMessages(wanted.cleanupPolicies ?? []) }),
    ...(has(MUTABLE.cleanupPolicyDryRun) && { cleanupPolicyDryRun: false }),
    ...(has(MUTABLE.credentials) && { remoteRepositoryConfig: credentialsMessage(wanted) }),
  };
}
