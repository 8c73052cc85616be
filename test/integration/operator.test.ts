import { once } from "node:events";
import { createServer } from "node:http";
import { expect } from "chai";
import { load } from "js-yaml";
import type { ConnectedKubeClient } from "../../adapters/kube/client.ts";
import { Resources } from "../../adapters/kube/resources.ts";
import type { KubeObject } from "../../adapters/kube/types.ts";
import { backendName, gatewayName } from "../../core/cacheregistry/names.ts";
import { findCondition } from "../../core/conditions.ts";
import {
  CACHE_REGISTRIES,
  CACHE_RULES,
  type CacheRuleObject,
  CLUSTER_IMAGE_POLICIES,
  type ClusterImagePolicyObject,
} from "../../crds/index.ts";
import { freePort } from "../../hack/testcluster/controlplane.ts";
import type { SecretObject } from "../../operator/resources.ts";
import type { ClusterHandle, ExtraRegistry } from "../support/cluster.ts";
import { eventually } from "../support/kube.ts";
import type { FakeKubelet, FakePages } from "./operator-fakes.ts";
import { NAMESPACE, type OperatorProcess } from "./operator-harness.ts";
import { OperatorObjects, said } from "./operator-objects.ts";

const REGISTRY = "operator-test";
const GATEWAY = gatewayName(REGISTRY);

describe("The operator on a real API server", function () {
  this.timeout(120_000);
  let at: OperatorObjects;
  let cluster: ClusterHandle;
  let client: ConnectedKubeClient;
  let operator: OperatorProcess;
  let kubelet: FakeKubelet;
  let pages: FakePages;
  let upstream: ExtraRegistry;

  before(async function () {
    this.timeout(0);
    const opened = await OperatorObjects.open(this.test?.parent?.title, REGISTRY, "15s");
    if (opened === undefined) return this.skip();
    at = opened;
    ({ cluster, client, operator, kubelet, pages } = at.stage);
    upstream = await cluster.startRegistry({ name: `operator-${process.pid}`, auth: true });
  });

  after(async () => {
    try {
      await at?.close();
    } finally {
      await upstream?.stop();
    }
  });

  function secret(name: string, password: string): object {
    return {
      apiVersion: "v1",
      kind: "Secret",
      type: "kubernetes.io/basic-auth",
      metadata: { name, namespace: NAMESPACE },
      stringData: { username: upstream.user?.username, password },
    };
  }
  describe("with a registry and a rule", () => {
    it("says what is wrong with a Secret, and makes no proxy with it", async () => {
      const upstreams = [{ host: upstream.address, credentials: { secretRef: { name: "operator-upstream" } } }];
      await at.apply(at.registry(REGISTRY, { upstreams }));
      await at.apply(at.rule("a", `${upstream.address}/acme/app`, "app"));
      await at.ruleSays("a", "Ready", "False SecretNotFound");
      await at.apply({ ...secret("operator-upstream", "x"), type: "Opaque" });
      await at.ruleSays("a", "CredentialsHealthy", "False SecretInvalid");
      expect(await at.live(Resources.deployments, backendName(REGISTRY, upstream.address))).to.equal(undefined);
      await cluster.kubectl(["-n", NAMESPACE, "delete", "secret", "operator-upstream"]);
    });

    it("says that the upstream refuses the password", async () => {
      await at.apply(secret("operator-upstream", "wrong-password-1"));
      const refused = await at.ruleSays("a", "Ready", "False CredentialsUnhealthy");
      expect(said(refused, "UpstreamReachable")).to.equal("True Reachable");
      expect(JSON.stringify(refused)).to.not.contain("wrong-password-1");
      await at.apply(secret("operator-upstream", upstream.user?.password ?? ""));
      await at.ruleSays("a", "CredentialsHealthy", "True Healthy");
    });

    it("makes a proxy with the operator's configuration for it, rolled by the right password", async () => {
      const name = await at.runBackend(upstream.address);
      const config = await at.live<SecretObject>(Resources.secrets, name);
      const { proxy } = load(Buffer.from(config?.data?.["config.yml"] ?? "", "base64").toString()) as { proxy: object };
      expect(proxy).to.include({ remoteurl: `http://${upstream.address}`, ...upstream.user });
      const gateway = await at.live<KubeObject & { spec: { template: { spec: { containers: { image: string }[] } } } }>(
        Resources.deployments,
        GATEWAY,
      );
      expect(gateway?.spec.template.spec.containers[0]?.image).to.equal("registry.local:5000/entrepot:dev"); // its own Pod's
    });

    it("is Ready only when the gateway serves the rule at its generation", async () => {
      await at.ruleSays("a", "Ready", "False GatewayNotReady");
      await kubelet.run(`app.kubernetes.io/instance=${GATEWAY}`, GATEWAY);
      await kubelet.expose(GATEWAY);
      const waiting = await eventually("it waits for the gateway's table", async () => {
        const found = await at.live<CacheRuleObject>(CACHE_RULES, "a");
        return findCondition(found?.status?.conditions, "Ready")?.message.includes("does not serve the rule yet")
          ? found
          : undefined;
      });
      pages.rules = {
        a: { uid: waiting.metadata.uid, generation: waiting.metadata.generation - 1, backendReady: true },
      };
      await at.ruleSays("a", "Ready", "False GatewayNotReady");
      pages.rules = {
        a: {
          uid: waiting.metadata.uid,
          generation: waiting.metadata.generation,
          backendReady: false,
          reason: "connection refused",
        },
      };
      await at.ruleSays("a", "Ready", "False BackendNotReady");
      await pages.serve(client, "a");
      const ready = await at.ruleSays("a", "Ready", "True Ready");
      expect(ready.status).to.include({ provider: "inCluster", pullPrefix: `${REGISTRY}.example:5000/app` });
      expect(ready.metadata.finalizers).to.deep.equal(["entrepot.dev/cleanup"]);
      await at.registrySays(REGISTRY, "True Ready");
      const table = await cluster.kubectl(["get", "cacherules", "a"]);
      expect(table).to.match(/a\s+operator-test\s+\S+\/acme\/app\s+True\s+Ready\s+operator-test\.example:5000\/app/);
      const event = ["events", "-n", "default", "--field-selector", "involvedObject.name=a,reason=Ready"];
      // Recorded beside the status, not before it.
      await eventually(
        "the Event is there",
        async () => (await cluster.kubectl(["get", ...event, "-o", "name"])) !== "",
      );
    });

    it("leaves the proxy that works alone while the Secret has a password that the upstream refuses", async () => {
      const generation = async () =>
        (await at.live(Resources.deployments, backendName(REGISTRY, upstream.address)))?.metadata.generation;
      const before = await generation();
      await at.apply(secret("operator-upstream", "not-yet-in-the-upstream"));
      await at.ruleSays("a", "Ready", "False CredentialsUnhealthy");
      await at.registrySays(REGISTRY, "True Ready");
      expect(await generation()).to.equal(before);
      await at.apply(secret("operator-upstream", upstream.user?.password ?? ""));
      await at.ruleSays("a", "Ready", "True Ready");
      expect(await generation()).to.equal(before);
    });

    it("writes nothing at rest, however often it looks", async () => {
      const versions = async () =>
        await cluster.kubectl([
          "get",
          "cacherules,cacheregistries,clusterimagepolicies,mutatingwebhookconfigurations,validatingwebhookconfigurations",
          "-o",
          "jsonpath={range .items[*]}{.kind}/{.metadata.name}={.metadata.resourceVersion} {end}",
        ]);
      await operator.atRest();
      const reconciles = async () => {
        const text = await (await fetch(operator.metricsUrl)).text();
        return Number(
          /entrepot_reconciles_total\{controller="cacherule",outcome="success"\} ([0-9]+)/.exec(text)?.[1] ?? 0,
        );
      };
      const [writes, before, looks] = [await operator.writes(), await versions(), await reconciles()];
      await eventually("it has looked five times more", async () => (await reconciles()) >= looks + 5);
      expect(await versions()).to.equal(before);
      expect(await operator.writes()).to.equal(writes);
    });

    it("puts right what others change or delete", async () => {
      await cluster.kubectl(["-n", NAMESPACE, "scale", `deployment/${GATEWAY}`, "--replicas=0"]);
      await eventually("the gateway is scaled back", async () => {
        const found = await at.live<KubeObject & { spec: { replicas: number } }>(Resources.deployments, GATEWAY);
        return found?.spec.replicas === 1;
      });
      await cluster.kubectl(["-n", NAMESPACE, "delete", "service", backendName(REGISTRY, upstream.address)]);
      await eventually("the Service is back", () =>
        at.live(Resources.services, backendName(REGISTRY, upstream.address)),
      );
      await kubelet.run(`app.kubernetes.io/instance=${GATEWAY}`, GATEWAY);
      await at.ruleSays("a", "Ready", "True Ready");
    });

    it("serves from the cache when the upstream goes, and says so until it is back", async () => {
      await upstream.stop();
      const cached = await at.ruleSays("a", "Ready", "True ServingFromCache");
      expect(said(cached, "UpstreamReachable")).to.equal("False ServingFromCache");
      await upstream.start();
      await at.ruleSays("a", "Ready", "True Ready");
    });

    it("converges after a crash on what happened meanwhile", async () => {
      await operator.stop("SIGKILL");
      await cluster.kubectl(["-n", NAMESPACE, "delete", "deployment", GATEWAY]);
      await cluster.kubectl(["delete", "validatingwebhookconfiguration", "policy.sigstore.dev"]);
      await at.apply(at.rule("b", `${upstream.address}/acme/*`, "acme/*"));
      await operator.start();
      await at.ruleSays("b", "Accepted", "True Accepted");
      await eventually("the webhook configuration is back", () =>
        at.live(Resources.validatingWebhookConfigurations, "policy.sigstore.dev"),
      );
      await eventually("the gateway is back", () => at.live(Resources.deployments, GATEWAY));
      await kubelet.run(`app.kubernetes.io/instance=${GATEWAY}`, GATEWAY);
      await pages.serve(client, "a", "b");
      await at.ruleSays("a", "Ready", "True Ready");
      await at.ruleSays("b", "Ready", "True Ready");
    });

    it("gives a target to one rule at a time", async () => {
      await at.apply(at.rule("late", `${upstream.address}/other/app`, "app"));
      const refused = await at.ruleSays("late", "Accepted", "False Conflict");
      expect(refused.status?.conflictsWith).to.equal("a");
      await at.ruleSays("a", "Ready", "True Ready");
      await at.remove("cacherule", "a");
      await at.ruleSays("late", "Accepted", "True Accepted");
      await pages.serve(client, "late", "b");
      await at.ruleSays("late", "Ready", "True Ready");
      await eventually("the deleted rule is gone", async () => (await at.live(CACHE_RULES, "a")) === undefined);
    });

    it("takes a suspended rule out of service and back", async () => {
      await cluster.kubectl(["patch", "cacherule", "b", "--type=merge", "-p", '{"spec":{"suspend":true}}']);
      await at.ruleSays("b", "Ready", "False Suspended");
      await cluster.kubectl(["patch", "cacherule", "b", "--type=merge", "-p", '{"spec":{"suspend":false}}']);
      await eventually("the gateway sees the new generation", async () => {
        await pages.serve(client, "late", "b");
        return said(await at.live<CacheRuleObject>(CACHE_RULES, "b"), "Ready") === "True Ready";
      });
    });

    it("says why an upstream can't be reached, starts no proxy for it, and starts it when it answers", async () => {
      const port = await freePort();
      const host = `127.0.0.1:${port}`;
      await at.apply(at.rule("far", `${host}/*`, "far/*"));
      const far = await at.ruleSays("far", "Ready", "False UpstreamUnreachable");
      expect(findCondition(far.status?.conditions, "Ready")?.message)
        .to.contain(host)
        .and.contain("refuses the connection");
      expect(await at.live(Resources.deployments, backendName(REGISTRY, host))).to.equal(undefined);
      const server = createServer((_request, response) => response.end("{}")).listen(port, "127.0.0.1");
      await once(server, "listening");
      await at.ruleSays("far", "UpstreamReachable", "True Reachable");
      await at.runBackend(host);
      server.closeAllConnections();
      server.close();
      await at.remove("cacherule", "far");
      await eventually(
        "the proxy that nothing uses is removed",
        async () => (await at.live(Resources.deployments, backendName(REGISTRY, host))) === undefined,
      );
      expect(await at.live(Resources.deployments, backendName(REGISTRY, upstream.address))).to.not.equal(undefined);
    });

    it("refuses a second registry of the same pull host", async () => {
      await at.apply({
        ...at.registry("twin"),
        spec: { inCluster: { pullHost: `${REGISTRY}.example:5000`, storage: { emptyDir: {} } } },
      });
      await at.registrySays("twin", "False DuplicateRegistry");
      expect(await at.live(Resources.deployments, gatewayName("twin"))).to.equal(undefined);
      await at.remove("cacheregistry", "twin");
      await eventually("it is gone", async () => (await at.live(CACHE_REGISTRIES, "twin")) === undefined);
    });
  });

  describe("with a policy", () => {
    it("is Ready only when every webhook replica enforces it", async () => {
      const says = (what: string) =>
        eventually(`the policy is ${what}`, async () => {
          const policy = await at.live<ClusterImagePolicyObject>(CLUSTER_IMAGE_POLICIES, "operator-test");
          return said(policy as never, "Ready") === what ? policy : undefined;
        });
      const policy = await says("False WaitingForWebhooks");
      await kubelet.expose("webhook");
      const { uid, generation } = policy.metadata;
      pages.policies = { [uid]: { name: "operator-test", generation, hash: "x", problem: "the key does not parse" } };
      await says("False CompileFailed");
      pages.policies = { [uid]: { name: "operator-test", generation, hash: "x" } };
      await says("True Enforced");
    });
  });

  describe("at deletion", () => {
    it("lets a rule go only when no gateway serves it any more", async () => {
      await at.remove("cacherule", "late");
      await at.ruleSays("late", "Ready", "False Deleting");
      await at.remove("cacheregistry", REGISTRY);
      await at.registrySays(REGISTRY, "False RulesRemain");
      expect(await at.live(Resources.deployments, GATEWAY)).to.not.equal(undefined);
      await pages.serve(client, "b");
      await eventually("the rule is gone", async () => (await at.live(CACHE_RULES, "late")) === undefined);
    });

    it("lets a registry go when no rule names it and everything it led to is gone", async () => {
      pages.rules = {};
      await at.remove("cacherule", "b");
      await eventually("the registry is gone", async () => (await at.live(CACHE_REGISTRIES, REGISTRY)) === undefined);
      const left = await cluster.kubectl([
        "-n",
        NAMESPACE,
        "get",
        "deployments,services,secrets,persistentvolumeclaims,poddisruptionbudgets,networkpolicies",
        "-l",
        `entrepot.dev/registry=${REGISTRY}`,
        "-o",
        "name",
      ]);
      expect(left.trim()).to.equal("");
    });

    it("never needed a right that it has not", () => at.expectRights());
  });
});
