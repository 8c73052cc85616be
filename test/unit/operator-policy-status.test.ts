import { expect } from "chai";
import { findCondition } from "../../core/conditions.ts";
import { needsOf } from "../../core/policy/needs.ts";
import type { Resolution } from "../../core/policy/resolved.ts";
import type { ClusterImagePolicyObject } from "../../crds/index.ts";
import { decidePolicyStatus, type PolicyFacts } from "../../operator/clusterimagepolicy/decide.ts";
import { parsePoliciesPage } from "../../operator/pages/documents.ts";
import { sameStatus } from "../../operator/status.ts";

const NOW = new Date("2030-01-01T00:00:00Z");
const LATER = new Date("2030-01-02T00:00:00Z");
const URI = "hashivault://release";
const URL_OF_CUE = "https://policies.example/a.cue";
const SUM = "0".repeat(64);

const POLICY = {
  apiVersion: "policy.sigstore.dev/v1alpha1",
  kind: "ClusterImagePolicy",
  metadata: { name: "p", uid: "u", generation: 2, resourceVersion: "1", creationTimestamp: "2029-12-31T00:00:00Z" },
  spec: {},
} as ClusterImagePolicyObject;

const NEEDY = {
  ...POLICY,
  spec: { authorities: [{ key: { kms: URI } }], policy: { type: "cue", remote: { url: URL_OF_CUE, sha256sum: SUM } } },
} as ClusterImagePolicyObject;

const RESOLVED: Resolution = {
  generation: 2,
  keys: { [URI]: "pem" },
  documents: { [SUM]: "x: 1" },
  problems: {},
  fetchedAt: { [URI]: "2029-12-30T00:00:00Z" },
};

function page(entry?: object) {
  const policies = entry === undefined ? {} : { u: entry };
  return { endpoint: "pod-1", page: parsePoliciesPage({ policies }) };
}

const LOADED = page({ name: "p", generation: 2, hash: "h" });

function facts(change: Partial<PolicyFacts> = {}): PolicyFacts {
  const policy = change.policy ?? POLICY;
  return {
    answers: [LOADED],
    resolution: undefined,
    isLetThrough: true,
    namespace: "sys",
    ...change,
    policy,
    needs: needsOf(policy.spec),
  };
}

function needy(resolution: Resolution | undefined, answers: PolicyFacts["answers"] = [LOADED]): PolicyFacts {
  return facts({ policy: NEEDY, resolution, answers });
}

function said(input: PolicyFacts): Record<string, string> {
  const { conditions = [] } = decidePolicyStatus(input, NOW);
  return Object.fromEntries(conditions.map(({ type, status, reason }) => [type, `${status} ${reason}`]));
}

function ready(answers: PolicyFacts["answers"]): string | undefined {
  return said(facts({ answers }))["Ready"];
}

function message(input: PolicyFacts, type: string): string | undefined {
  return findCondition(decidePolicyStatus(input, NOW).conditions as never, type)?.message;
}

const ALL_GOOD = {
  KeysInlined: "True Enforced",
  PoliciesInlined: "True Enforced",
  ConfigMapUpdated: "True Enforced",
  Ready: "True Enforced",
};

describe("the status of a policy", () => {
  it("is Ready only when every replica enforces this generation", () => {
    expect(said(facts())).to.deep.equal(ALL_GOOD);
    expect(ready([LOADED, LOADED])).to.equal("True Enforced");
    expect(ready([LOADED, page({ generation: 1 })])).to.equal("False WaitingForWebhooks");
    expect(ready([LOADED, page()])).to.equal("False WaitingForWebhooks");
    expect(ready([LOADED, { endpoint: "pod-2", problem: "timeout" }])).to.equal("False WaitingForWebhooks");
    expect(ready([])).to.equal("False WaitingForWebhooks");
  });

  it("says a problem that any replica has with this generation, and not one with another", () => {
    expect(ready([page({ generation: 2 }), page({ generation: 2, problem: "no key" })])).to.equal(
      "False CompileFailed",
    );
    expect(ready([page({ generation: 1, problem: "no key" })])).to.equal("False WaitingForWebhooks");
  });

  it("does not say of a problem that it is of the keys or of the policies, not knowing it", () => {
    expect(said(facts({ answers: [page({ generation: 2, problem: "no key" })] }))).to.deep.equal({
      KeysInlined: "Unknown CompileFailed",
      PoliciesInlined: "Unknown CompileFailed",
      ConfigMapUpdated: "True Enforced",
      Ready: "False CompileFailed",
    });
  });

  it("is not Ready when a replica can't use one of the authorities, with its words", () => {
    const answers = [LOADED, page({ generation: 2, degraded: 'authority a: secret "s" contains no data' })];
    expect(said(facts({ answers }))).to.deep.equal({
      ...ALL_GOOD,
      KeysInlined: "False InliningKeysFailed",
      Ready: "False InliningKeysFailed",
    });
    expect(message(facts({ answers }), "Ready")).to.equal('authority a: secret "s" contains no data');
    const both = page({ generation: 2, degraded: "x", problem: "y" });
    expect(ready([both])).to.equal("False CompileFailed");
  });

  it("keeps what replicas said of the keys while one of them can't be asked", () => {
    const answers = [LOADED, { endpoint: "pod-2", problem: "timeout" }];
    expect(said(facts({ answers }))).to.deep.equal({
      ...ALL_GOOD,
      ConfigMapUpdated: "False WaitingForWebhooks",
      Ready: "False WaitingForWebhooks",
    });
    expect(said(facts({ answers: [] }))).to.include({ KeysInlined: "Unknown WaitingForWebhooks" });
  });

  it("is good when everything that it needs was fetched for this generation", () =>
    expect(said(needy(RESOLVED))).to.deep.equal(ALL_GOOD));

  for (const [what, resolution] of [
    ["nothing was fetched yet", undefined],
    ["what was fetched is for an older generation", { ...RESOLVED, generation: 1 }],
  ] as const) {
    it(`waits while ${what}, whatever replicas say of it`, () => {
      for (const answers of [[LOADED], [page({ generation: 2, problem: "not fetched yet" })]]) {
        expect(said(needy(resolution, answers))).to.deep.equal({
          KeysInlined: "Unknown UpdatingConfigMap",
          PoliciesInlined: "Unknown UpdatingConfigMap",
          ConfigMapUpdated: "False UpdatingConfigMap",
          Ready: "False UpdatingConfigMap",
        });
      }
    });
  }

  it("stays Ready with the last good key, and says so", () => {
    const stale = needy({ ...RESOLVED, problems: { [URI]: "Vault is sealed" } });
    expect(said(stale)).to.deep.equal({
      ...ALL_GOOD,
      KeysInlined: "False InliningKeysFailed",
      Ready: "True LastGood",
    });
    for (const type of ["KeysInlined", "Ready"]) {
      expect(message(stale, type))
        .to.contain(`the public key of ${URI} was not fetched: Vault is sealed`)
        .and.contain("; the key fetched at 2029-12-30T00:00:00Z is still enforced");
    }
  });

  it("is not Ready without a key that was never fetched, each condition for itself", () => {
    const without = needy({ ...RESOLVED, keys: {}, problems: { [URI]: "no such key" } });
    expect(said(without)).to.deep.equal({
      ...ALL_GOOD,
      KeysInlined: "False InliningKeysFailed",
      Ready: "False InliningKeysFailed",
    });
    expect(message(without, "Ready")).to.contain("no such key").and.not.contain("still enforced");
  });

  it("is not Ready without a policy that was never fetched, each condition for itself", () => {
    const without = needy({ ...RESOLVED, documents: {}, problems: { [URL_OF_CUE]: "wrong sum" } });
    expect(said(without)).to.deep.equal({
      ...ALL_GOOD,
      PoliciesInlined: "False InliningPoliciesFailed",
      Ready: "False InliningPoliciesFailed",
    });
    expect(message(without, "PoliciesInlined")).to.contain(`the policy at ${URL_OF_CUE} was not fetched: wrong sum`);
  });

  it("is not Ready while UPDATEs that the policy judges pass by the webhooks, though every replica has it", () => {
    const unasked = said(facts({ isLetThrough: false }));
    expect(unasked).to.include({ Ready: "False WaitingForWebhooks", ConfigMapUpdated: "True Enforced" });
    expect(message(facts({ isLetThrough: false }), "Ready")).to.include(
      "configurations updates.policy.sigstore.dev do not yet let the UPDATEs through",
    );
  });

  it("does not change with time alone", () => {
    for (const input of [facts(), needy({ ...RESOLVED, problems: { [URI]: "sealed" } }), facts({ answers: [] })]) {
      const once = { ...input.policy, status: decidePolicyStatus(input, NOW) };
      expect(sameStatus(once.status, decidePolicyStatus({ ...input, policy: once }, LATER))).to.equal(true);
    }
  });

  it("carries the generation on every condition", () => {
    const { conditions } = decidePolicyStatus(facts(), NOW);
    expect(new Set(conditions?.map(({ observedGeneration }) => observedGeneration))).to.deep.equal(new Set([2]));
  });
});
