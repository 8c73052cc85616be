import { expect } from "chai";
import { Resources } from "../../adapters/kube/resources.ts";
import type { KubeObject } from "../../adapters/kube/types.ts";
import { backendName, gatewayName } from "../../core/cacheregistry/names.ts";
import { CACHE_REGISTRIES, CACHE_RULES, type CacheRuleObject } from "../../crds/index.ts";
import { ownControlPlane } from "../support/cluster.ts";
import { eventually } from "../support/kube.ts";
import { NAMESPACE, type OperatorStage, operatorStage } from "./operator-harness.ts";

const REGISTRY = "scale-test";
const RULES = 2_000;
/** How many are asked for at once: kubectl asks for one after the other, and for 50 a second at most. */
const AT_ONCE = 16;

describe(`An operator with ${RULES} rules on a real API server`, function () {
  this.timeout(600_000);
  let stage: OperatorStage;
  let end: (() => Promise<void>) | undefined;

  before(async function () {
    const own = await ownControlPlane("scale");
    end = own.end;
    // The lease of an installation: a busy API server is no reason to give it up.
    const env = { HEALTHY_INTERVAL: "10m", LEASE_DURATION: "15s" };
    const made = await operatorStage(this.test?.parent?.title, REGISTRY, { env, cluster: own.cluster });
    if (made === undefined) return this.skip();
    stage = made;
  });

  after(async () => {
    await stage?.stop();
    await end?.();
  });

  const names = Array.from({ length: RULES }, (_, i) => `scale-${String(i).padStart(4, "0")}`);

  /** Makes the rules; gives what a gateway's page says of them once it has seen them all. */
  async function createRules(): Promise<Record<string, object>> {
    const left = [...names];
    const page: Record<string, object> = {};
    const work = async () => {
      for (let name = left.pop(); name !== undefined; name = left.pop()) {
        const source = `${stage.cluster.registry}/${name}`;
        const { metadata } = await stage.client.create<KubeObject & { spec: object }>(CACHE_RULES, {
          apiVersion: "entrepot.dev/v1alpha1",
          kind: "CacheRule",
          metadata: { name },
          spec: { registryRef: { name: REGISTRY }, source, target: `t/${name}` },
        });
        page[name] = { uid: metadata.uid, generation: metadata.generation, backendReady: true };
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    return page;
  }

  async function ready(): Promise<number> {
    stage.operator.mustLive();
    const { items } = await stage.client.list<CacheRuleObject>(CACHE_RULES);
    const isReady = ({ status }: CacheRuleObject) =>
      status?.conditions?.some(({ type, status: value }) => type === "Ready" && value === "True") === true;
    return items.filter(isReady).length;
  }

  it("brings all of them to Ready", async () => {
    const gateway = gatewayName(REGISTRY);
    const storage = { emptyDir: { sizeLimit: "1Gi" } };
    await stage.client.create(CACHE_REGISTRIES, {
      apiVersion: "entrepot.dev/v1alpha1",
      kind: "CacheRegistry",
      metadata: { name: REGISTRY },
      spec: {
        inCluster: { pullHost: "scale.example:5000", replicas: 1, storage },
        upstreams: [{ host: stage.cluster.registry, plainHTTP: true }],
      },
    });
    const page = await createRules();
    const made = backendName(REGISTRY, stage.cluster.registry);
    for (const deployment of [gateway, made]) {
      const get = () =>
        stage.client.get(Resources.deployments, deployment, { namespace: NAMESPACE }).catch(() => undefined);
      await eventually(`Deployment ${deployment} is made`, get);
      await stage.kubelet.run(`app.kubernetes.io/instance=${deployment}`, deployment);
    }
    stage.pages.rules = page;
    await stage.kubelet.expose(gateway);
    await eventually("all rules are Ready", async () => (await ready()) === RULES, 500_000, 3_000);
  });

  it("knows after a restart that all is well, within a minute, without a write and within 400 MB", async () => {
    const { operator } = stage;
    await operator.stop("SIGKILL");
    const begun = performance.now();
    await operator.start();
    const done = async () =>
      (await operator.sample("entrepot_reconciles_total", { controller: "cacherule", outcome: "success" })) >= RULES &&
      (await operator.sample("entrepot_workqueue_depth", { controller: "cacherule" })) === 0;
    await eventually("every rule was reconciled", done, 120_000, 500);
    const seconds = (performance.now() - begun) / 1_000;
    console.log(`      ${RULES} rules: ${seconds.toFixed(1)} s, ${operator.peakMegabytes.toFixed(0)} MB at most`);
    expect(seconds).to.be.below(60);
    expect(operator.peakMegabytes).to.be.below(400);
    const ruleWrites = await operator.sample("entrepot_kube_requests_total", { verb: "apply", resource: "cacherules" });
    expect(ruleWrites).to.equal(0);
    expect(await ready()).to.equal(RULES);
  });
});
