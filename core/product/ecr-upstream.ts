/** What ECR calls an upstream (`upstreamRegistry` of its API). */
export type EcrUpstreamName =
  | "ecr"
  | "ecr-public"
  | "quay"
  | "k8s"
  | "docker-hub"
  | "github-container-registry"
  | "azure-container-registry"
  | "gitlab-container-registry"
  | "chainguard";

/** An upstream that ECR can cache. */
export interface EcrUpstream {
  readonly name: EcrUpstreamName;
  /** As ECR spells it in `upstreamRegistryUrl`. */
  readonly url: string;
  /** `secret`: nothing without a Secrets Manager secret; `role`: an IAM role, needed when it is another account's. */
  readonly credentials: "none" | "secret" | "role";
  /** Of a private ECR. */
  readonly account?: string;
  readonly region?: string;
}

// "Using pull through cache rules", Amazon ECR user guide; the spellings are those of CreatePullThroughCacheRule.
const FIXED: readonly EcrUpstream[] = [
  { name: "docker-hub", url: "registry-1.docker.io", credentials: "secret" },
  { name: "ecr-public", url: "public.ecr.aws", credentials: "none" },
  { name: "github-container-registry", url: "ghcr.io", credentials: "secret" },
  { name: "gitlab-container-registry", url: "registry.gitlab.com", credentials: "secret" },
  { name: "k8s", url: "registry.k8s.io", credentials: "none" },
  { name: "quay", url: "quay.io", credentials: "none" },
  { name: "chainguard", url: "cgr.dev", credentials: "secret" },
];

const HUB = new Set(["docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"]);
const PRIVATE_ECR = /^([0-9]{12})\.dkr\.ecr\.([a-z0-9-]+)\.(?:amazonaws\.(?:com|com\.cn|eu))$/;
const AZURE = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.azurecr\.io$/;

/** For messages: what `ecrUpstream` knows. */
export const ECR_UPSTREAMS =
  "docker.io, ghcr.io, quay.io, registry.k8s.io, registry.gitlab.com, public.ecr.aws, cgr.dev, <name>.azurecr.io and <account>.dkr.ecr.<region>.amazonaws.com";

/** An upstream's URL in the one spelling by which URLs are compared: no scheme, no trailing slash, lower case, one name for Docker Hub. */
export function ecrUrl(text: string): string {
  const host = text
    .toLowerCase()
    .replace(/^https?:\/\//, "")
    .replace(/\/+$/, "");
  return HUB.has(host) ? "registry-1.docker.io" : host;
}

/** The upstream that a host is to ECR; undefined when ECR can't cache it. */
export function ecrUpstream(host: string): EcrUpstream | undefined {
  const url = ecrUrl(host);
  const fixed = FIXED.find((known) => known.url === url);
  if (fixed !== undefined) return fixed;
  if (AZURE.test(url)) return { name: "azure-container-registry", url, credentials: "secret" };
  const [, account, region] = PRIVATE_ECR.exec(url) ?? [];
  if (account === undefined || region === undefined) return undefined;
  return { name: "ecr", url, credentials: "role", account, region };
}

const SUFFIXES: readonly (readonly [RegExp, string])[] = [
  [/^cn-/, "amazonaws.com.cn"],
  [/^eusc-/, "amazonaws.eu"],
  [/^us-iso-/, "c2s.ic.gov"],
  [/^us-isob-/, "sc2s.sgov.gov"],
  [/^eu-isoe-/, "cloud.adc-e.uk"],
  [/^us-isof-/, "csp.hci.ic.gov"],
];

/** The host by which images of a private registry are pulled. The suffix is that of the region's partition (botocore's partitions.json). */
export function ecrHost(accountId: string, region: string): string {
  const suffix = SUFFIXES.find(([regions]) => regions.test(region))?.[1] ?? "amazonaws.com";
  return `${accountId}.dkr.ecr.${region}.${suffix}`;
}
