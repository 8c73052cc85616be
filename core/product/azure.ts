import type { CacheRegistryObject, CacheRuleObject, Upstream } from "../../crds/index.ts";
import { shownHost } from "../cacheregistry/upstream.ts";
import type { RuleMapping } from "../cacherule/mapping.ts";
import { formatTarget } from "../cacherule/pattern.ts";
import { parseSource, parseTarget } from "../cacherule/source.ts";
import { normaliseHost } from "../image/reference.ts";
import { azureSetId } from "./azure-credentials.ts";
import { type AzureRegistry, armKey, azureName, azureRegistryId, azureState } from "./azure-names.ts";
import type { Difference, RemoteRule } from "./step.ts";

/** What is asked of a rule, as far as Azure's side of it needs to know. */
export interface AzureRequest {
  readonly rule: Pick<CacheRuleObject, "metadata" | "spec">;
  readonly registry: Pick<CacheRegistryObject, "metadata" | "spec">;
  readonly mapping: RuleMapping;
  /** As `normaliseHost` spells it. */
  readonly host: string;
}

/** A cache rule as Azure Resource Manager describes it (API 2025-11-01, `CacheRule`). */
export interface AzureRule {
  readonly name: string;
  readonly source: string;
  readonly target: string;
  readonly credentialSetId?: string;
  /** `creationDate`: `systemData.createdAt` moves with every change (seen in azure-cli's recording), this does not. */
  readonly createdAt?: string;
  readonly provisioningState?: string;
  readonly modifiedAt?: Date;
}

/** What is written of a rule. */
export type DesiredAzureRule = Pick<AzureRule, "source" | "target" | "credentialSetId">;

/** Rules of one registry, in every tier. Source: learn.microsoft.com, artifact cache, limitations. */
export const AZURE_RULE_LIMIT = 1_000;

const STUCK_MS = 30 * 60_000; // recorded operations end within seconds

/** The cache rule's name in the registry. */
export function azureRuleName({ metadata, spec }: AzureRequest["rule"]): string {
  return spec.remoteName ?? azureName(metadata.name, metadata.name);
}

/** The cache rule's ARM id. */
export function azureRuleId(azure: AzureRegistry, name: string): string {
  return `${azureRegistryId(azure)}/cacheRules/${name}`;
}

/** The entry of `spec.upstreams` for a host. */
export function upstreamEntry(registry: AzureRequest["registry"], host: string): Upstream | undefined {
  return registry.spec.upstreams?.find((upstream) => normaliseHost(upstream.host) === host);
}

/** Why Azure can't serve the rule as it is written; undefined when nothing is known against it. Azure has the last word. */
export function judgeAzureRule(
  request: AzureRequest,
): { readonly reason: "UnsupportedUpstream"; readonly message: string } | undefined {
  const { registry, host } = request;
  if (host === normaliseHost("docker.io") && upstreamEntry(registry, host)?.credentials === undefined) {
    const message = `Azure caches Docker Hub with credentials only: give CacheRegistry "${registry.metadata.name}" an entry for docker.io in spec.upstreams, with credentials.keyVault or credentials.credentialSetName`;
    return { reason: "UnsupportedUpstream", message };
  }
  return undefined;
}

/** The rule as it is to be; Docker Hub is `docker.io` to Azure, with `library/` written out. */
export function desiredAzureRule({ registry, mapping, host }: AzureRequest, azure: AzureRegistry): DesiredAzureRule {
  const credentialSetId = azureSetId(azure, registry.metadata.name, host, upstreamEntry(registry, host)?.credentials);
  return {
    source: `${shownHost(mapping.source.host)}/${formatTarget(mapping.source)}`,
    target: formatTarget(mapping.target),
    ...(credentialSetId !== undefined && { credentialSetId }),
  };
}

function sourceKey(source: string): string {
  const lower = source.trim().toLowerCase();
  try {
    const pattern = parseSource(lower);
    return `${pattern.host}/${formatTarget(pattern)}`;
  } catch {
    return lower;
  }
}

function targetKey(target: string): string {
  const lower = target.trim().toLowerCase();
  try {
    return formatTarget(parseTarget(lower));
  } catch {
    return lower;
  }
}

function stateOf(rule: AzureRule, now: Date): Pick<RemoteRule, "state" | "problem"> {
  const state = azureState(rule.provisioningState);
  const said = /^[A-Za-z]{1,30}$/.exec(rule.provisioningState ?? "")?.[0] ?? "unknown";
  if (state === "failed")
    return { state, problem: `its provisioning state is ${said}; delete it in Azure and Entrepot makes it again` };
  const { modifiedAt } = rule;
  if (state === "changing" && modifiedAt !== undefined && now.getTime() - modifiedAt.getTime() > STUCK_MS) {
    const problem = `it has been ${said} since ${modifiedAt.toISOString()}; see the registry's activity log in Azure, or delete the rule there`;
    return { state: "failed", problem };
  }
  return { state };
}

/**
 * A rule that was found, beside what is declared. Only the credential set can be changed in place: Azure's PATCH takes nothing else, and a
 * PUT with another source or target would replace the rule. An operation that lasts for half an hour counts as failed.
 */
export function compareAzureRule(desired: DesiredAzureRule, found: AzureRule, id: string, now: Date): RemoteRule {
  const differences: readonly (Difference | false)[] = [
    sourceKey(desired.source) !== sourceKey(found.source) && { field: "sourceRepository", correctable: false },
    targetKey(desired.target) !== targetKey(found.target) && { field: "targetRepository", correctable: false },
    armKey(desired.credentialSetId) !== armKey(found.credentialSetId) && {
      field: "credentialSetResourceId",
      correctable: true,
    },
  ];
  return {
    id,
    ...(found.createdAt !== undefined && { createdAt: found.createdAt }),
    differences: differences.filter((difference) => difference !== false),
    ...stateOf(found, now),
  };
}
