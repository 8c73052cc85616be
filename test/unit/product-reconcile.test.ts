import { expect } from "chai";
import fc from "fast-check";
import type { RenderedRegistry } from "../../operator/providers/provider.ts";
import { RenderedProvider } from "../../operator/providers/rendered.ts";
import { SimulatedCluster } from "../support/simulated-cluster.ts";
import type { Fault } from "../support/simulated-product.ts";
import { withCluster } from "../support/simulated-registry.ts";

const HOUR = 3_600;

/** Seconds in which everything comes to rest, the longest back-off included. */
const REST = 2 * HOUR;

describe("rules of a registry that is rendered as a whole (simulated)", () => {
  it("cost no write and no status in ten minutes at rest, however often they are looked at", async () => {
    let looks = 0;
    const done = { done: true } as const;
    const registry: RenderedRegistry = {
      name: "azure",
      holdsRules: false,
      pullHost: () => "cache.example",
      identity: () => "cache.example",
      judge: () => undefined,
      prepare: async () => ({
        ready: done,
        upstreams: [{ host: "docker.io", health: "Healthy", reason: "Reachable" }],
      }),
      withdraw: async () => done,
      removed: async () => done,
      observe: async () => {
        looks += 1;
        const health = { kind: "reachable", credentials: "untried" } as const;
        return { synced: done, serving: done, upstream: { kind: "probed", anonymous: true, health } };
      },
    };
    const cluster = new SimulatedCluster(new RenderedProvider(registry));
    cluster.applyRegistry("main", {});
    for (let i = 0; i < 100; i++) cluster.applyRule(`rule-${i}`);
    await cluster.advance(30);
    expect(cluster.condition("rule-42", "Ready")).to.equal("True Ready");
    const { statusWrites, finalizerWrites } = cluster;
    const before = looks;
    await cluster.advance(600);
    await cluster.stop();
    expect([cluster.statusWrites, cluster.finalizerWrites]).to.deep.equal([statusWrites, finalizerWrites]);
    expect(looks - before, "a look each minute").to.be.within(1_000, 1_100);
  });
});

describe("rules of a registry product (simulated)", () => {
  it("are made once, Ready, and then cost neither a write nor a status in ten minutes", async () => {
    await withCluster(async (cluster, product) => {
      for (let i = 0; i < 200; i++) cluster.applyRule(`rule-${i}`);
      await cluster.advance(60);
      expect(cluster.condition("rule-7", "Ready")).to.equal("True Ready");
      expect(product.writes).to.equal(200);
      const { statusWrites, finalizerWrites } = cluster;
      const { reads } = product;
      await cluster.advance(600);
      expect(cluster.statusWrites).to.equal(statusWrites);
      expect(cluster.finalizerWrites).to.equal(finalizerWrites);
      expect(product.writes).to.equal(200);
      expect(product.reads - reads, "one comparison each, and the registry's").to.be.within(200, 202);
    });
  });

  it("wait for a slow operation, whoever restarts meanwhile", async () => {
    await withCluster(async (cluster, product) => {
      product.slowness = 3;
      cluster.applyRule("slow");
      await cluster.advance(1);
      expect(cluster.condition("slow", "Ready")).to.match(/^False (Creating|Updating)$/);
      await cluster.advance(60);
      expect(cluster.condition("slow", "Ready")).to.equal("True Ready");
      expect(product.writes).to.equal(1);
    });
  });

  it("do not become two when the answer to a creation is lost, nor somebody else's", async () => {
    await withCluster(async (cluster, product) => {
      product.faultsOfCreate.push("lost-response");
      cluster.applyRule("lost", { adoptionPolicy: "Never" });
      await cluster.advance(HOUR);
      expect(cluster.condition("lost", "Ready")).to.equal("True Ready");
      expect(product.writes).to.equal(1);
      expect(cluster.rule("lost")?.status?.adopted).to.equal(undefined);
    });
  });

  it("are corrected when another changed them, with an Event and the fields in status", async () => {
    await withCluster(async (cluster, product) => {
      cluster.applyRule("drifts");
      await cluster.advance(10);
      product.meddle("/rules/drifts", { credentials: "other" });
      cluster.ask("drifts"); // as entrepot.dev/reconcile-at does
      await cluster.advance(10);
      expect(product.rules.get("/rules/drifts")?.credentials).to.equal("declared");
      expect(cluster.condition("drifts", "Synced")).to.equal("True InSync");
      expect(cluster.rule("drifts")?.status?.drift?.fields).to.deep.equal(["credentials"]);
      expect(cluster.events.map(({ reason }) => reason)).to.include("DriftCorrected");
    });
  });

  it("are only reported where the registry says so, once", async () => {
    await withCluster(async (cluster, product) => {
      cluster.applyRegistry("main", { driftPolicy: "Report" });
      cluster.applyRule("drifts");
      await cluster.advance(10);
      product.meddle("/rules/drifts", { credentials: "other" });
      await cluster.advance(HOUR);
      expect(product.rules.get("/rules/drifts")?.credentials).to.equal("other");
      expect(cluster.condition("drifts", "Synced")).to.equal("False Drifted");
      const { statusWrites } = cluster;
      await cluster.advance(HOUR);
      expect(cluster.statusWrites).to.equal(statusWrites);
    });
  });

  it("are made again when they are gone", async () => {
    await withCluster(async (cluster, product) => {
      cluster.applyRule("gone");
      await cluster.advance(10);
      product.rules.delete("/rules/gone");
      await cluster.advance(HOUR);
      expect(product.rules.get("/rules/gone")?.by).to.equal("us");
      expect(cluster.condition("gone", "Ready")).to.equal("True Ready");
      expect(cluster.rule("gone")?.status?.drift?.fields).to.deep.equal(["*"]);
    });
  });

  it("leave a foreign rule of their name alone, at creation and at deletion", async () => {
    await withCluster(async (cluster, product) => {
      product.meddle("/rules/taken", { source: "docker.io/other/thing" });
      cluster.applyRule("taken");
      await cluster.advance(HOUR);
      expect(cluster.condition("taken", "Ready")).to.equal("False ForeignRule");
      cluster.deleteRule("taken");
      await cluster.advance(10);
      expect(cluster.rule("taken")).to.equal(undefined);
      expect(product.rules.get("/rules/taken")?.by).to.equal("another");
      expect(product.writes).to.equal(0);
      expect(cluster.events.map(({ reason }) => reason)).to.include("LeftBehind");
    });
  });

  it("are taken over where they say the same, and not deleted when they were changed since", async () => {
    await withCluster(async (cluster, product) => {
      product.meddle("/rules/same", { source: "docker.io/acme/same" });
      cluster.applyRule("same");
      await cluster.advance(10);
      expect(cluster.condition("same", "Ready")).to.equal("True Ready");
      expect(cluster.rule("same")?.status?.adopted).to.equal(true);
      product.meddle("/rules/same", { credentials: "other" });
      cluster.deleteRule("same");
      await cluster.advance(10);
      expect(cluster.rule("same")).to.equal(undefined);
      expect(product.rules.has("/rules/same")).to.equal(true);
    });
  });

  it("go with their object, and stay under Retain", async () => {
    await withCluster(async (cluster, product) => {
      cluster.applyRule("goes");
      cluster.applyRule("stays", { deletionPolicy: "Retain" });
      await cluster.advance(10);
      cluster.deleteRule("goes");
      cluster.deleteRule("stays");
      await cluster.advance(10);
      expect([cluster.rule("goes"), cluster.rule("stays")]).to.deep.equal([undefined, undefined]);
      expect([...product.rules.keys()]).to.deep.equal(["/rules/stays"]);
    });
  });

  it("do not hold up a deletion for ever when the product can't be asked", async () => {
    await withCluster(async (cluster, product) => {
      cluster.applyRule("stuck");
      await cluster.advance(10);
      product.faults.push(...Array.from({ length: 10_000 }, (): Fault => "unauthenticated"));
      cluster.deleteRule("stuck");
      await cluster.advance(300);
      expect(cluster.condition("stuck", "Ready")).to.equal("False Deleting");
      await cluster.advance(400);
      expect(cluster.rule("stuck")).to.equal(undefined);
      expect(cluster.events.at(-1)).to.include({ reason: "LeftBehind" });
      expect(cluster.events.at(-1)?.note).to.contain('"/rules/stuck" stays in the registry: the token expired');
    });
  });

  it("of a second CacheRegistry for the same registry are not made, and are when the first one goes", async () => {
    await withCluster(async (cluster, product) => {
      const azure = { subscriptionId: "s", resourceGroup: "g", registryName: "main", auth: { workloadIdentity: {} } };
      await cluster.advance(10);
      cluster.applyRegistry("second", { azure });
      cluster.applyRule("rival", { registryRef: { name: "second" } });
      await cluster.advance(60);
      expect(cluster.condition("rival", "Accepted")).to.equal("False DuplicateRegistry");
      expect(product.writes).to.equal(0);
      cluster.removeRegistry("main");
      cluster.ask("rival");
      await cluster.advance(60);
      expect(cluster.condition("rival", "Ready")).to.equal("True Ready");
    });
  });

  it("go at once with a registry that is gone", async () => {
    await withCluster(async (cluster, product) => {
      cluster.applyRule("orphan");
      await cluster.advance(10);
      product.faults.push(...Array.from({ length: 100 }, (): Fault => "registry-gone"));
      cluster.deleteRule("orphan");
      await cluster.advance(10);
      expect(cluster.rule("orphan")).to.equal(undefined);
      expect(cluster.events.map(({ reason }) => reason)).to.not.include("LeftBehind");
    });
  });

  it("stay as they were found while the product can't be asked: the registry says it for all", async () => {
    await withCluster(async (cluster, product) => {
      for (let i = 0; i < 20; i++) cluster.applyRule(`rule-${i}`);
      await cluster.advance(60);
      product.faults.push(...Array.from({ length: 10_000 }, (): Fault => "unauthenticated"));
      const { statusWrites } = cluster;
      await cluster.advance(HOUR);
      expect(cluster.statusWrites - statusWrites).to.equal(1);
      expect(cluster.condition("rule-3", "Ready")).to.equal("True Ready");
      const ready = cluster.registry("main")?.status?.conditions?.find(({ type }) => type === "Ready");
      expect(ready).to.include({ status: "False", reason: "SignInFailed", message: "the token expired" });
    });
  });

  it("come right after any history of faults and meddling, and never touch what is another's", async () => {
    const step = fc.oneof(
      fc.record({
        do: fc.constant("fault" as const),
        fault: fc.constantFrom<Fault>("throttled", "unavailable", "lost-response", "unauthenticated", "refused"),
      }),
      fc.record({
        do: fc.constantFrom(
          "apply" as const,
          "delete" as const,
          "lose-status" as const,
          "gone" as const,
          "drift" as const,
          "ask" as const,
        ),
        rule: fc.constantFrom("a", "b"),
      }),
      fc.record({ do: fc.constant("foreign" as const), rule: fc.constantFrom("a", "b") }),
      fc.record({ do: fc.constant("wait" as const), seconds: fc.constantFrom(1, 7, 40, 700) }),
      fc.record({ do: fc.constant("slow" as const), looks: fc.integer({ min: 0, max: 3 }) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
        await withCluster(async (cluster, product) => {
          for (const one of steps) {
            if (one.do === "fault") product.faults.push(one.fault);
            else if (one.do === "wait") await cluster.advance(one.seconds);
            else if (one.do === "slow") product.slowness = one.looks;
            else if (one.do === "apply") cluster.applyRule(one.rule);
            else if (one.do === "delete") cluster.deleteRule(one.rule);
            else if (one.do === "lose-status") cluster.loseStatus(one.rule);
            else if (one.do === "ask") cluster.ask(one.rule);
            else if (one.do === "gone") product.rules.delete(`/rules/${one.rule}`);
            else if (one.do === "drift" && product.rules.has(`/rules/${one.rule}`))
              product.meddle(`/rules/${one.rule}`, { credentials: "other" });
            else if (one.do === "foreign" && !product.rules.has(`/rules/${one.rule}`))
              product.meddle(`/rules/${one.rule}`, { source: "docker.io/other/thing" });
          }
          product.faults.length = 0;
          await cluster.advance(REST);
          const { statusWrites } = cluster;
          const { writes } = product;
          await cluster.advance(REST);
          expect(product.trespasses, "writes to another's rule").to.equal(0);
          expect([cluster.statusWrites, product.writes], "writes at rest").to.deep.equal([statusWrites, writes]);
          for (const name of ["a", "b"]) {
            const kept = product.rules.get(`/rules/${name}`);
            const rule = cluster.rule(name);
            if (rule === undefined) continue;
            expect(rule.metadata.deletionTimestamp, "a deletion that hangs").to.equal(undefined);
            expect(kept).to.not.equal(undefined);
            const isOther = kept?.source !== rule.spec.source;
            const isMine = kept?.credentials === "declared";
            const ready = cluster.condition(name, "Ready");
            if (isOther || !isMine) expect(ready).to.equal("False ForeignRule");
            else expect(ready).to.equal("True Ready");
          }
        });
      }),
      { numRuns: 150 },
    );
  }).timeout(60_000);
});
