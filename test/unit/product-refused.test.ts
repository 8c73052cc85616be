import { expect } from "chai";
import fc from "fast-check";
import { parseMapping } from "../../core/cacherule/mapping.ts";
import { NothingMade } from "../../operator/providers/attempts.ts";
import { ProductProvider } from "../../operator/providers/product.ts";
import type { RuleRequest } from "../../operator/providers/provider.ts";
import { type Fault, SimulatedProduct } from "../support/simulated-product.ts";
import { withRestedCluster } from "../support/simulated-registry.ts";

const HOUR = 3_600;
const DEFINITE: readonly Fault[] = ["refused", "forbidden", "unauthenticated"];

function always(fault: Fault): Fault[] {
  return Array.from({ length: 10_000 }, () => fault);
}

/** What is asked of a rule while its status says that it is about to be made. */
function announced(name: string): RuleRequest {
  const apiVersion = "entrepot.dev/v1alpha1";
  const metadata = { uid: name, generation: 1, resourceVersion: "1" };
  const creationTimestamp = "2030-01-01T00:00:00Z";
  const spec = { registryRef: { name: "main" }, source: `docker.io/acme/${name}`, target: name };
  const azure = { subscriptionId: "s", resourceGroup: "g", registryName: "main", auth: { workloadIdentity: {} } };
  return {
    rule: {
      apiVersion,
      kind: "CacheRule",
      metadata: { ...metadata, name, creationTimestamp },
      spec: { ...spec, adoptionPolicy: "Never" },
      status: { remoteId: `/rules/${name}` },
    },
    registry: {
      apiVersion,
      kind: "CacheRegistry",
      metadata: { ...metadata, name: "main", creationTimestamp },
      spec: { azure },
    },
    mapping: parseMapping(spec),
    host: "docker.io",
  };
}

describe("rules that a registry product refuses to make (simulated)", () => {
  for (const fault of DEFINITE) {
    it(`are nobody's when another makes the same afterwards (${fault})`, async () => {
      await withRestedCluster(async (cluster, product) => {
        product.faultsOfCreate.push(...always(fault));
        cluster.applyRule("same", { adoptionPolicy: "Never" });
        await cluster.advance(HOUR);
        expect(cluster.rule("same")?.status?.remoteId).to.equal(undefined);
        product.meddle("/rules/same", { source: "docker.io/acme/same" });
        await cluster.advance(HOUR);
        expect(cluster.condition("same", "Ready")).to.equal("False ForeignRule");
        cluster.deleteRule("same");
        await cluster.advance(10);
        expect(cluster.rule("same")).to.equal(undefined);
        expect(product.rules.get("/rules/same")?.by).to.equal("another");
        expect([product.writes, product.trespasses]).to.deep.equal([0, 0]);
        expect(cluster.events.map(({ reason }) => reason)).to.include("LeftBehind");
      });
    });
  }

  it("are nobody's after a restart either", async () => {
    await withRestedCluster(async (cluster, product, restart) => {
      product.faultsOfCreate.push(...always("refused"));
      cluster.applyRule("same", { adoptionPolicy: "Never" });
      await cluster.advance(HOUR);
      product.meddle("/rules/same", { source: "docker.io/acme/same" });
      const next = await restart();
      await next.advance(10);
      expect(next.condition("same", "Ready")).to.equal("False ForeignRule");
    });
  });

  it("are left alone when the CacheRule is deleted before anybody looked again", async () => {
    await withRestedCluster(async (cluster, product) => {
      product.faultsOfCreate.push(...always("refused"));
      cluster.applyRule("same");
      await cluster.advance(60);
      product.meddle("/rules/same", { source: "docker.io/acme/same" });
      cluster.deleteRule("same");
      await cluster.advance(10);
      expect(product.rules.get("/rules/same")?.by).to.equal("another");
    });
  });

  it("cost no status at rest and few attempts, and say why", async () => {
    for (const fault of DEFINITE) {
      await withRestedCluster(async (cluster, product) => {
        product.faultsOfCreate.push(...always(fault));
        cluster.applyRule("never");
        await cluster.advance(HOUR);
        expect(cluster.condition("never", "Synced")).to.match(/^False (RemoteError|SignInFailed)$/);
        const { statusWrites } = cluster;
        const left = product.faultsOfCreate.length;
        const events = cluster.events.length;
        await cluster.advance(HOUR);
        expect([cluster.statusWrites, cluster.events.length], fault).to.deep.equal([statusWrites, events]);
        expect(left - product.faultsOfCreate.length, "attempts").to.be.within(5, 20);
      });
    }
  });

  it("are made as soon as they may be, and are ours, also when that answer is lost", async () => {
    const histories: readonly (readonly Fault[])[] = [
      ["refused"],
      ["refused", "lost-response"],
      ["forbidden", "refused", "lost-response"],
      ["forbidden", "unavailable", "refused", "lost-response"],
      ["lost-response"],
    ];
    for (const faults of histories) {
      await withRestedCluster(async (cluster, product) => {
        product.faultsOfCreate.push(...faults);
        cluster.applyRule("late", { adoptionPolicy: "Never" });
        await cluster.advance(HOUR);
        expect(cluster.condition("late", "Ready"), faults.join()).to.equal("True Ready");
        expect(cluster.rule("late")?.status?.adopted).to.equal(undefined);
        expect(product.writes).to.equal(1);
        cluster.deleteRule("late");
        await cluster.advance(10);
        expect(product.rules.has("/rules/late")).to.equal(false);
      });
    }
  });

  it("stay announced where the refusal came after they were made", async () => {
    await withRestedCluster(async (cluster, product) => {
      product.faultsOfCreate.push("refused-after");
      cluster.applyRule("half", { adoptionPolicy: "Never" });
      await cluster.advance(HOUR);
      expect(cluster.condition("half", "Ready")).to.equal("True Ready");
      expect(product.writes).to.equal(1);
    });
  });

  it("stay announced where nobody can look whether they were made", async () => {
    await withRestedCluster(async (cluster, product) => {
      product.faultsOfCreate.push("refused-after");
      product.faultsAfterCreate.push("unavailable");
      cluster.applyRule("half", { adoptionPolicy: "Never" });
      await cluster.advance(HOUR);
      expect(cluster.condition("half", "Ready")).to.equal("True Ready");
      expect(product.writes).to.equal(1);
    });
  });

  it("are nobody's while status still announces them, for want of a write", async () => {
    const product = new SimulatedProduct();
    const provider = new ProductProvider(product);
    const request = announced("same");
    const { signal } = new AbortController();
    product.faultsOfCreate.push("refused");
    const thrown: unknown = await provider.serve(request, signal).catch((reason: unknown) => reason);
    expect(thrown).to.be.an.instanceOf(NothingMade).with.property("message", "it says no");
    product.meddle("/rules/same", { source: "docker.io/acme/same" });
    expect((await provider.serve(request, signal)).synced).to.include({ reason: "ForeignRule" });
    expect(await provider.remove(request, false, signal)).to.have.property("left");
    expect(product.rules.get("/rules/same")?.by).to.equal("another");
  });

  it("end up ours or another's as they were made, after any history, and another's is never touched", async () => {
    const step = fc.oneof(
      fc.record({
        do: fc.constant("fault" as const),
        fault: fc.constantFrom<Fault>("refused", "forbidden", "refused-after", "lost-response"),
      }),
      fc.constantFrom("apply", "delete", "same", "ask", "lose-status", "restart").map((what) => ({ do: what })),
      fc.record({ do: fc.constant("wait" as const), seconds: fc.constantFrom(7, 700) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
        await withRestedCluster(async (first, product, restart) => {
          let cluster = first;
          let isForgetful = false;
          for (const one of steps) {
            if ("fault" in one) product.faultsOfCreate.push(one.fault);
            else if (one.do === "apply") cluster.applyRule("a", { adoptionPolicy: "Never" });
            else if (one.do === "delete") cluster.deleteRule("a");
            else if (one.do === "ask") cluster.ask("a");
            else if (one.do === "lose-status") cluster.loseStatus("a");
            else if (one.do === "restart") cluster = await restart();
            else if (one.do === "same" && !product.rules.has("/rules/a"))
              product.meddle("/rules/a", { source: "docker.io/acme/a" });
            isForgetful ||= one.do === "lose-status" || one.do === "restart";
            await cluster.advance("seconds" in one ? one.seconds : 2);
          }
          const isTheirs = product.rules.get("/rules/a")?.by === "another";
          await cluster.advance(HOUR);
          product.faultsOfCreate.length = 0;
          await cluster.advance(HOUR);
          expect(product.trespasses, "writes to another's rule").to.equal(0);
          const by = product.rules.get("/rules/a")?.by;
          if (isTheirs) expect(by).to.equal("another");
          if (cluster.rule("a") === undefined) return;
          const ready = cluster.condition("a", "Ready");
          if (by === "another") expect(ready).to.equal("False ForeignRule");
          else if (!isForgetful) expect([by, ready]).to.deep.equal(["us", "True Ready"]);
        });
      }),
      { numRuns: 150 },
    );
  }).timeout(60_000);
});
