import { expect } from "chai";
import { misfit } from "../../core/cacherule/fitting.ts";
import { findCondition } from "../../core/conditions.ts";
import type { CacheRuleObject } from "../../crds/index.ts";
import { planRules, type RuleVerdict } from "../../operator/cacherule/acceptance.ts";
import { decideDeletingStatus, decideRuleStatus, type RuleFacts } from "../../operator/cacherule/decide.ts";
import type { UpstreamHealth } from "../../operator/incluster/upstream-probe.ts";
import type { RuleServing } from "../../operator/providers/provider.ts";
import { sameStatus } from "../../operator/status.ts";

const NOW = new Date("2030-01-01T00:00:00Z");
const LATER = new Date("2030-01-02T00:00:00Z");

function rule(name: string, change: Partial<CacheRuleObject["spec"]> = {}, metadata: object = {}): CacheRuleObject {
  return {
    apiVersion: "entrepot.dev/v1alpha1",
    kind: "CacheRule",
    metadata: {
      name,
      uid: `uid-${name}`,
      generation: 1,
      resourceVersion: "1",
      creationTimestamp: "2029-12-31T00:00:00Z",
      ...metadata,
    },
    spec: { registryRef: { name: "main" }, source: "docker.io/library/nginx", target: `t/${name}`, ...change },
  };
}

function verdictOf(one: CacheRuleObject): RuleVerdict {
  const verdict = planRules("main", [one]).verdicts.get(one.metadata.name);
  if (verdict === undefined) throw new Error("no verdict");
  return verdict;
}

const SERVING: RuleServing = { synced: { done: true }, serving: { done: true } };
const HEALTHY: UpstreamHealth = { kind: "reachable", credentials: "untried" };
const DOWN: UpstreamHealth = { kind: "unreachable", message: "it refuses the connection" };

function outcome(change: Partial<RuleServing> = {}): RuleServing {
  return { ...SERVING, upstream: { kind: "probed", anonymous: true, health: HEALTHY }, ...change };
}

function probed(health: UpstreamHealth, anonymous = false): Pick<RuleServing, "upstream"> {
  return { upstream: { kind: "probed", anonymous, health } };
}

function facts(change: Partial<RuleFacts> = {}, one = rule("a")): RuleFacts {
  return {
    rule: one,
    verdict: verdictOf(one),
    provider: "inCluster",
    pullHost: "localhost:30500",
    outcome: outcome(),
    ...change,
  };
}

function decided(input: RuleFacts, now = NOW): CacheRuleObject {
  return { ...input.rule, status: decideRuleStatus(input, now) };
}

function conditions(input: RuleFacts): Record<string, string> {
  const status = decideRuleStatus(input, NOW);
  return Object.fromEntries(
    (status.conditions ?? []).map(({ type, status: value, reason }) => [type, `${value} ${reason}`]),
  );
}

describe("the status of a rule", () => {
  it("is Ready when it is accepted, rolled out and served, with the name to pull", () => {
    const status = decideRuleStatus(facts(), NOW);
    expect(conditions(facts())).to.deep.equal({
      Accepted: "True Accepted",
      Synced: "True InSync",
      UpstreamReachable: "True Reachable",
      Ready: "True Ready",
    });
    expect(status).to.include({
      observedGeneration: 1,
      pullPrefix: "localhost:30500/t/a",
      lastSyncTime: "2030-01-01T00:00:00Z",
    });
    expect(status.mapping).to.deep.equal({ from: "docker.io/library/nginx", to: "localhost:30500/t/a" });
    expect(findCondition(status.conditions, "Ready")?.message).to.equal(
      "write localhost:30500/t/a in place of docker.io/library/nginx",
    );
  });

  const wildcards = [
    {
      source: "docker.io/library/*",
      target: "hub/*",
      prefix: "localhost:30500/hub",
      from: "docker.io/library/*",
      to: "localhost:30500/hub/*",
    },
    { source: "ghcr.io/*", target: "*", prefix: "localhost:30500", from: "ghcr.io/*", to: "localhost:30500/*" },
  ];
  for (const { source, target, prefix, from, to } of wildcards) {
    it(`names ${source} as ${target}`, () => {
      const status = decideRuleStatus(facts({}, rule("a", { source, target })), NOW);
      expect(status.pullPrefix).to.equal(prefix);
      expect(status.mapping).to.deep.equal({ from, to });
    });
  }

  it("does not change with time alone", () => {
    const once = decided(facts());
    expect(sameStatus(once.status, decideRuleStatus(facts({}, once), LATER))).to.equal(true);
  });

  it("carries the generation on every condition", () => {
    const status = decideRuleStatus(facts({}, rule("a", {}, { generation: 7 })), NOW);
    expect(new Set(status.conditions?.map(({ observedGeneration }) => observedGeneration))).to.deep.equal(new Set([7]));
  });

  it("is not Ready while an upstream was never reached, and says why", () => {
    const input = facts({ outcome: outcome(probed(DOWN, true)) });
    expect(conditions(input)).to.include({
      UpstreamReachable: "False UpstreamUnreachable",
      Ready: "False UpstreamUnreachable",
    });
    expect(findCondition(decideRuleStatus(input, NOW).conditions, "Ready")?.message).to.equal(
      "upstream docker.io: it refuses the connection",
    );
  });

  it("stays Ready from the cache when an upstream that was reached goes down, and remembers that over more than one look", () => {
    const down = { outcome: outcome(probed(DOWN, true)) };
    const first = decided(facts(down, decided(facts())));
    const second = decided(facts(down, first));
    for (const one of [first, second])
      expect(findCondition(one.status?.conditions, "Ready")).to.include({ status: "True", reason: "ServingFromCache" });
    const gatewayGone = decided(
      facts(
        {
          outcome: outcome({
            ...probed(DOWN, true),
            serving: { done: false, reason: "GatewayNotReady", message: "none" },
          }),
        },
        second,
      ),
    );
    expect(findCondition(gatewayGone.status?.conditions, "Ready")).to.include({
      status: "False",
      reason: "GatewayNotReady",
    });
    expect(findCondition(decided(facts(down, gatewayGone)).status?.conditions, "Ready")).to.include({
      status: "True",
      reason: "ServingFromCache",
    });
  });

  it("is not Ready with credentials that are refused, missing or broken", () => {
    const refused: UpstreamHealth = { kind: "refused", message: "no" };
    expect(conditions(facts({ outcome: outcome(probed(refused)) }))).to.include({
      CredentialsHealthy: "False Unhealthy",
      Ready: "False CredentialsUnhealthy",
      UpstreamReachable: "True Reachable",
    });
    const missing = { kind: "problem", reason: "SecretNotFound", message: "gone" } as const;
    expect(conditions(facts({ outcome: outcome({ upstream: missing }) }))).to.include({
      CredentialsHealthy: "False SecretNotFound",
      Ready: "False SecretNotFound",
    });
  });

  it("says of credentials only what is known", () => {
    const of = (health: UpstreamHealth) =>
      conditions(facts({ outcome: outcome(probed(health)) }))["CredentialsHealthy"];
    expect(of({ kind: "reachable", credentials: "accepted" })).to.equal("True Healthy");
    expect(of(HEALTHY)).to.equal("Unknown Unknown");
    expect(of(DOWN)).to.equal("Unknown Unknown");
    expect(conditions(facts())).to.not.have.property("CredentialsHealthy");
  });

  it("is not Ready when it is not accepted, and forgets what it was", () => {
    const verdict: RuleVerdict = { accepted: false, reason: "Conflict", message: "taken", conflictsWith: "b" };
    const { outcome: _outcome, ...unobserved } = facts({ verdict }, decided(facts()));
    const status = decideRuleStatus(unobserved, NOW);
    expect(conditions(unobserved)).to.deep.equal({ Accepted: "False Conflict", Ready: "False Conflict" });
    expect(status).to.include({ conflictsWith: "b" }).and.not.have.any.keys("pullPrefix", "mapping");
  });

  it("is Suspended without a look, and keeps what was known", () => {
    const once = decided(facts());
    const { outcome: _outcome, ...unobserved } = facts({}, { ...once, spec: { ...once.spec, suspend: true } });
    expect(conditions(unobserved)).to.include({
      Accepted: "True Accepted",
      Synced: "True InSync",
      Ready: "False Suspended",
    });
  });

  it("stays synced while its Pods are replaced, and is not before they first ran", () => {
    const rolling = outcome({ synced: { done: false, reason: "Updating", message: "rolling" } });
    expect(conditions(facts({ outcome: rolling }))["Synced"]).to.equal("False Updating");
    expect(conditions(facts({ outcome: rolling }, decided(facts())))["Synced"]).to.equal("True Updating");
  });

  it("says what a deletion waits for", () => {
    const status = decideDeletingStatus(decided(facts()), "gateway Pod x still serves the rule", NOW);
    expect(findCondition(status.conditions, "Ready")).to.include({ status: "False", reason: "Deleting" });
    expect(findCondition(status.conditions, "Accepted")).to.include({ status: "True" });
  });
});

describe("what a rule says that its product has no place for", () => {
  const base = { registryRef: { name: "main" }, source: "quay.io/*", target: "quay/*" };

  it("is refused with the provider's name and what to remove", () => {
    expect(misfit({ ...base, options: { harbor: {} } }, "ecr")).to.equal(
      "options.harbor is for another product: the registry's provider is ecr; remove it",
    );
    expect(misfit({ ...base, remoteName: "quay-rule" }, "harbor"))
      .to.contain("remoteName")
      .and.contain("harbor");
  });

  it("is nothing where all of it fits", () => {
    expect(misfit(base, "zot")).to.equal(undefined);
    expect(misfit({ ...base, options: { harbor: { public: true } } }, "harbor")).to.equal(undefined);
    expect(misfit({ ...base, remoteName: "quay-rule" }, "azure")).to.equal(undefined);
  });
});

describe("the rules of a registry", () => {
  const same = { target: "x" };

  it("are accepted with the hosts that they use, canonical, suspended ones included", () => {
    const plan = planRules("main", [
      rule("a"),
      rule("b", { source: "quay.io/*", target: "q/*", suspend: true }),
      rule("c", { registryRef: { name: "other" } }),
    ]);
    expect([...plan.hosts].sort()).to.deep.equal(["index.docker.io", "quay.io"]);
    expect([...plan.verdicts.keys()].sort()).to.deep.equal(["a", "b"]);
  });

  it("give a target to one rule, and to the next when the first is deleted", () => {
    const first = rule("first", same, { creationTimestamp: "2029-01-01T00:00:00Z" });
    const second = rule("second", same);
    expect(planRules("main", [second, first]).verdicts.get("second")).to.include({
      accepted: false,
      reason: "Conflict",
      conflictsWith: "first",
    });
    const gone = { ...first, metadata: { ...first.metadata, deletionTimestamp: "2030-01-01T00:00:00Z" } };
    const plan = planRules("main", [second, gone]);
    expect(plan.verdicts.get("second")).to.include({ accepted: true });
    expect(plan.verdicts.has("first")).to.equal(false);
  });

  it("are refused one by one when they don't parse", () => {
    const plan = planRules("main", [rule("bad", { source: "nohost" }), rule("good")]);
    expect(plan.verdicts.get("bad")).to.include({ accepted: false, reason: "InvalidSpec" });
    expect(plan.verdicts.get("good")).to.include({ accepted: true });
  });

  it("are no more than the limit, the served and the oldest first", () => {
    const young = rule("young", { target: "1" });
    const old = rule("old", { target: "2" }, { creationTimestamp: "2029-01-01T00:00:00Z" });
    const served = decided(facts({}, rule("zz-served", { target: "3" })));
    const { verdicts } = planRules("main", [young, old, served], { limit: 2 });
    expect(verdicts.get("young")).to.include({ accepted: false, reason: "LimitExceeded" });
    expect(verdicts.get("old")).to.include({ accepted: true });
    expect(verdicts.get("zz-served")).to.include({ accepted: true });
  });
});
