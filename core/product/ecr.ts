import type { CacheRegistrySpec, CacheRuleSpec, Upstream, UpstreamCredentials } from "../../crds/index.ts";
import type { RuleMapping } from "../cacherule/mapping.ts";
import type { TargetPattern } from "../cacherule/pattern.ts";
import { normaliseHost } from "../image/reference.ts";
import { type EcrUpstreamName, ecrUpstream, ecrUrl } from "./ecr-upstream.ts";
import type { Difference } from "./step.ts";

/** What decides how a rule looks in ECR. */
export interface EcrRequest {
  readonly rule: { readonly metadata: { readonly name: string }; readonly spec: CacheRuleSpec };
  readonly registry: { readonly metadata: { readonly name: string }; readonly spec: CacheRegistrySpec };
  readonly mapping: RuleMapping;
  readonly host: string;
}

/** A pull-through cache rule as it is to be. Absent fields are absent in ECR too. */
export interface EcrRule {
  readonly ecrRepositoryPrefix: string;
  readonly upstreamRegistry: EcrUpstreamName;
  readonly upstreamRegistryUrl: string;
  readonly upstreamRepositoryPrefix?: string;
  readonly credentialArn?: string;
  readonly customRoleArn?: string;
}

/** A pull-through cache rule as ECR describes it. */
export interface FoundEcrRule {
  readonly ecrRepositoryPrefix?: string | undefined;
  readonly upstreamRegistry?: string | undefined;
  readonly upstreamRegistryUrl?: string | undefined;
  readonly upstreamRepositoryPrefix?: string | undefined;
  readonly credentialArn?: string | undefined;
  readonly customRoleArn?: string | undefined;
  readonly createdAt?: Date | undefined;
}

/** The prefix that stands for the whole registry. */
export const ROOT = "ROOT";

/** The prefix of a rule's repositories, which is also the rule's name in ECR. */
export function ecrPrefix(target: TargetPattern): string {
  return target.path === "" ? ROOT : target.path;
}

/** A prefix in the one spelling by which prefixes are compared: ECR allows a trailing slash, and ROOT may be left out. */
export function samePrefix(prefix: string | undefined): string {
  const bare = (prefix ?? "").replace(/\/$/, "");
  return bare === "" ? ROOT : bare;
}

/** The registry's entry for the rule's upstream. */
export function ecrEntry({ registry, host }: Pick<EcrRequest, "registry" | "host">): Upstream | undefined {
  return registry.spec.upstreams?.find((entry) => normaliseHost(entry.host) === host);
}

/** What the registry's spec says that ECR shows to the rule's upstream. */
export function ecrCredentials(request: Pick<EcrRequest, "registry" | "host">): UpstreamCredentials {
  return ecrEntry(request)?.credentials ?? {};
}

/** The rule as it is to be in ECR; undefined for an upstream that ECR does not know, which `judgeEcr` refuses. */
export function desiredEcrRule(request: EcrRequest): EcrRule | undefined {
  const upstream = ecrUpstream(request.host);
  if (upstream === undefined) return undefined;
  const { secretsManagerArn, roleArn } = ecrCredentials(request);
  const { source, target } = request.mapping;
  return {
    ecrRepositoryPrefix: ecrPrefix(target),
    upstreamRegistry: upstream.name,
    upstreamRegistryUrl: upstream.url,
    ...(source.path !== "" && { upstreamRepositoryPrefix: source.path }),
    ...(secretsManagerArn !== undefined && { credentialArn: secretsManagerArn }),
    ...(roleArn !== undefined && { customRoleArn: roleArn }),
  };
}

function arn(
  field: "credentialArn" | "customRoleArn",
  wanted: string | undefined,
  found: string | undefined,
): Difference[] {
  if ((wanted ?? "") === (found ?? "")) return [];
  // UpdatePullThroughCacheRule can put another in its place; nothing in its contract takes one away.
  return [{ field, correctable: wanted !== undefined }];
}

/** What differs between a rule as it is to be and as ECR has it, whatever way ECR spells it. Only the two ARNs can be changed in place. */
export function compareEcrRule(wanted: EcrRule, found: FoundEcrRule): readonly Difference[] {
  const fixed = (field: string, differs: boolean): Difference[] => (differs ? [{ field, correctable: false }] : []);
  const name = found.upstreamRegistry?.toLowerCase();
  return [
    ...fixed("upstreamRegistryUrl", ecrUrl(found.upstreamRegistryUrl ?? "") !== ecrUrl(wanted.upstreamRegistryUrl)),
    // Rules from before the field was there have none: then the URL says it.
    ...fixed("upstreamRegistry", name !== undefined && name !== wanted.upstreamRegistry),
    ...fixed(
      "upstreamRepositoryPrefix",
      samePrefix(found.upstreamRepositoryPrefix) !== samePrefix(wanted.upstreamRepositoryPrefix),
    ),
    ...arn("credentialArn", wanted.credentialArn, found.credentialArn),
    ...arn("customRoleArn", wanted.customRoleArn, found.customRoleArn),
  ];
}
