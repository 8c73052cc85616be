import { expect } from "chai";
import { HUB_SECRET, KEYS, REGION } from "../support/ecr/harness.ts";
import { type EcrModel, ecrModel } from "../support/ecr/model.ts";
import { signatureProblem } from "../support/ecr/signature.ts";
import { zipEntry } from "../support/wheel.ts";

const CREATE = "CreatePullThroughCacheRule";
const RULE = { ecrRepositoryPrefix: "hub", upstreamRegistryUrl: "registry-1.docker.io", credentialArn: HUB_SECRET };

describe("ECR's service model, as the fake holds requests and answers against it", function () {
  this.timeout(120_000);
  let model: EcrModel;

  before(async function () {
    const found = await ecrModel();
    if (found === undefined) return this.skip();
    model = found;
  });

  it("passes what is right", () => {
    expect(model.request(CREATE, RULE)).to.deep.equal([]);
    expect(model.response(CREATE, { ...RULE, createdAt: 1_700_000_000.5 })).to.deep.equal([]);
    expect(model.error(CREATE, "LimitExceededException", { message: "x" })).to.deep.equal([]);
  });

  const broken: readonly (readonly [string, object])[] = [
    ["lacks what is required", { ecrRepositoryPrefix: "hub" }],
    ["has a prefix that is too short", { ...RULE, ecrRepositoryPrefix: "h" }],
    ["has a prefix that is too long", { ...RULE, ecrRepositoryPrefix: "h".repeat(31) }],
    ["has a prefix outside the pattern", { ...RULE, ecrRepositoryPrefix: "hub_.x" }],
    ["has an unknown upstream", { ...RULE, upstreamRegistry: "docker.io" }],
    ["has another service's ARN", { ...RULE, credentialArn: HUB_SECRET.replace("ecr-pullthroughcache/", "other/") }],
    ["has an account that is none", { ...RULE, registryId: "1111222233334" }],
    ["has a field that ECR does not know", { ...RULE, tags: [] }],
    ["has a text where a list belongs", { ...RULE, upstreamRegistryUrl: ["x"] }],
  ];
  for (const [what, body] of broken) {
    it(`finds a request that ${what}`, () => {
      expect(model.request(CREATE, body)).to.have.length.above(0);
    });
  }

  it("finds a broken answer and an error that the operation does not give", () => {
    expect(model.response(CREATE, { ...RULE, createdAt: "2026-01-01T00:00:00Z" })).to.have.length(1);
    expect(model.response("DescribePullThroughCacheRules", { rules: [] })).to.have.length(1);
    expect(model.error(CREATE, "RepositoryNotFoundException", {})).to.have.length(1);
    expect(model.error(CREATE, "LimitExceededException", { Message: "x" })).to.have.length(1);
  });

  it("comes from a zip archive that is read as one", () => {
    expect(() => zipEntry(Buffer.alloc(100), "x")).to.throw("no zip archive");
  });
});

describe("A signature, as the fake checks it", () => {
  // "Signature Version 4" of a request that the SDK signed is checked by every other test; here is what must not pass.
  const scope = { region: REGION, service: "ecr" };
  const parts = (day: string, region: string, signed: string) =>
    `AWS4-HMAC-SHA256 Credential=${KEYS.accessKeyId}/${day}/${region}/ecr/aws4_request, SignedHeaders=${signed}, Signature=${"0".repeat(64)}`;
  const all = "host;x-amz-date;x-amz-target";
  const cases: readonly (readonly [string, string, string])[] = [
    ["is missing", "", "IncompleteSignature"],
    ["leaves out a header", parts("20260101", REGION, "host;x-amz-date"), "IncompleteSignature"],
    ["is of another day", parts("20260102", REGION, all), "IncompleteSignature"],
    ["is for another region", parts("20260101", "us-east-1", all), "InvalidSignatureException"],
    ["is wrong", parts("20260101", REGION, all), "InvalidSignatureException"],
  ];
  for (const [what, authorization, problem] of cases) {
    it(`is refused when it ${what}`, () => {
      const headers = { authorization, host: "x", "x-amz-date": "20260101T000000Z", "x-amz-target": "y" };
      expect(signatureProblem(headers, "{}", scope, KEYS)).to.equal(problem);
    });
  }
});
