import { shownHost } from "../cacheregistry/upstream.ts";
import { type EcrRequest, ecrCredentials, ecrEntry } from "./ecr.ts";
import { templateProblem } from "./ecr-template.ts";
import { ECR_UPSTREAMS, type EcrUpstream, ecrUpstream } from "./ecr-upstream.ts";

/** Why ECR can't serve a rule as it is written. */
export interface EcrRefusal {
  readonly reason: "UnsupportedShape" | "UnsupportedUpstream" | "InvalidSpec";
  readonly message: string;
}

type Check = (request: EcrRequest, upstream: EcrUpstream) => EcrRefusal | undefined;

const SHORTEST = 2;
const LONGEST = 30; // PullThroughCacheRuleRepositoryPrefix of ECR's service model
const SECRET_ARN =
  /^arn:aws(?:-\w+)*:secretsmanager:([a-z0-9-]+):([0-9]{12}):secret:ecr-pullthroughcache\/[a-zA-Z0-9/_+=.@-]+$/;
const ROLE_ARN = /^arn:aws(?:-\w+)*:iam::([0-9]{12}):role\/[\w+=,.@/-]+$/;

const shape = (message: string): EcrRefusal => ({ reason: "UnsupportedShape", message });
const invalid = (message: string): EcrRefusal => ({ reason: "InvalidSpec", message });
const upstreamRefusal = (message: string): EcrRefusal => ({ reason: "UnsupportedUpstream", message });

/** A prefix that ECR takes, made of a target's first component, for suggestions. */
function suggested(target: string): string {
  const [first = ""] = target.split("/");
  return first.length >= SHORTEST && first.length <= LONGEST ? first : "cache";
}

const wholeRegistry: Check = ({ mapping: { source, target }, host }) => {
  if (source.wildcard) return undefined;
  const prefix = suggested(target.path);
  const all = `source: ${shownHost(host)}/* and target: ${prefix}/*`;
  return shape(
    `ECR caches everything below a prefix, not a single repository: write ${all}; the image is then ${prefix}/${source.path}`,
  );
};

const targetFits: Check = ({ mapping: { target } }) => {
  const { length } = target.path;
  if (target.path === "" || (length >= SHORTEST && length <= LONGEST)) return undefined;
  return shape(
    `the prefix "${target.path}" has ${length} characters and ECR allows ${SHORTEST} to ${LONGEST}: write another target`,
  );
};

const sourceFits: Check = ({ mapping: { source, target }, host }, { name }) => {
  if (source.path === "") return undefined;
  const prefix = target.path === "" ? "cache" : target.path;
  const all = `write source: ${shownHost(host)}/* and target: ${prefix}/*; images are then below ${prefix}/${source.path}`;
  if (name !== "ecr") return shape(`ECR takes a path of the upstream only from another private ECR: ${all}`);
  if (target.path === "")
    return shape(
      `with target "*" ECR caches the whole upstream: write ${shownHost(host)}/* as source, or path/* as target`,
    );
  return source.path.length >= SHORTEST && source.path.length <= LONGEST
    ? undefined
    : shape(
        `the path "${source.path}" has ${source.path.length} characters and ECR allows ${SHORTEST} to ${LONGEST}: ${all}`,
      );
};

const speaksTls: Check = ({ registry, host }) => {
  const entry = ecrEntry({ registry, host });
  const field = entry?.plainHTTP === true ? "plainHTTP" : entry?.caBundle === undefined ? undefined : "caBundle";
  return field === undefined
    ? undefined
    : upstreamRefusal(
        `ECR reaches its upstreams by itself, over TLS with public certificates: remove ${field} of upstream "${shownHost(host)}", or use another registry product`,
      );
};

const notItself: Check = ({ registry }, { account, region }) => {
  const { ecr } = registry.spec;
  return account !== undefined && account === ecr?.accountId && region === ecr.region
    ? upstreamRefusal("the upstream is this registry itself: name another account's or another region's")
    : undefined;
};

const secretFits: Check = (request, { credentials, url }) => {
  const arn = ecrCredentials(request).secretsManagerArn;
  const where = `upstreams of CacheRegistry "${request.registry.metadata.name}"`;
  if (arn === undefined) {
    return credentials === "secret"
      ? invalid(
          `ECR reads ${shownHost(request.host)} only with credentials: put them into a Secrets Manager secret whose name begins with ecr-pullthroughcache/ and name it as credentials.secretsManagerArn of host ${shownHost(request.host)} in ${where}`,
        )
      : undefined;
  }
  if (credentials === "role") return invalid(`ECR reads ${url} with an IAM role: give credentials.roleArn in ${where}`);
  const [, region, account] = SECRET_ARN.exec(arn) ?? [];
  if (region === undefined) return invalid(`credentials.secretsManagerArn in ${where} is no ARN that ECR takes`);
  const { ecr } = request.registry.spec;
  return region === ecr?.region && account === ecr.accountId
    ? undefined
    : invalid(
        `the secret of ${shownHost(request.host)} is in account ${account}, region ${region}, and ECR reads only those of its own (${ecr?.accountId}, ${ecr?.region}): copy it there and give that one's ARN in ${where}`,
      );
};

const roleFits: Check = (request, { credentials, account, url }) => {
  const { roleArn } = ecrCredentials(request);
  const where = `upstreams of CacheRegistry "${request.registry.metadata.name}"`;
  const own = request.registry.spec.ecr?.accountId;
  if (roleArn === undefined) {
    return credentials === "role" && account !== own
      ? invalid(
          `ECR reads another account's ${url} only with an IAM role of account ${own}: give credentials.roleArn in ${where}`,
        )
      : undefined;
  }
  if (credentials !== "role")
    return invalid(`credentials.roleArn is for private ECR upstreams, not for ${url}: remove it in ${where}`);
  const of = ROLE_ARN.exec(roleArn)?.[1];
  return of === own
    ? undefined
    : invalid(`credentials.roleArn in ${where} must be a role of account ${own}, which owns this registry`);
};

const templateFits: Check = ({ rule }) => {
  const problem = templateProblem(rule.spec.options?.ecr?.repositoryTemplate);
  return problem === undefined ? undefined : invalid(problem);
};

const CHECKS: readonly Check[] = [
  speaksTls,
  notItself,
  wholeRegistry,
  targetFits,
  sourceFits,
  secretFits,
  roleFits,
  templateFits,
];

/** Whether ECR can serve a rule, by its service model and user guide; undefined when it can, else what to write instead. */
export function judgeEcr(request: EcrRequest): EcrRefusal | undefined {
  const upstream = ecrUpstream(request.host);
  if (upstream === undefined) {
    return upstreamRefusal(
      `ECR can't cache ${shownHost(request.host)}: it knows ${ECR_UPSTREAMS}; serve this rule from another registry product`,
    );
  }
  for (const check of CHECKS) {
    const refusal = check(request, upstream);
    if (refusal !== undefined) return refusal;
  }
  return undefined;
}
