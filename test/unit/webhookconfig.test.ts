import { expect } from "chai";
import { WORKLOAD_KINDS } from "../../core/admission/workload.ts";
import { type WebhookConfiguration, webhookConfigurations } from "../../core/webhookconfig/desired.ts";
import { hasDrifted, trusts } from "../../core/webhookconfig/drift.ts";
import { matchConditions } from "../../core/webhookconfig/match.ts";
import { READS_NOTHING } from "../../core/webhookconfig/reads.ts";
import { OPT_IN, readScope } from "../../core/webhookconfig/scope.ts";

const INPUT = {
  servicePort: 443,
  namespace: "cosign-system",
  caBundle: "PEM-A\n",
  namespaceUid: "uid-ns",
  scope: OPT_IN,
  reads: READS_NOTHING,
};
const all = webhookConfigurations(INPUT);

function at(place: number): WebhookConfiguration {
  const found = all[place];
  if (found === undefined) throw new Error(`no configuration at ${place}`);
  return found;
}

const updates = [at(0), at(1)];
const creations = [at(2), at(3)];
const [mutating, validating, defaulting, policies] = [at(2), at(3), at(4), at(5)];

// biome-ignore lint/suspicious/noExplicitAny: tests look into plain JSON
const hook = (configuration: { webhooks: readonly object[] }): any => configuration.webhooks[0];
const operations = (one: WebhookConfiguration): readonly string[] => [
  ...new Set<string>(hook(one).rules.flatMap((rule: { operations: readonly string[] }) => rule.operations)),
];

describe("webhook configurations", () => {
  it("have the names and paths that users of policy-controller know, and two more for UPDATE, before those that had it", () => {
    expect(all.map(({ kind, metadata }) => `${kind} ${metadata.name}`)).to.deep.equal([
      "MutatingWebhookConfiguration updates.policy.sigstore.dev",
      "ValidatingWebhookConfiguration updates.policy.sigstore.dev",
      "MutatingWebhookConfiguration policy.sigstore.dev",
      "ValidatingWebhookConfiguration policy.sigstore.dev",
      "MutatingWebhookConfiguration defaulting.clusterimagepolicy.sigstore.dev",
      "ValidatingWebhookConfiguration validating.clusterimagepolicy.sigstore.dev",
    ]);
    expect(all.map((one) => hook(one).clientConfig.service)).to.deep.equal([
      { namespace: "cosign-system", name: "webhook", path: "/mutations", port: 443 },
      { namespace: "cosign-system", name: "webhook", path: "/validations", port: 443 },
      { namespace: "cosign-system", name: "webhook", path: "/mutations", port: 443 },
      { namespace: "cosign-system", name: "webhook", path: "/validations", port: 443 },
      { namespace: "cosign-system", name: "webhook", path: "/defaulting", port: 443 },
      { namespace: "cosign-system", name: "webhook", path: "/validating", port: 443 },
    ]);
  });

  it("ask about creations without conditions, and about UPDATEs under them; in both, one webhook of the name that refusals carry", () => {
    for (const one of creations) {
      expect(operations(one)).to.deep.equal(["CREATE"]);
      expect(hook(one)).not.to.have.property("matchConditions");
    }
    for (const one of updates) {
      expect(operations(one)).to.deep.equal(["UPDATE"]);
      expect(hook(one)).to.deep.include({ matchConditions: matchConditions(READS_NOTHING) });
    }
    for (const one of [...updates, ...creations])
      expect(one.webhooks.map(({ name }) => name)).to.deep.equal(["policy.sigstore.dev"]);
  });

  it("differ between creation and UPDATE in nothing else", () => {
    for (const [place, one] of updates.entries()) {
      const { matchConditions: _, ...rest } = hook(one);
      const rules = rest.rules.map((rule: object) => ({ ...rule, operations: ["CREATE"] }));
      expect({ ...rest, rules }).to.deep.equal(hook(at(place + updates.length)));
    }
  });

  it("fail closed, without side effects", () => {
    for (const one of all) {
      expect(hook(one)).to.include({ failurePolicy: "Fail", sideEffects: "None", matchPolicy: "Equivalent" });
    }
    expect(hook(mutating)).to.include({ timeoutSeconds: 25, reinvocationPolicy: "IfNeeded" });
    expect(hook(validating)).to.include({ timeoutSeconds: 25 }).and.not.have.property("reinvocationPolicy");
    for (const one of [defaulting, policies]) expect(hook(one)).to.include({ timeoutSeconds: 10 });
    // Defaults do not depend on what others write.
    expect(hook(defaulting)).to.include({ reinvocationPolicy: "Never" });
  });

  it("ask about policies of both versions and trust roots, in every scope", () => {
    for (const one of [defaulting, policies]) {
      expect(hook(one).rules).to.deep.equal([
        {
          apiGroups: ["policy.sigstore.dev"],
          apiVersions: ["v1alpha1", "v1beta1"],
          operations: ["CREATE", "UPDATE"],
          resources: ["clusterimagepolicies", "trustroots"],
          scope: "Cluster",
        },
      ]);
      expect(hook(one).namespaceSelector).to.deep.equal({});
    }
  });

  it("cover every workload kind and its subresources, at creation and update, in both phases", () => {
    const named = WORKLOAD_KINDS.flatMap(({ group, plural, subresources }) =>
      [plural, ...subresources.map((part) => `${plural}/${part}`)].map((resource) => `${group}/${resource}`),
    );
    // A resize brings nothing to seal.
    const last = [...named, "/pods/resize"];
    for (const one of [...updates, ...creations]) {
      const covered = hook(one).rules.flatMap((rule: { apiGroups: string[]; resources: string[] }) =>
        rule.resources.map((resource) => `${rule.apiGroups[0]}/${resource}`),
      );
      expect(covered).to.have.members(one.kind.startsWith("Validating") ? last : named);
    }
    expect(named).to.include("/pods/ephemeralcontainers");
  });

  it("look at namespaces that opted in, and never at ours or kube-system", () => {
    for (const one of [...updates, ...creations]) {
      expect(hook(one).namespaceSelector.matchExpressions).to.deep.equal([
        { key: "policy.sigstore.dev/include", operator: "In", values: ["true"] },
        { key: "kubernetes.io/metadata.name", operator: "NotIn", values: ["cosign-system", "kube-system"] },
      ]);
    }
  });

  it("look at all others too where the whole cluster is in scope, but for those that opted out and those excluded", () => {
    const scope = readScope("cluster", "monitoring, kube-system,,istio-system");
    if (typeof scope === "string") throw new Error(scope);
    for (const everywhere of webhookConfigurations({ ...INPUT, scope }).slice(0, 4))
      expect(hook(everywhere).namespaceSelector.matchExpressions).to.deep.equal([
        { key: "policy.sigstore.dev/include", operator: "NotIn", values: ["false"] },
        {
          key: "kubernetes.io/metadata.name",
          operator: "NotIn",
          values: ["cosign-system", "kube-system", "monitoring", "istio-system"],
        },
      ]);
  });

  it("take no scope that they do not know", () => {
    expect(readScope("opt-in", "")).to.deep.equal(OPT_IN);
    expect(readScope("Cluster", "")).to.equal('"Cluster" is neither opt-in nor cluster');
    expect(readScope("cluster", "a,B")).to.equal('"B" is no name of a namespace');
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
    const extended = webhookConfigurations(INPUT, [...WORKLOAD_KINDS, rollout]);
    for (const [place, operation] of ["UPDATE", "UPDATE", "CREATE", "CREATE"].entries())
      expect(hook(extended[place] ?? mutating).rules).to.deep.include({
        apiGroups: ["argoproj.io"],
        apiVersions: ["v1alpha1"],
        operations: [operation],
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
