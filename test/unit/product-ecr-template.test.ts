import { expect } from "chai";
import fc from "fast-check";
import { parseMapping } from "../../core/cacherule/mapping.ts";
import type { EcrRequest } from "../../core/product/ecr.ts";
import {
  compareEcrTemplate,
  desiredEcrTemplate,
  type EcrTemplate,
  type EcrTemplateSpec,
  type FoundEcrTemplate,
  isOurTemplate,
  templateMark,
} from "../../core/product/ecr-template.ts";

function declared(repositoryTemplate: EcrTemplateSpec, name = "hub"): EcrTemplate {
  const spec = { registryRef: { name: "prod" }, source: "quay.io/*", target: "quay/*" };
  const mapping = parseMapping(spec);
  const request: EcrRequest = {
    rule: { metadata: { name }, spec: { ...spec, options: { ecr: { repositoryTemplate } } } },
    registry: { metadata: { name: "prod" }, spec: {} },
    mapping,
    host: mapping.source.host,
  };
  const template = desiredEcrTemplate(request);
  if (template === undefined) throw new Error("no template");
  return template;
}

function found({ encryptionType, kmsKey, ...rest }: EcrTemplate): FoundEcrTemplate {
  return { ...rest, encryptionConfiguration: { encryptionType, kmsKey }, appliedFor: ["PULL_THROUGH_CACHE"] };
}

const policy = (value: unknown, space?: number): string => JSON.stringify(value, undefined, space);

describe("A repository creation template", () => {
  const names = fc.stringMatching(/^[a-z0-9]([a-z0-9.-]{0,250}[a-z0-9])?$/);

  it("bears a mark that fits, whatever the names and descriptions", () => {
    fc.assert(
      fc.property(names, fc.string({ maxLength: 256 }), (name, description) => {
        const template = declared({ description }, name);
        expect(template.description).to.have.length.at.most(256);
        expect(isOurTemplate(found(template), name)).to.equal(true);
      }),
    );
  });

  it("has a mark of its own for each name", () => {
    fc.assert(
      fc.property(names, names, (one, other) => {
        fc.pre(one !== other);
        expect(templateMark(one)).to.not.equal(templateMark(other));
        expect(isOurTemplate(found(declared({}, one)), other)).to.equal(false);
      }),
    );
    const long = "x".repeat(100);
    expect(templateMark(`${long}1`)).to.not.equal(templateMark(`${long}2`));
  });

  it("is the same in every spelling of policies, tags and defaults", () => {
    const statement = { Effect: "Allow", Action: ["ecr:BatchGetImage"], Principal: "*" };
    const template = declared({
      repositoryPolicy: policy({ Version: "2012-10-17", Statement: [statement] }),
      resourceTags: { b: "2", a: "1" },
      customRoleArn: "r",
    });
    const { encryptionConfiguration: _default, imageTagMutability: _mutable, ...bare } = found(template);
    const respelled: FoundEcrTemplate = {
      ...bare,
      repositoryPolicy: policy({ Statement: { ...statement, Action: "ecr:BatchGetImage" }, Version: "2012-10-17" }, 2),
      resourceTags: [
        { Key: "a", Value: "1" },
        { Key: "b", Value: "2" },
      ],
    };
    expect(compareEcrTemplate(template, respelled, "hub")).to.deep.equal([]);
    const kms = { encryptionType: "kms", kmsKey: "arn:aws:kms:r:1:key/own" };
    const encrypted = declared({ encryption: { type: "KMS" } });
    expect(compareEcrTemplate(encrypted, { ...found(encrypted), encryptionConfiguration: kms }, "hub")).to.deep.equal(
      [],
    );
  });

  it("differs in whatever is changed", () => {
    const template = declared({ lifecyclePolicy: policy({ rules: [] }), resourceTags: { a: "1" }, customRoleArn: "r" });
    const changes: readonly (readonly [string, FoundEcrTemplate])[] = [
      ["appliedFor", { appliedFor: ["REPLICATION"] }],
      ["encryptionType", { encryptionConfiguration: { encryptionType: "KMS" } }],
      ["imageTagMutability", { imageTagMutability: "IMMUTABLE_WITH_EXCLUSION" }],
      ["lifecyclePolicy", { lifecyclePolicy: policy({ rules: [{ rulePriority: 1 }] }) }],
      ["repositoryPolicy", { repositoryPolicy: policy({ Version: "x" }) }],
      ["resourceTags", { resourceTags: [{ Key: "a", Value: "2" }] }],
      ["customRoleArn", { customRoleArn: undefined }],
      ["description", { description: `other ${templateMark("hub")}` }],
    ];
    for (const [field, change] of changes) {
      const differences = compareEcrTemplate(template, { ...found(template), ...change }, "hub");
      expect(differences).to.deep.equal([{ field: `repositoryTemplate.${field}`, correctable: true }]);
    }
  });

  it("of somebody else is never ours to correct or to take away", () => {
    const foreign: FoundEcrTemplate = { prefix: "quay", description: "theirs", appliedFor: ["PULL_THROUGH_CACHE"] };
    expect(compareEcrTemplate(undefined, foreign, "hub")).to.deep.equal([]);
    expect(compareEcrTemplate(declared({}), foreign, "hub")).to.deep.equal([]);
    const [difference] = compareEcrTemplate(declared({ imageTagMutability: "IMMUTABLE" }), foreign, "hub");
    expect(difference?.correctable).to.equal(false);
    expect(difference?.field).to.contain("not made by Entrepot");
  });
});
