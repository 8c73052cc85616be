import { expect } from "chai";
import type { CacheRuleSpec } from "../../crds/index.ts";
import { ecrRegistry, ecrRequest, productFailure } from "../support/ecr/harness.ts";
import { withFakeEcr } from "../support/ecr/suite.ts";

type TemplateSpec = NonNullable<NonNullable<NonNullable<CacheRuleSpec["options"]>["ecr"]>["repositoryTemplate"]>;

const LIFECYCLE = JSON.stringify({
  rules: [{ rulePriority: 1, selection: { tagStatus: "any" }, action: { type: "expire" } }],
});
const FULL: TemplateSpec = {
  description: "cached from Docker Hub",
  encryption: { type: "KMS", kmsKey: "arn:aws:kms:eu-west-1:111122223333:key/1234abcd" },
  imageTagMutability: "IMMUTABLE",
  lifecyclePolicy: LIFECYCLE,
  repositoryPolicy: JSON.stringify({ Version: "2012-10-17", Statement: [] }),
  resourceTags: { team: "platform", cost: "7" },
  customRoleArn: "arn:aws:iam::111122223333:role/templates",
};

describe("Amazon ECR's repository creation templates (contract fake by botocore's model, never run against AWS)", function () {
  this.timeout(120_000);
  const suite = withFakeEcr();
  const request = (repositoryTemplate?: TemplateSpec) =>
    ecrRequest(
      {
        source: "docker.io/*",
        target: "hub/*",
        ...(repositoryTemplate !== undefined && { options: { ecr: { repositoryTemplate } } }),
      },
      ecrRegistry({}, { endpoint: suite.fake.endpoint }),
    );
  const template = () => suite.fake.state.templates.get("hub");
  const step = async (of: ReturnType<typeof request>) => await suite.harness.step(of);
  const settle = async (of: ReturnType<typeof request>) => {
    await step(of);
    expect((await step(of)).do).to.equal("nothing");
  };
  const remove = async (of: ReturnType<typeof request>) => {
    const found = await suite.harness.observe(of);
    if (found === undefined) throw new Error("not found");
    expect(await suite.harness.product.remove(of, found, true, suite.harness.signal)).to.deep.equal({ done: true });
  };
  const foreign = (change = {}) => {
    const made = { prefix: "hub", appliedFor: ["PULL_THROUGH_CACHE"], description: "of the platform team", ...change };
    suite.fake.state.templates.set("hub", made);
    return made;
  };

  it("are made before their rule, and go with it", async () => {
    await settle(request(FULL));
    expect(suite.fake.writes).to.deep.equal(["CreateRepositoryCreationTemplate", "CreatePullThroughCacheRule"]);
    const { createdAt: _createdAt, ...made } = template() ?? {};
    expect(made).to.deep.equal({
      prefix: "hub",
      description: "cached from Docker Hub (Entrepot: CacheRule hub)",
      encryptionConfiguration: { encryptionType: "KMS", kmsKey: FULL.encryption?.kmsKey },
      imageTagMutability: "IMMUTABLE",
      appliedFor: ["PULL_THROUGH_CACHE"],
      resourceTags: [
        { Key: "team", Value: "platform" },
        { Key: "cost", Value: "7" },
      ],
      lifecyclePolicy: FULL.lifecyclePolicy,
      repositoryPolicy: FULL.repositoryPolicy,
      customRoleArn: FULL.customRoleArn,
    });
    await remove(request(FULL));
    expect([suite.fake.state.rules.size, suite.fake.state.templates.size]).to.deep.equal([0, 0]);
  });

  it("are changed in place, fields that are gone emptied, and at rest nothing is written", async () => {
    await settle(request(FULL));
    const changed = request({ imageTagMutability: "MUTABLE" });
    expect(await step(changed)).to.deep.equal({
      do: "update",
      drift: [
        "encryptionType",
        "imageTagMutability",
        "lifecyclePolicy",
        "repositoryPolicy",
        "resourceTags",
        "customRoleArn",
        "description",
      ].map((field) => `repositoryTemplate.${field}`),
    });
    expect(suite.fake.writes.at(-1)).to.equal("UpdateRepositoryCreationTemplate");
    expect(template()).to.include({ lifecyclePolicy: "", repositoryPolicy: "", customRoleArn: "" });
    expect((await step(changed)).do).to.equal("nothing");
  });

  it("are not different for the way that policies are written", async () => {
    await settle(request(FULL));
    const spaced = JSON.stringify(JSON.parse(LIFECYCLE), undefined, 2);
    suite.fake.state.templates.set("hub", { ...template(), lifecyclePolicy: spaced });
    expect((await step(request(FULL))).do).to.equal("nothing");
  });

  it("are added to and taken from a rule that is there", async () => {
    await settle(request());
    expect(await step(request({}))).to.deep.equal({ do: "update", drift: ["repositoryTemplate"] });
    expect(template()).to.include({ description: "(Entrepot: CacheRule hub)" });
    expect((await step(request({}))).do).to.equal("nothing");
    expect(await step(request())).to.deep.equal({ do: "update", drift: ["repositoryTemplate"] });
    expect(template()).to.equal(undefined);
    expect((await step(request())).do).to.equal("nothing");
  });

  it("of somebody else are never written to: another's that differs stops the rule from being made", async () => {
    const made = foreign({ imageTagMutability: "IMMUTABLE" });
    const refused = await productFailure("PRODUCT_REFUSED", step(request({})));
    expect(refused.reason).to.equal("ForeignRule");
    expect(refused.message).to.contain("imageTagMutability");
    expect(suite.fake.writes).to.deep.equal([]);
    expect(template()).to.equal(made);
  });

  it("of somebody else that say the same are used, and stay when the rule goes", async () => {
    const made = foreign();
    await settle(request({}));
    await remove(request({}));
    expect(template()).to.equal(made);
    expect(suite.fake.writes).to.deep.equal(["CreatePullThroughCacheRule", "DeletePullThroughCacheRule"]);
  });

  it("of somebody else that differ from what is added to a rule are reported", async () => {
    await settle(request());
    foreign({ imageTagMutability: "IMMUTABLE" });
    const { length } = suite.fake.writes;
    expect(await step(request({}))).to.include({ do: "report", reason: "ImmutableChange" });
    expect(suite.fake.writes).to.have.length(length);
  });

  it("that are half of a pair are completed", async () => {
    suite.fake.fault = (operation) =>
      operation === "CreateRepositoryCreationTemplate" ? { kind: "cut", done: true } : undefined;
    await productFailure("PRODUCT_UNAVAILABLE", step(request(FULL)));
    expect(suite.fake.state.rules.size).to.equal(0);
    suite.fake.fault = () => undefined;
    await settle(request(FULL));
    expect(suite.fake.writes.filter((name) => name.includes("Template"))).to.deep.equal([
      "CreateRepositoryCreationTemplate",
    ]);
  });

  it("of a rule that ECR refuses do not stay behind", async () => {
    suite.fake.fault = (operation) =>
      operation === "CreatePullThroughCacheRule" ? { kind: "error", type: "LimitExceededException" } : undefined;
    await productFailure("PRODUCT_REFUSED", step(request(FULL)));
    expect(suite.fake.state.templates.size).to.equal(0);
  });

  it("need permissions of their own only where they are declared", async () => {
    suite.fake.fault = (operation) =>
      operation.includes("Template") ? { kind: "error", type: "AccessDeniedException" } : undefined;
    await settle(request());
    const refused = await productFailure("PRODUCT_FORBIDDEN", step(request({})));
    expect(refused.message).to.contain("ecr:DescribeRepositoryCreationTemplates");
    await remove(request());
  });

  it("are not looked at for another account's registry", async () => {
    suite.fake.fault = (operation) =>
      operation === "DescribeRepositoryCreationTemplates"
        ? { kind: "respell", as: (body) => ({ ...body, registryId: "999999999999" }) }
        : undefined;
    const refused = await productFailure("PRODUCT_REGISTRY_NOT_FOUND", step(request({})));
    expect(refused.message).to.contain("999999999999").and.contain("111122223333");
    expect(suite.fake.writes).to.deep.equal([]);
  });
});
