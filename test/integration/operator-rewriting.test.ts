import { expect } from "chai";
import { dump } from "js-yaml";
import { isKubeError } from "../../adapters/kube/errors.ts";
import { Resources } from "../../adapters/kube/resources.ts";
import type { KubeObject } from "../../adapters/kube/types.ts";
import { backendName, gatewayName } from "../../core/cacheregistry/names.ts";
import { type Condition, findCondition } from "../../core/conditions.ts";
import { CACHE_REGISTRIES, CACHE_RULES, type CacheRegistryObject, type CacheRuleObject } from "../../crds/index.ts";
import type { ExtraRegistry } from "../support/cluster.ts";
import { eventually } from "../support/kube.ts";
import { NAMESPACE, type OperatorStage, operatorStage } from "./operator-harness.ts";

const REGISTRY = "rewriting-gateway";
const GATEWAY = gatewayName(REGISTRY);
const NAME = "rewriting.entrepot.dev";
const RULES = 20;

type Configuration = KubeObject & {
  readonly webhooks: readonly { failurePolicy: string; namespaceSelector: object }[];
};

describe("The operator and what rewriting needs, on a real API server", function () {
  this.timeout(120_000);
  let stage: OperatorStage;
  let far: ExtraRegistry;
  let upstream: ExtraRegistry;

  before(async function () {
    this.timeout(0);
    // What is well is left alone for longer than this test takes: nothing here comes from looking again.
    const made = await operatorStage(this.test?.parent?.title, REGISTRY, {
      env: { HEALTHY_INTERVAL: "30m", LEASE_DURATION: "15s" },
    });
    if (made === undefined) return this.skip();
    stage = made;
    far = await stage.cluster.startRegistry({ name: `far-${process.pid}`, auth: true });
    upstream = await stage.cluster.startRegistry({ name: `up-${process.pid}` });
  });

  after(async () => {
    if (stage === undefined) return;
    stage.pages.rules = {};
    try {
      await stage.cluster.kubectl(["delete", "cacherules,cacheregistries", "--all", "--wait=false"]);
      await eventually("all rules and registries are gone", async () => {
        return (await stage.cluster.kubectl(["get", "cacherules,cacheregistries", "-o", "name"])).trim() === "";
      });
      await stage.cluster.kubectl(["-n", NAMESPACE, "delete", "cm", "config-policy-controller", "--ignore-not-found"]);
    } finally {
      await stage.stop(); // or it would lead, and put its webhooks back, beside the next one
      await Promise.all([far?.stop(), upstream?.stop()]);
    }
  });

  async function apply(...objects: readonly object[]): Promise<void> {
    const text = objects.map((object) => dump(object, { noRefs: true })).join("---\n");
    await stage.cluster.kubectl(
      ["apply", "--server-side", "--force-conflicts", "--field-manager=test", "-f", "-"],
      text,
    );
  }

  const registryOf = (name: string, spec: object) => ({
    apiVersion: "entrepot.dev/v1alpha1",
    kind: "CacheRegistry",
    metadata: { name },
    spec,
  });
  const ruleOf = (name: string, registry: string, source: string, target: string, more: object = {}) => ({
    apiVersion: "entrepot.dev/v1alpha1",
    kind: "CacheRule",
    metadata: { name },
    spec: { registryRef: { name: registry }, source, target, ...more },
  });
  const setMode = (mode: string) =>
    apply({
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "config-policy-controller", namespace: NAMESPACE },
      data: { "dev.entrepot.rewrite-images": mode },
    });

  async function configuration(): Promise<Configuration | undefined> {
    const got = stage.client.get<Configuration>(Resources.mutatingWebhookConfigurations, NAME);
    return await got.catch((thrown: unknown) => {
      if (isKubeError(thrown, "NOT_FOUND")) return undefined;
      throw thrown;
    });
  }

  const selects = async (operator: string, value: string) => {
    const text = JSON.stringify((await configuration())?.webhooks[0]?.namespaceSelector ?? "");
    return text.includes(`{"key":"entrepot.dev/rewrite","operator":"${operator}","values":["${value}"]}`);
  };

  describe("the webhook configuration", () => {
    it("is there without a ConfigMap, for labelled namespaces, exactly as the API server keeps it", async () => {
      await eventually("it is made", async () => await selects("In", "enabled"));
      await stage.operator.atRest();
      const made = (await configuration())?.metadata;
      expect(made?.labels).to.include({ "app.kubernetes.io/managed-by": "entrepot" });
      expect(made?.ownerReferences?.map(({ kind, name }) => `${kind} ${name}`)).to.deep.equal([
        `Namespace ${NAMESPACE}`,
      ]);
      expect(made?.generation, "written once: nothing in it is another than what was sent").to.equal(1);
    });

    it("is put right after meddling, and made again after its deletion", async () => {
      const patch = JSON.stringify([{ op: "replace", path: "/webhooks/0/failurePolicy", value: "Fail" }]);
      await stage.cluster.kubectl(["patch", "mutatingwebhookconfiguration", NAME, "--type=json", "-p", patch]);
      await eventually(
        "it holds up no Pod",
        async () => (await configuration())?.webhooks[0]?.failurePolicy === "Ignore",
      );
      const { uid } = (await configuration())?.metadata ?? {};
      await stage.cluster.kubectl(["delete", "mutatingwebhookconfiguration", NAME]);
      await eventually("it is back", async () => ![undefined, uid].includes((await configuration())?.metadata.uid));
    });

    it("goes when rewriting is turned off, and comes back with the mode", async () => {
      await setMode("off");
      await eventually("it is gone", async () => (await configuration()) === undefined);
      await stage.cluster.kubectl(["get", "mutatingwebhookconfiguration", "policy.sigstore.dev"]); // that one stays
      await setMode("all");
      await eventually("it is there for all", async () => await selects("NotIn", "disabled"));
      await stage.cluster.kubectl(["-n", NAMESPACE, "delete", "configmap", "config-policy-controller"]);
      await eventually("it is there for labelled", async () => await selects("In", "enabled"));
    });
  });

  describe("the condition Reachable", () => {
    const reachable = async () => {
      const found = await stage.client.get<CacheRegistryObject>(CACHE_REGISTRIES, "far");
      return findCondition(found.status?.conditions as readonly Condition[] | undefined, "Reachable");
    };
    const turns = (what: string | undefined) =>
      eventually(`Reachable is ${what}`, async () => (await reachable())?.status === what);
    const probes = () => far.requests().filter(({ path }) => path === "/v2/").length;

    let started = 0; // what was asked to see whether it runs

    before(async () => {
      started = probes();
      const own = {
        configMapRef: { name: "none", key: "config.yml" },
        workloadRef: { kind: "Deployment", name: "none" },
        pullHost: far.address,
      };
      await apply(registryOf("far", { distribution: own }));
    });

    it("is absent while nothing rewrites", async () => {
      await apply(ruleOf("far", "far", "quay.io/*", "*", { rewrite: "Never" }));
      await eventually("the rule is accepted", async () => {
        const rule = await stage.client.get<CacheRuleObject>(CACHE_RULES, "far");
        return (
          findCondition(rule.status?.conditions as readonly Condition[] | undefined, "Accepted")?.status === "True"
        );
      });
      await stage.operator.atRest();
      expect([await reachable(), probes()]).to.deep.equal([undefined, started]);
    });

    it("is True as soon as a rule rewrites and the host answers, beside what others say of the registry", async () => {
      await stage.cluster.kubectl(["patch", "cacherule", "far", "--type=merge", "-p", '{"spec":{"rewrite":"Pods"}}']);
      await turns("True");
      const { status } = await stage.client.get<CacheRegistryObject>(CACHE_REGISTRIES, "far");
      expect(status?.conditions?.map(({ type }) => type)).to.include.members(["Ready", "Reachable"]);
      const writes = await stage.operator.atRest();
      const before = probes();
      await eventually("it was asked twice more", () => probes() >= before + 2);
      // The reconciler of registries passes over it too.
      await stage.cluster.kubectl(["annotate", "cacheregistry", "far", "entrepot.dev/reconcile-at=now"]);
      await eventually("it was asked once more", () => probes() >= before + 3);
      expect(await stage.operator.writes()).to.equal(writes);
      expect((await reachable())?.status).to.equal("True");
    });

    it("is False while the host is gone, with the reason, and True when it is back; Events say so", async () => {
      await far.stop();
      await turns("False");
      expect((await reachable())?.message)
        .to.contain(`cannot talk to ${far.address} (ECONNREFUSED)`)
        .and.contain("Pods keep the upstream's names until it answers");
      await far.start();
      await turns("True");
      for (const reason of ["Unreachable", "Reachable"])
        await eventually(`an Event says ${reason}`, async () => {
          const about = `involvedObject.name=far,reason=${reason}`;
          return (await stage.cluster.kubectl(["get", "events", "--field-selector", about, "-o", "name"])) !== "";
        });
    });

    it("goes when rewriting is turned off, whatever was written beside it, and nobody is asked then", async () => {
      await apply(ruleOf("far-too", "far", "quay.io/*", "*", { rewrite: "Never" }));
      await eventually("the registry's status was written while the condition stood in it", async () => {
        return (await stage.client.get<CacheRegistryObject>(CACHE_REGISTRIES, "far")).status?.rules?.total === 2;
      });
      await setMode("off");
      await turns(undefined);
      const before = probes();
      await stage.cluster.kubectl([
        "annotate",
        "cacheregistry",
        "far",
        "--overwrite",
        "entrepot.dev/reconcile-at=then",
      ]);
      await stage.operator.atRest();
      expect([await reachable(), probes()]).to.deep.equal([undefined, before]);
      await setMode("labelled");
      await turns("True");
    });
  });

  describe("a gateway without a ready endpoint", () => {
    const names = Array.from({ length: RULES }, (_, i) => `gone-${i}`);
    const ready = async () => {
      const { items } = await stage.client.list<CacheRuleObject>(CACHE_RULES);
      const ours = items.filter(({ metadata }) => names.includes(metadata.name));
      const saying = (status: string) =>
        ours.filter(
          (rule) =>
            findCondition(rule.status?.conditions as readonly Condition[] | undefined, "Ready")?.status === status,
        ).length;
      return { yes: saying("True"), no: saying("False") };
    };

    it("is known from all of its rules within moments, and not from looking again", async () => {
      const storage = { emptyDir: { sizeLimit: "1024Mi" } };
      await apply(
        registryOf(REGISTRY, { inCluster: { pullHost: "gone.example:5000", replicas: 1, storage } }),
        ...names.map((name) => ruleOf(name, REGISTRY, `${upstream.address}/acme/${name}`, name)),
      );
      const backend = backendName(REGISTRY, upstream.address);
      for (const name of [backend, GATEWAY]) {
        await eventually(`Deployment ${name} is made`, async () => {
          const { items } = await stage.client.list<KubeObject>(Resources.deployments, { namespace: NAMESPACE });
          return items.some(({ metadata }) => metadata.name === name);
        });
        await stage.kubelet.run(`app.kubernetes.io/instance=${name}`, name);
      }
      await stage.kubelet.expose(GATEWAY);
      await stage.pages.serve(stage.client, ...names);
      await eventually("all rules are Ready", async () => (await ready()).yes === RULES);

      const patch = JSON.stringify([{ op: "replace", path: "/endpoints/0/conditions/ready", value: false }]);
      const slice = ["-n", NAMESPACE, "patch", "endpointslice", `fake-${GATEWAY}`, "--type=json", "-p", patch];
      const began = performance.now();
      await stage.cluster.kubectl(slice);
      await eventually("no rule is Ready", async () => (await ready()).no === RULES);
      const took = performance.now() - began;
      console.log(`      ${RULES} rules said so ${Math.round(took)} ms after kubectl was started`);
      expect(took).to.be.lessThan(60_000); // looking again would have been half an hour later
      await stage.kubelet.expose(GATEWAY);
      await eventually("all rules are Ready again", async () => (await ready()).yes === RULES);
    });
  });

  it("never needed a right that it has not, and has none that it never needs", async () => {
    for (const [name, answer] of Object.entries({ [NAME]: "yes", "policy.sigstore.dev": "no" })) {
      const argv = ["auth", "can-i", "delete", `mutatingwebhookconfigurations/${name}`];
      const as = ["--as", `system:serviceaccount:${NAMESPACE}:operator`];
      const env = { KUBECONFIG: stage.cluster.kubeconfig };
      const { stdout } = await stage.cluster.run([stage.cluster.program("kubectl"), ...argv, ...as], { env });
      expect(stdout.trim(), name).to.equal(answer);
    }
    expect(stage.operator.log).to.not.contain("FORBIDDEN").and.not.contain("forbidden");
    expect(stage.operator.log).to.not.contain('"code":"UNEXPECTED"');
  });
});
