// Scaling a sealed Deployment as autoscalers do: real API server, HorizontalPodAutoscaler, controllers, registry and cosign. The metric alone is made up.
import { expect } from "chai";
import { ExternalMetrics } from "../support/external-metrics.ts";
import { cost, kubectl, manifest, settled } from "./byte-stability-objects.ts";
import { Inheritance, sealOf } from "./inheritance-harness.ts";
import { imagesOf } from "./inheritance-objects.ts";

describe("byte stability under scaling", () => {
  let at: Inheritance;
  let metrics: ExternalMetrics;

  before(async function () {
    this.timeout(0);
    at = await Inheritance.open("scale");
    metrics = await ExternalMetrics.start(at.cluster);
  });

  after(async function () {
    this.timeout(120_000);
    await metrics?.stop();
    await at?.close();
  });

  async function deployed(name: string) {
    const { reference, digest } = await at.signed(`scale/${name}`);
    await at.apply(manifest(name, reference));
    const { seal } = await settled(at, name);
    expect(seal).to.include(digest);
    return { seal, image: `${reference}@${digest}` };
  }

  async function expectScaled(name: string, count: number, was: Awaited<ReturnType<typeof deployed>>) {
    const pods = await at.pods(name, count);
    expect(imagesOf(pods)).to.deep.equal([was.image]);
    expect(new Set(pods.map(sealOf))).to.deep.equal(new Set([was.seal]));
    expect((await settled(at, name)).seal).to.equal(was.seal);
  }

  it("through /scale, up and down: its Pods carry its annotation, which stays, and nobody is asked", async () => {
    const was = await deployed("by-hand");
    const path = `/apis/apps/v1/namespaces/${at.name}/deployments/by-hand/scale`;
    const spent = await cost(at, async () => {
      for (const replicas of [5, 2, 4]) {
        const scale = JSON.parse(await at.kubectl("get", "--raw", path)) as { spec: object };
        await kubectl(at, { ...scale, spec: { replicas } }, "replace", "--raw", path, "-f", "-");
        await expectScaled("by-hand", replicas, was);
      }
    });
    expect(spent).to.equal(0);
  });

  it("by a HorizontalPodAutoscaler, after a restart of the webhook: the same", async function () {
    this.timeout(240_000);
    const was = await deployed("by-load");
    await at.restartWebhook();
    const spent = await cost(at, async () => {
      metrics.load = 4;
      await at.apply({
        apiVersion: "autoscaling/v2",
        kind: "HorizontalPodAutoscaler",
        metadata: { name: "by-load" },
        spec: {
          scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "by-load" },
          minReplicas: 1,
          maxReplicas: 10,
          metrics: [
            {
              type: "External",
              external: { metric: { name: "load" }, target: { type: "AverageValue", averageValue: "1" } },
            },
          ],
          behavior: { scaleDown: { stabilizationWindowSeconds: 0 } },
        },
      });
      await expectScaled("by-load", 4, was);
      metrics.load = 2;
      await expectScaled("by-load", 2, was);
    });
    expect(spent).to.equal(0);
  });
});
