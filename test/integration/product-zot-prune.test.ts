import { expect } from "chai";
import { RenderedProvider } from "../../operator/providers/rendered.ts";
import { SimulatedCluster } from "../support/simulated-cluster.ts";
import { BASE, type ConfigMap, REGISTRY, start } from "./product-zot-harness.ts";

describe("a zot and its rules that are deleted together (the reconcilers, in memory)", () => {
  type Stage = ReturnType<typeof start> & {
    readonly cluster: SimulatedCluster;
    readonly pass: (seconds: number) => Promise<void>;
    readonly ready: () => string | undefined;
  };

  /** With a rule that is served. */
  async function withStage(spec: object, work: (stage: Stage) => Promise<void>): Promise<void> {
    const made = start();
    const cluster = new SimulatedCluster(new RenderedProvider(made.zot));
    const pass = async (seconds: number) => {
      for (let second = 0; second < seconds; second++) {
        made.kube.rollOut("zot");
        await made.clock.advance(1_000);
        await cluster.advance(1);
      }
    };
    const ready = () => cluster.registry("main")?.status?.conditions?.find(({ type }) => type === "Ready")?.message;
    try {
      cluster.applyRegistry("main", { ...REGISTRY.spec, ...spec, azure: undefined } as unknown as typeof REGISTRY.spec);
      cluster.applyRule("hub", { source: "docker.io/library/*", target: "hub/*" });
      await pass(120);
      expect(cluster.condition("hub", "Ready")).to.equal("True Ready");
      await work({ ...made, cluster, pass, ready });
    } finally {
      await cluster.stop();
    }
  }

  async function goTogether({ cluster, pass, config }: Stage): Promise<void> {
    cluster.deleteRule("hub");
    cluster.deleteRegistry("main");
    await pass(10);
    expect(cluster.rule("hub")).to.equal(undefined);
    cluster.deleteRegistry("main"); // as the trigger brings it, when its last rule is gone
    await pass(10);
    expect(cluster.registry("main")).to.equal(undefined);
    expect(config()).to.deep.equal(BASE);
    expect(cluster.events.map(({ reason }) => reason)).to.not.include("LeftBehind");
  }

  /** Another's hand writes the configuration. */
  const meddle = ({ kube }: Stage, edit: (text: string) => string) => {
    const found = kube.peek<ConfigMap>("ConfigMap", "zot-config");
    if (found === undefined) throw new Error("no ConfigMap");
    kube.put({ ...found, data: { "config.json": edit(found.data?.["config.json"] ?? "") } });
  };

  it("go as soon as the Pods are new, and leave nothing behind", async () => {
    await withStage({}, goTogether);
  });

  it("go as soon where somebody changed what is rendered, and drift is only reported", async () => {
    await withStage({ driftPolicy: "Report" }, async (stage) => {
      meddle(stage, (text) => {
        const config = JSON.parse(text);
        return JSON.stringify({
          ...config,
          extensions: { ...config.extensions, sync: { ...config.extensions.sync, enable: false } },
        });
      });
      await goTogether(stage);
    });
  });

  it("say what holds them up, and go once that is put right", async () => {
    await withStage({}, async (stage) => {
      const { cluster, pass, ready } = stage;
      let right = "";
      meddle(stage, (text) => {
        right = text;
        return "{";
      });
      cluster.deleteRule("hub");
      cluster.deleteRegistry("main");
      await pass(10);
      expect(ready()).to.include("delete them. Of those that are deleted: config.json of ConfigMap");
      meddle(stage, () => right);
      await pass(10);
      expect(cluster.rule("hub")).to.equal(undefined);
    });
  });
});
