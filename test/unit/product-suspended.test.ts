import { expect } from "chai";
import { parseMapping } from "../../core/cacherule/mapping.ts";
import type { CacheRuleObject, Provider } from "../../crds/index.ts";
import { decideRuleStatus } from "../../operator/cacherule/decide.ts";
import type { SimulatedCluster } from "../support/simulated-cluster.ts";
import { withCluster } from "../support/simulated-registry.ts";

function readyMessage(cluster: SimulatedCluster, rule: string): string | undefined {
  return cluster.rule(rule)?.status?.conditions?.find(({ type }) => type === "Ready")?.message;
}

describe("a suspended rule of a registry product (simulated)", () => {
  it("stays in the registry, and says so and how to take it away", async () => {
    await withCluster(async (cluster, product) => {
      cluster.applyRule("poisoned");
      await cluster.advance(10);
      cluster.applyRule("poisoned", { suspend: true });
      await cluster.advance(10);
      expect(product.rules.has("/rules/poisoned")).to.equal(true);
      expect(cluster.condition("poisoned", "Ready")).to.equal("False Suspended");
      expect(readyMessage(cluster, "poisoned"))
        .to.contain('"/rules/poisoned" stays in the registry and goes on serving pulls')
        .and.contain("delete the CacheRule to take it away")
        .and.not.contain("not served");
      const { reads, writes } = product;
      cluster.ask("poisoned");
      await cluster.advance(60);
      expect([product.reads, product.writes], "it is neither looked at nor written").to.deep.equal([reads, writes]);
      cluster.deleteRule("poisoned");
      await cluster.advance(10);
      expect(product.rules.has("/rules/poisoned")).to.equal(false);
    });
  });

  it("is not served where nothing was made of it", async () => {
    await withCluster(async (cluster, product) => {
      cluster.applyRule("early", { suspend: true });
      await cluster.advance(10);
      expect(product.writes).to.equal(0);
      expect(readyMessage(cluster, "early")).to.equal(
        "spec.suspend is true: the rule is not served; set it to false to serve it",
      );
    });
  });

  it("may be in the registry where no answer came to its making", async () => {
    await withCluster(async (cluster, product) => {
      product.faultsOfCreate.push(...Array.from({ length: 10_000 }, () => "unavailable" as const));
      cluster.applyRule("lost");
      await cluster.advance(60);
      cluster.applyRule("lost", { suspend: true });
      await cluster.advance(10);
      expect(readyMessage(cluster, "lost")).to.contain('"/rules/lost" may be in the registry');
    });
  });

  it("is not said to be closed where the registry has its images and serves them without Entrepot", () => {
    const metadata = {
      name: "r",
      uid: "u",
      generation: 1,
      resourceVersion: "1",
      creationTimestamp: "2030-01-01T00:00:00Z",
    };
    const spec = { registryRef: { name: "main" }, source: "quay.io/*", target: "quay/*", suspend: true };
    const rule: CacheRuleObject = { apiVersion: "entrepot.dev/v1alpha1", kind: "CacheRule", metadata, spec };
    const verdict = { accepted: true, mapping: parseMapping(spec) } as const;
    const messageBy = (provider: Provider) =>
      decideRuleStatus({ rule, verdict, provider, pullHost: "h" }, new Date(0)).conditions?.find(
        ({ type }) => type === "Ready",
      )?.message;
    expect(messageBy("inCluster")).to.contain("the rule is not served");
    for (const provider of ["zot", "distribution"] as const)
      expect(messageBy(provider)).to.contain("what is cached there may still be pulled").and.not.contain("not served");
  });

  it("is not said to go with its CacheRule under Retain", async () => {
    await withCluster(async (cluster) => {
      cluster.applyRule("kept", { deletionPolicy: "Retain" });
      await cluster.advance(10);
      cluster.applyRule("kept", { deletionPolicy: "Retain", suspend: true });
      await cluster.advance(10);
      expect(readyMessage(cluster, "kept")).to.contain("delete it there").and.not.contain("delete the CacheRule to");
    });
  });
});
