import { expect } from "chai";
import { WORKLOAD_KINDS } from "../../core/admission/workload.ts";
import { webhookConfigurations } from "../../core/webhookconfig/desired.ts";
import { hasDrifted, trusts } from "../../core/webhookconfig/drift.ts";

const INPUT = { servicePort: 443, namespace: "cosign-system", caBundle: "PEM-A\n", namespaceUid: "uid-ns" };
const [mutating, validating, policies] = webhookConfigurations(INPUT);
if (mutating === undefined || validating === undefined || policies === undefined)
  throw new Error("three configurations expected");

// biome-ignore lint/suspicious/noExplicitAny: tests look into plain JSON
const hook = (configuration: { webhooks: readonly object[] }): any => configuration.webhooks[0];

describe("webhook configurations", () => {
  it("have the names and paths that users of policy-controller know", () => {
    expect([mutating, validating, policies].map(({ kind, metadata }) => `${kind} ${metadata.name}`)).to.deep.equal([
      "MutatingWebhookConfiguration policy.sigstore.dev",
      "ValidatingWebhookConfiguration policy.sigstore.dev",
      "ValidatingWebhookConfiguration validating.clusterimagepolicy.sigstore.dev",
    ]);
    expect([mutating, validating, policies].map((one) => hook(one).clientConfig.service)).to.deep.equal([
      { namespace: "cosign-system", name: "webhook", path: "/mutations", port: 443 },
      { namespace: "cosign-system", name: "webhook", path: "/validations", port: 443 },
      { namespace: "cosign-system", name: "webhook", path: "/validating", port: 443 },
    ]);
  });

  it("fail closed, without side effects", () => {
    for (const one of [mutating, validating, policies]) {
      expect(hook(one)).to.include({ failurePolicy: "Fail", sideEffects: "None", matchPolicy: "Equivalent" });
    }
    expect(hook(mutating)).to.include({ timeoutSeconds: 25, reinvocationPolicy: "IfNeeded" });
    expect(hook(validating)).to.include({ timeoutSeconds: 25 }).and.not.have.property("reinvocationPolicy");
    expect(hook(policies)).to.include({ timeoutSeconds: 10 });
  });

  it("cover every workload kind and its subresources, at creation and update, in both phases", () => {
    const wanted = WORKLOAD_KINDS.flatMap(({ group, plural, subresources }) =>
      [plural, ...subresources.map((part) => `${plural}/${part}`)].map((resource) => `${group}/${resource}`),
    );
    for (const one of [mutating, validating]) {
      const covered = hook(one).rules.flatMap((rule: { apiGroups: string[]; resources: string[] }) =>
        rule.resources.map((resource) => `${rule.apiGroups[0]}/${resource}`),
      );
      expect(covered).to.have.members(wanted);
      for (const rule of hook(one).rules) expect(rule.operations).to.deep.equal(["CREATE", "UPDATE"]);
    }
    expect(wanted).to.include("/pods/ephemeralcontainers");
  });

  it("look at namespaces that opted in, and never at ours or kube-system", () => {
    for (const one of [mutating, validating]) {
      expect(hook(one).namespaceSelector.matchExpressions).to.deep.equal([
        { key: "policy.sigstore.dev/include", operator: "In", values: ["true"] },
        { key: "kubernetes.io/metadata.name", operator: "NotIn", values: ["cosign-system", "kube-system"] },
      ]);
    }
    expect(hook(policies).namespaceSelector).to.deep.equal({});
  });

  it("take a kind more from the table", () => {
    const rollout = {
      group: "argoproj.io",
      versions: ["v1alpha1"],
      plural: "rollouts",
      kind: "Rollout",
      podSpec: [],
      subresources: [],
    };
    const [extended] = webhookConfigurations(INPUT, [...WORKLOAD_KINDS, rollout]);
    expect(hook(extended ?? mutating).rules).to.deep.include({
      apiGroups: ["argoproj.io"],
      apiVersions: ["v1alpha1"],
      operations: ["CREATE", "UPDATE"],
      resources: ["rollouts"],
      scope: "Namespaced",
    });
  });

  it("have not drifted when they are what they should be, in whatever order of fields", () => {
    const reversed = JSON.parse(JSON.stringify(mutating), (_key, value) =>
      typeof value === "object" && value !== null && !Array.isArray(value)
        ? Object.fromEntries(Object.entries(value).reverse())
        : value,
    );
    expect(hasDrifted(mutating, reversed)).to.equal(false);
  });

  const edits: readonly { name: string; edit: (hook: Record<string, unknown>) => void }[] = [
    { name: "failurePolicy is Ignore", edit: (one) => Object.assign(one, { failurePolicy: "Ignore" }) },
    {
      name: "match conditions were added",
      edit: (one) => Object.assign(one, { matchConditions: [{ name: "x", expression: "false" }] }),
    },
    {
      name: "an object selector was added",
      edit: (one) => Object.assign(one, { objectSelector: { matchLabels: { a: "b" } } }),
    },
    { name: "a rule was taken away", edit: (one) => (one["rules"] as unknown[]).pop() },
    {
      name: "the authority is another",
      edit: (one) => Object.assign(one["clientConfig"] as object, { caBundle: "AAAA" }),
    },
  ];
  for (const { name, edit } of edits) {
    it(`have drifted when ${name}`, () => {
      const live = JSON.parse(JSON.stringify(validating));
      edit(live.webhooks[0]);
      expect(hasDrifted(validating, live)).to.equal(true);
    });
  }

  it("have drifted when a webhook was added or labels and owner were taken away", () => {
    expect(
      hasDrifted(validating, { ...validating, webhooks: [...validating.webhooks, ...validating.webhooks] }),
    ).to.equal(true);
    expect(
      hasDrifted(validating, { ...validating, metadata: { ownerReferences: validating.metadata.ownerReferences } }),
    ).to.equal(true);
    expect(hasDrifted(validating, { ...validating, metadata: { labels: validating.metadata.labels } })).to.equal(true);
  });

  it("trust an authority only when every webhook carries it", () => {
    expect(trusts(mutating, "PEM-A")).to.equal(true);
    expect(trusts(mutating, "PEM-B")).to.equal(false);
    expect(trusts({ metadata: {}, webhooks: [] }, "PEM-A")).to.equal(false);
    expect(trusts({ metadata: {} }, "PEM-A")).to.equal(false);
    expect(trusts({ metadata: {}, webhooks: [...mutating.webhooks, { clientConfig: {} }] }, "PEM-A")).to.equal(false);
  });
});
