import { createHash } from "node:crypto";
import type { CacheRegistrySpec, CacheRuleObject, Upstream } from "../../crds/index.ts";
import { shownHost } from "../cacheregistry/upstream.ts";
import type { RuleMapping } from "../cacherule/mapping.ts";
import { formatTarget, type RulePattern } from "../cacherule/pattern.ts";
import { type CleanupPolicy, cleanupPolicy, cleanupPolicyProblem } from "./artifactregistry-cleanup.ts";

/** The block of a CacheRegistry that says which project and location it is. */
export type ArtifactRegistryBlock = NonNullable<CacheRegistrySpec["artifactRegistry"]>;
type Options = NonNullable<NonNullable<CacheRuleObject["spec"]["options"]>["artifactRegistry"]>;

/** Where a remote repository reads: Docker Hub (the one upstream that has a name), any other registry, another repository of Artifact Registry. */
export type RepositoryUpstream =
  | { readonly kind: "dockerHub" }
  | { readonly kind: "custom"; readonly uri: string }
  | { readonly kind: "common"; readonly uri: string };

/** A user name, and the Secret Manager version with the password, as Artifact Registry takes them. */
export interface RepositoryCredentials {
  readonly username: string;
  readonly passwordSecretVersion: string;
}

/** The remote repository that a rule asks for. What is absent is not asked for and not compared. */
export interface WantedRepository {
  readonly upstream: RepositoryUpstream;
  readonly credentials?: RepositoryCredentials;
  /** Of the rule's author; the mark is beside them. */
  readonly labels: Readonly<Record<string, string>>;
  /** The labels that say whose the repository is. */
  readonly mark: Readonly<Record<string, string>>;
  readonly description?: string;
  readonly kmsKeyName?: string;
  readonly cleanupPolicies?: readonly CleanupPolicy[];
}

/** Labels. `credentials` names the upstream credentials that were set: whether an answer ever has them is not documented. */
export const MARK = {
  managedBy: "managed-by",
  owner: "cacherule-uid",
  credentials: "cacherule-credentials",
} as const;
export const MANAGER = "entrepot";

/** What can't be served as it is written; as `Refusal` of the operator's providers. */
export interface ArtifactRegistryRefusal {
  readonly reason: "UnsupportedShape" | "UnsupportedUpstream" | "InvalidSpec";
  readonly message: string;
}

/** Lower-case letters, digits and hyphens, a letter first and no hyphen last, at most 63: what gcloud and the console say. */
const REPOSITORY_ID = /^[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const PROJECT_ID = /^[a-z][a-z0-9-]{4,28}[a-z0-9]$/;
const REPOSITORY_HOST = /^([a-z0-9-]+)-docker\.pkg\.dev$/;
// "Label keys … must begin with a lowercase letter and may only contain lowercase letters, numeric characters, underscores, and dashes".
const LABEL_KEY = /^[\p{Ll}\p{Lo}][\p{Ll}\p{Lo}\p{N}_-]{0,62}$/u;
const LABEL_VALUE = /^[\p{Ll}\p{Lo}\p{N}_-]{0,63}$/u;

/** `projects/<project>/locations/<location>`: what repositories are in. */
export function repositoryParent(block: ArtifactRegistryBlock): string {
  return `projects/${block.project}/locations/${block.location}`;
}

/** The resource name of a rule's repository: its id is the target's one path component, because pulls name it. */
export function repositoryName(block: ArtifactRegistryBlock, { target }: RuleMapping): string {
  return `${repositoryParent(block)}/repositories/${target.path}`;
}

/** `<location>-docker.pkg.dev/<project>`; of a project of an organisation's own domain (`example.com:it`) `…/example.com/it`. */
export function artifactRegistryPullHost(block: ArtifactRegistryBlock): string {
  return `${block.location}-docker.pkg.dev/${block.project.replace(":", "/")}`;
}

/** The upstream of a rule's repository, or undefined for a source that no remote repository can have. */
export function repositoryUpstream(source: RulePattern): RepositoryUpstream | undefined {
  if (!source.wildcard) return undefined;
  const location = REPOSITORY_HOST.exec(source.host)?.[1];
  if (location !== undefined) {
    const [project = "", repository = "", ...more] = source.path.split("/");
    if (more.length > 0 || !PROJECT_ID.test(project) || !REPOSITORY_ID.test(repository)) return undefined;
    return { kind: "common", uri: `projects/${project}/locations/${location}/repositories/${repository}` };
  }
  if (source.path !== "") return undefined;
  const host = shownHost(source.host);
  return host === "docker.io" ? { kind: "dockerHub" } : { kind: "custom", uri: `https://${host}` };
}

function shapeProblem({ source, target }: RuleMapping): ArtifactRegistryRefusal | undefined {
  const host = shownHost(source.host);
  const refuse = (reason: ArtifactRegistryRefusal["reason"], message: string): ArtifactRegistryRefusal => ({
    reason,
    message,
  });
  const component = target.path.split("/")[0] ?? "";
  const name = REPOSITORY_ID.test(component) ? component : "mirror";
  if (REPOSITORY_HOST.test(source.host)) {
    if (repositoryUpstream(source) === undefined)
      return refuse(
        "UnsupportedUpstream",
        `Artifact Registry reads another Artifact Registry repository by repository: write source: ${host}/<project>/<repository>/* and target: ${name}/*`,
      );
  } else if (!source.wildcard || source.path !== "") {
    const why = source.wildcard ? "has no filter by path" : "does not serve single images";
    return refuse(
      "UnsupportedShape",
      `a remote repository of Artifact Registry mirrors a whole registry and ${why}: write source: ${host}/* and target: ${name}/*`,
    );
  }
  if (!target.wildcard || target.path === "" || target.path.includes("/"))
    return refuse(
      "UnsupportedShape",
      `a remote repository is one path component of Artifact Registry and "${formatTarget(target)}" is not: write target: ${name}/*`,
    );
  if (!REPOSITORY_ID.test(target.path))
    return refuse(
      "InvalidSpec",
      `"${target.path}" can't be the name of a repository in Artifact Registry: use at most 63 lower-case letters, digits and hyphens, a letter first and no hyphen last`,
    );
  return undefined;
}

function optionsProblem(options: Options): string | undefined {
  for (const [key, value] of Object.entries(options.labels ?? {})) {
    if (Object.values<string>(MARK).includes(key))
      return `options.artifactRegistry.labels: "${key}" is Entrepot's own mark; choose another name`;
    if (!LABEL_KEY.test(key) || !LABEL_VALUE.test(value))
      return `options.artifactRegistry.labels: "${key}: ${value}" is no label of Google Cloud: use lower-case letters, digits, _ and -, a letter first in the key, at most 63 of them`;
  }
  return (options.cleanupPolicies ?? []).map(cleanupPolicyProblem).find((problem) => problem !== undefined);
}

/** Whether a rule can be a remote repository, and if not, what to write instead. */
export function judgeArtifactRegistry(
  rule: Pick<CacheRuleObject, "spec">,
  mapping: RuleMapping,
): ArtifactRegistryRefusal | undefined {
  const shape = shapeProblem(mapping);
  if (shape !== undefined) return shape;
  const { options = {} } = rule.spec;
  const problem = optionsProblem(options.artifactRegistry ?? {});
  return problem === undefined ? undefined : { reason: "InvalidSpec", message: problem };
}

/** Names credentials by what they refer to: a user and the path of a secret, neither of which is one. */
function credentialsMark({ username, passwordSecretVersion }: RepositoryCredentials): string {
  return createHash("sha256")
    .update(JSON.stringify([username, passwordSecretVersion]))
    .digest("hex")
    .slice(0, 16);
}

/** The repository that a rule asks for. The rule was judged before. */
export function wantedRepository(
  rule: Pick<CacheRuleObject, "spec" | "metadata">,
  { source }: RuleMapping,
  entry: Upstream | undefined,
): WantedRepository {
  const upstream = repositoryUpstream(source);
  if (upstream === undefined) throw new Error(`${rule.spec.source} is no source of a remote repository`);
  const { description, kmsKeyName, labels = {}, cleanupPolicies } = rule.spec.options?.artifactRegistry ?? {};
  const credentials = entry?.credentials?.secretManagerVersion;
  return {
    upstream,
    labels,
    mark: {
      [MARK.managedBy]: MANAGER,
      [MARK.owner]: rule.metadata.uid,
      ...(credentials && { [MARK.credentials]: credentialsMark(credentials) }),
    },
    ...(credentials && { credentials }),
    ...(description !== undefined && { description }),
    ...(kmsKeyName !== undefined && { kmsKeyName }),
    ...(cleanupPolicies && { cleanupPolicies: cleanupPolicies.map(cleanupPolicy) }),
  };
}
