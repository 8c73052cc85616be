import { expect } from "chai";
import fc from "fast-check";
import { parseMapping } from "../../core/cacherule/mapping.ts";
import { compareEcrRule, desiredEcrRule, type EcrRequest, type EcrRule } from "../../core/product/ecr.ts";
import { ecrHealth } from "../../core/product/ecr-health.ts";
import { judgeEcr } from "../../core/product/ecr-judge.ts";
import { ecrHost, ecrUpstream, ecrUrl } from "../../core/product/ecr-upstream.ts";
import type { CacheRegistrySpec, CacheRuleSpec, UpstreamCredentials } from "../../crds/index.ts";

const OWN = "111122223333";
const OTHER = "444455556666";
const SECRET = `arn:aws:secretsmanager:eu-west-1:${OWN}:secret:ecr-pullthroughcache/x-AbCdEf`;
const ROLE = `arn:aws:iam::${OWN}:role/reader`;
const PRIVATE = `${OTHER}.dkr.ecr.us-east-1.amazonaws.com`;

function request(
  source: string,
  target: string,
  credentials: UpstreamCredentials | undefined = undefined,
  change: Partial<CacheRuleSpec> = {},
  upstream: object = {},
): EcrRequest {
  const spec: CacheRegistrySpec = { ecr: { region: "eu-west-1", accountId: OWN, auth: { serviceAccount: {} } } };
  const mapping = parseMapping({ source, target });
  const entry = { host: mapping.source.host, ...(credentials && { credentials }), ...upstream };
  return {
    rule: { metadata: { name: "r" }, spec: { registryRef: { name: "prod" }, source, target, ...change } },
    registry: { metadata: { name: "prod" }, spec: { ...spec, upstreams: [entry] } },
    mapping,
    host: mapping.source.host,
  };
}

const secret = { secretsManagerArn: SECRET };
const template = (repositoryTemplate: object): Partial<CacheRuleSpec> => ({ options: { ecr: { repositoryTemplate } } });

describe("What ECR can serve", () => {
  const good: readonly (readonly [string, EcrRequest, Partial<EcrRule>])[] = [
    [
      "all of Docker Hub, with a secret",
      request("docker.io/*", "hub/*", secret),
      { ecrRepositoryPrefix: "hub", upstreamRegistry: "docker-hub", upstreamRegistryUrl: "registry-1.docker.io" },
    ],
    [
      "a registry as the whole of ECR",
      request("quay.io/*", "*"),
      { ecrRepositoryPrefix: "ROOT", upstreamRegistry: "quay" },
    ],
    ["a nested prefix", request("registry.k8s.io/*", "mirrors/k8s/*"), { ecrRepositoryPrefix: "mirrors/k8s" }],
    [
      "a registry of Azure",
      request("x.azurecr.io/*", "az/*", secret),
      { upstreamRegistry: "azure-container-registry" },
    ],
    ["Chainguard", request("cgr.dev/*", "cg/*", secret), { upstreamRegistry: "chainguard" }],
    [
      "a path of another account's ECR, with a role",
      request(`${PRIVATE}/team/*`, "team/*", { roleArn: ROLE }),
      { upstreamRegistry: "ecr", upstreamRepositoryPrefix: "team", customRoleArn: ROLE },
    ],
    [
      "another region of its own account",
      request(`${OWN}.dkr.ecr.us-east-1.amazonaws.com/*`, "us/*"),
      { upstreamRegistry: "ecr" },
    ],
  ];
  for (const [what, of, expected] of good) {
    it(`is ${what}`, () => {
      expect(judgeEcr(of)).to.equal(undefined);
      expect(desiredEcrRule(of)).to.include(expected);
    });
  }

  const elsewhere = { secretsManagerArn: SECRET.replace("eu-west-1", "us-east-1") };
  const bad: readonly (readonly [string, EcrRequest, string, string])[] = [
    [
      "a single repository",
      request("docker.io/library/nginx", "mirror/nginx", secret),
      "UnsupportedShape",
      "source: docker.io/* and target: mirror/*; the image is then mirror/library/nginx",
    ],
    [
      "a path of Docker Hub",
      request("docker.io/library/*", "hub/*", secret),
      "UnsupportedShape",
      "source: docker.io/* and target: hub/*",
    ],
    ["a path under ROOT", request(`${PRIVATE}/team/*`, "*", { roleArn: ROLE }), "UnsupportedShape", "path/* as target"],
    ["a prefix of one letter", request("quay.io/*", "q/*"), "UnsupportedShape", "2 to 30"],
    ["a prefix of 31 letters", request("quay.io/*", `${"q".repeat(31)}/*`), "UnsupportedShape", "31 characters"],
    [
      "a long path of an ECR",
      request(`${PRIVATE}/${"p".repeat(31)}/*`, "team/*", { roleArn: ROLE }),
      "UnsupportedShape",
      "31 characters",
    ],
    [
      "an upstream of one's own",
      request("docker.example.com/*", "own/*"),
      "UnsupportedUpstream",
      "another registry product",
    ],
    [
      "a GitLab of one's own",
      request("gitlab.example.com/*", "own/*", secret),
      "UnsupportedUpstream",
      "registry.gitlab.com",
    ],
    [
      "an upstream without TLS",
      request("quay.io/*", "quay/*", undefined, {}, { plainHTTP: true }),
      "UnsupportedUpstream",
      "plainHTTP",
    ],
    [
      "an upstream with its own authority",
      request("quay.io/*", "quay/*", undefined, {}, { caBundle: "x" }),
      "UnsupportedUpstream",
      "caBundle",
    ],
    ["itself", request(`${OWN}.dkr.ecr.eu-west-1.amazonaws.com/*`, "me/*"), "UnsupportedUpstream", "itself"],
    [
      "Docker Hub without a secret",
      request("docker.io/*", "hub/*"),
      "InvalidSpec",
      "credentials.secretsManagerArn of host docker.io",
    ],
    ["a secret of another region", request("ghcr.io/*", "gh/*", elsewhere), "InvalidSpec", "copy it there"],
    ["a role for Docker Hub", request("docker.io/*", "hub/*", { roleArn: ROLE }), "InvalidSpec", "secretsManagerArn"],
    ["a role for Quay", request("quay.io/*", "quay/*", { roleArn: ROLE }), "InvalidSpec", "remove it"],
    ["another account's ECR without a role", request(`${PRIVATE}/*`, "team/*"), "InvalidSpec", "credentials.roleArn"],
    [
      "another account's role",
      request(`${PRIVATE}/*`, "team/*", { roleArn: ROLE.replace(OWN, OTHER) }),
      "InvalidSpec",
      OWN,
    ],
    ["a secret for an ECR", request(`${PRIVATE}/*`, "team/*", secret), "InvalidSpec", "IAM role"],
    [
      "a policy that is no JSON",
      request("quay.io/*", "quay/*", undefined, template({ lifecyclePolicy: "{" })),
      "InvalidSpec",
      "lifecyclePolicy",
    ],
    [
      "an alias of a key",
      request("quay.io/*", "quay/*", undefined, template({ encryption: { type: "KMS", kmsKey: "alias/x" } })),
      "InvalidSpec",
      "not an alias",
    ],
  ];
  for (const [what, of, reason, words] of bad) {
    it(`is not ${what}`, () => {
      const refusal = judgeEcr(of);
      expect(refusal?.reason).to.equal(reason);
      expect(refusal?.message).to.contain(words);
    });
  }
});

describe("A rule as ECR describes it", () => {
  const wanted: EcrRule = {
    ecrRepositoryPrefix: "hub",
    upstreamRegistry: "docker-hub",
    upstreamRegistryUrl: "registry-1.docker.io",
    credentialArn: SECRET,
  };

  it("is the same in every spelling of URL, enum and prefix", () => {
    const urls = [
      "registry-1.docker.io",
      "https://registry-1.docker.io/",
      "DOCKER.IO",
      "index.docker.io",
      "https://Docker.io",
    ];
    const spelled = fc.record({
      upstreamRegistryUrl: fc.constantFrom(...urls),
      upstreamRegistry: fc.constantFrom("docker-hub", "DOCKER-HUB", undefined),
      upstreamRepositoryPrefix: fc.constantFrom("ROOT", "", undefined),
      customRoleArn: fc.constantFrom("", undefined),
      credentialArn: fc.constant(SECRET),
    });
    fc.assert(fc.property(spelled, (found) => void expect(compareEcrRule(wanted, found)).to.deep.equal([])));
  });

  it("differs in whatever is changed, and only its ARNs can be put right", () => {
    const changes: readonly (readonly [string, object, boolean])[] = [
      ["upstreamRegistryUrl", { upstreamRegistryUrl: "quay.io" }, false],
      ["upstreamRegistry", { upstreamRegistry: "quay" }, false],
      ["upstreamRepositoryPrefix", { upstreamRepositoryPrefix: "library" }, false],
      ["credentialArn", { credentialArn: `${SECRET}2` }, true],
      ["credentialArn", { credentialArn: undefined }, true],
      ["customRoleArn", { customRoleArn: ROLE }, false],
    ];
    for (const [field, change, correctable] of changes)
      expect(compareEcrRule(wanted, { ...wanted, ...change })).to.deep.equal([{ field, correctable }]);
  });

  it("has a URL whose one spelling is stable", () => {
    fc.assert(fc.property(fc.webAuthority(), (host) => void expect(ecrUrl(ecrUrl(host))).to.equal(ecrUrl(host))));
    fc.assert(
      fc.property(fc.domain(), (domain) => {
        expect(ecrUpstream(`${domain}.invalid`)).to.equal(undefined);
      }),
    );
  });
});

describe("ECR's names and words", () => {
  it("are those of the region's partition", () => {
    const hosts: readonly (readonly [string, string])[] = [
      ["eu-west-1", "amazonaws.com"],
      ["us-gov-west-1", "amazonaws.com"],
      ["cn-north-1", "amazonaws.com.cn"],
      ["eusc-de-east-1", "amazonaws.eu"],
      ["us-iso-east-1", "c2s.ic.gov"],
      ["us-isob-east-1", "sc2s.sgov.gov"],
    ];
    for (const [region, suffix] of hosts) expect(ecrHost(OWN, region)).to.equal(`${OWN}.dkr.ecr.${region}.${suffix}`);
  });

  it("are never repeated in a message: they choose a remedy", () => {
    const of = request("docker.io/*", "hub/*", secret);
    const words: readonly (readonly [string, string])[] = [
      ["The secret could not be found", "create it"],
      ["Access to the secret was denied", "secretsmanager:GetSecretValue"],
      ["The KMS key can't decrypt", "kms:Decrypt"],
      ["The secret is not valid JSON", "username and accessToken"],
      ["Authentication failed", "put valid ones"],
      ["Connection timed out", "could not reach"],
    ];
    for (const [failure, remedy] of words)
      expect(ecrHealth(of, "hub", { isValid: false, failure }).message).to.contain(remedy);
    fc.assert(
      fc.property(fc.string({ minLength: 12 }), (failure) => {
        const { message } = ecrHealth(of, "hub", { isValid: false, failure: `~${failure}~` });
        expect(message).to.not.contain(`~${failure}~`);
        expect(message).to.contain(
          "aws ecr validate-pull-through-cache-rule --region eu-west-1 --ecr-repository-prefix hub",
        );
      }),
    );
  });
});
