import { expect } from "chai";
import { RenderedProvider } from "../../operator/providers/rendered.ts";
import { SimulatedCluster } from "../support/simulated-cluster.ts";
import { BASE, REGISTRY, start } from "./product-zot-harness.ts";

describe("a zot and its rules that are deleted together (the reconcilers, in memory)", () => {
  it("go as soon as the Pods are new, and leave nothing behind", async () => {
    const { zot, kube, clock, config } = start();
    const cluster = new SimulatedCluster(new RenderedProvider(zot));
    const pass = async (seconds: number) => {
      for (let second = 0; second < seconds; second++) {
        kube.rollOut("zot");
        await clock.advance(1_000);
        await cluster.advance(1);
      }
    };
    try {
      cluster.applyRegistry("main", { ...REGISTRY.spec, azure: undefined } as unknown as typeof REGISTRY.spec);
      cluster.applyRule("hub", { source: "docker.io/library/*", target: "hub/*" });
      await pass(120);
      expect(cluster.condition("hub", "Ready")).to.equal("True Ready");
      cluster.deleteRule("hub");
      cluster.deleteRegistry("main");
      await pass(10);
      expect(cluster.rule("hub")).to.equal(undefined);
      cluster.deleteRegistry("main"); // as the trigger brings it, when its last rule is gone
      await pass(10);
      expect(cluster.registry("main")).to.equal(undefined);
      expect(config()).to.deep.equal(BASE);
      expect(cluster.events.map(({ reason }) => reason)).to.not.include("LeftBehind");
    } finally {
      await cluster.stop();
    }
  });
});
