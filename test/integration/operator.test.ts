import { once } from "node:events";
import { createServer } from "node:http";
import { expect } from "chai";
import { dump, load } from "js-yaml";
import type { ConnectedKubeClient } from "../../adapters/kube/client.ts";
import { isKubeError } from "../../adapters/kube/errors.ts";
import { Resources } from "../../adapters/kube/resources.ts";
import type { KubeObject, Resource } from "../../adapters/kube/types.ts";
import { parseKeyring } from "../../core/cache/keyring.ts";
import { backendName, gatewayName } from "../../core/cacheregistry/names.ts";
import { findCondition } from "../../core/conditions.ts";
import { canonicalJson } from "../../core/json.ts";
import {
  CACHE_REGISTRIES,
  CACHE_RULES,
  type CacheRegistryObject,
  type CacheRuleObject,
  CLUSTER_IMAGE_POLICIES,
  type ClusterImagePolicyObject,
  type Condition,
} from "../../crds/index.ts";
import { removeWebhooks } from "../../hack/local/product.ts";
import { freePort } from "../../hack/testcluster/controlplane.ts";
import type { SecretObject } from "../../operator/resources.ts";
import type { ClusterHandle, ExtraRegistry } from "../support/cluster.ts";
import { eventually } from "../support/kube.ts";
import { demandRotation } from "../support/seal-keys.ts";
import type { FakeKubelet, FakePages } from "./operator-fakes.ts";
import { NAMESPACE, type OperatorProcess, type OperatorStage, operatorStage } from "./operator-harness.ts";

const REGISTRY = "operator-test";
const GATEWAY = gatewayName(REGISTRY);

describe("The operator on a real API server", function () {
  this.timeout(120_000);
  let stage: OperatorStage;
  let cluster: ClusterHandle;
  let client: ConnectedKubeClient;
  let operator: OperatorProcess;
  let kubelet: FakeKubelet;
  let pages: FakePages;
  let upstream: ExtraRegistry;

  before(async function () {
    this.timeout(0);
    const policy = {
      apiVersion: "policy.sigstore.dev/v1alpha1",
      kind: "ClusterImagePolicy",
      metadata: { name: "operator-test" },
      spec: { images: [{ glob: "**" }], authorities: [{ static: { action: "pass" } }] },
    };
    const made = await operatorStage(this.test?.parent?.title, REGISTRY, {
      env: { DELETION_PATIENCE: "15s" },
      prepare: async (one) => void (await one.kubectl(["apply", "-f", "-"], dump(policy))),
    });
    if (made === undefined) return this.skip();
    stage = made;
    ({ cluster, client, operator, kubelet, pages } = stage);
    upstream = await cluster.startRegistry({ name: `operator-${process.pid}`, auth: true });
  });

  after(async () => {
    if (stage === undefined) return;
    await cleanUp();
    await upstream.stop();
    await stage.stop();
  });

  async function apply(object: object): Promise<void> {
    await cluster.kubectl(
      ["apply", "--server-side", "--force-conflicts", "--field-manager=test", "-f", "-"],
      dump(object),
    );
  }

  async function remove(kind: string, ...names: readonly string[]): Promise<void> {
    await cluster.kubectl(["delete", kind, ...names, "--ignore-not-found", "--wait=false"]);
  }

  async function cleanUp(): Promise<void> {
    await removeWebhooks(cluster);
    await cluster.kubectl(["delete", "clusterimagepolicy", "operator-test", "--ignore-not-found"]);
    pages.rules = {};
    await remove("cacherules", "--all");
    await remove("cacheregistries", "--all");
    await eventually("all rules and registries are gone", async () => {
      const left = await cluster.kubectl(["get", "cacherules,cacheregistries", "-o", "name"]);
      return left.trim() === "";
    });
  }

  async function live<T extends KubeObject>(resource: Resource, name: string): Promise<T | undefined> {
    const options = resource.namespaced ? { namespace: NAMESPACE } : {};
    return await client.get<T>(resource, name, options).catch((thrown: unknown) => {
      if (isKubeError(thrown, "NOT_FOUND")) return undefined;
      throw thrown;
    });
  }

  function said(
    object:
      | { status?: { conditions?: readonly Condition[] } | undefined; metadata: { generation: number } }
      | undefined,
    type: string,
  ): string {
    const found = findCondition(object?.status?.conditions, type);
    if (found === undefined) return "absent";
    return found.observedGeneration === object?.metadata.generation ? `${found.status} ${found.reason}` : "stale";
  }

  async function ruleSays(name: string, type: string, what: string): Promise<CacheRuleObject> {
    let last = "";
    return await eventually(`CacheRule ${name}: ${type} is ${what}`, async () => {
      const rule = await live<CacheRuleObject>(CACHE_RULES, name);
      last = said(rule, type);
      return last === what ? rule : undefined;
    }).catch((thrown: unknown) => {
      throw new Error(`${String(thrown)}; last: ${last}`);
    });
  }

  async function registrySays(name: string, what: string): Promise<CacheRegistryObject> {
    let last = "";
    return await eventually(`CacheRegistry ${name}: Ready is ${what}`, async () => {
      const registry = await live<CacheRegistryObject>(CACHE_REGISTRIES, name);
      last = `${said(registry as never, "Ready")} ${JSON.stringify(registry?.status?.conditions)}`;
      return said(registry as never, "Ready") === what ? registry : undefined;
    }).catch((thrown: unknown) => {
      throw new Error(`${String(thrown)}; last: ${last}`);
    });
  }

  function registry(name: string, change: object = {}): object {
    return {
      apiVersion: "entrepot.dev/v1alpha1",
      kind: "CacheRegistry",
      metadata: { name },
      spec: {
        inCluster: { pullHost: `${name}.example:5000`, replicas: 1, storage: { emptyDir: { sizeLimit: "1024Mi" } } },
        ...change,
      },
    };
  }

  function rule(name: string, source: string, target: string, change: object = {}): object {
    return {
      apiVersion: "entrepot.dev/v1alpha1",
      kind: "CacheRule",
      metadata: { name },
      spec: { registryRef: { name: REGISTRY }, source, target, ...change },
    };
  }

  function secret(name: string, password: string): object {
    return {
      apiVersion: "v1",
      kind: "Secret",
      type: "kubernetes.io/basic-auth",
      metadata: { name, namespace: NAMESPACE },
      stringData: { username: upstream.user?.username, password },
    };
  }

  async function runBackend(host: string): Promise<string> {
    const name = backendName(REGISTRY, host);
    await eventually(`Deployment ${name} is made`, () => live(Resources.deployments, name));
    await kubelet.run(`app.kubernetes.io/instance=${name}`, name);
    return name;
  }

  describe("on its own", () => {
    it("leads with its own ServiceAccount's rights", async () => {
      await eventually("it leads", () => operator.log.includes('"msg":"leading"'));
      const denied = ["list secrets -n default", "list pods -A", "create pods -n cosign-system", "delete namespaces"];
      for (const action of denied) {
        const as = `system:serviceaccount:${NAMESPACE}:operator`;
        const answer = await cluster.run(
          [cluster.program("kubectl"), "auth", "can-i", ...action.split(" "), "--as", as],
          {
            env: { KUBECONFIG: cluster.kubeconfig },
          },
        );
        expect(answer.stdout.trim(), action).to.equal("no");
      }
    });

    it("makes certificates and webhook configurations, and puts them right when they are changed", async () => {
      const get = (name = "policy.sigstore.dev") =>
        live<
          KubeObject & {
            webhooks: {
              failurePolicy: string;
              matchConditions?: { name: string }[];
              clientConfig: { caBundle: string };
            }[];
          }
        >(Resources.validatingWebhookConfigurations, name);
      const first = await eventually("the configuration exists", () => get());
      expect(first.webhooks[0]?.failurePolicy).to.equal("Fail");
      const certs = await live<SecretObject>(Resources.secrets, "webhook-certs");
      expect(Object.keys(certs?.data ?? {})).to.have.members([
        "server-key.pem",
        "server-cert.pem",
        "ca-cert.pem",
        "ca-key.pem",
      ]);
      expect(first.webhooks[0]?.clientConfig.caBundle).to.equal(certs?.data?.["ca-cert.pem"]);

      const patch = JSON.stringify([
        { op: "replace", path: "/webhooks/0/failurePolicy", value: "Ignore" },
        { op: "add", path: "/webhooks/0/matchConditions", value: [{ name: "never", expression: "false" }] },
      ]);
      for (const name of ["updates.policy.sigstore.dev", "policy.sigstore.dev"]) {
        const found = await eventually(`${name} exists`, () => get(name));
        const right = canonicalJson(found.webhooks[0]?.matchConditions ?? []);
        await cluster.kubectl(["patch", "validatingwebhookconfiguration", name, "--type=json", "-p", patch]);
        await eventually(`the drift of ${name} is corrected`, async () => {
          const [webhook] = (await get(name))?.webhooks ?? [];
          return webhook?.failurePolicy === "Fail" && canonicalJson(webhook.matchConditions ?? []) === right;
        });
        await cluster.kubectl(["delete", "mutatingwebhookconfiguration", name]);
        await eventually(`the deleted ${name} is back`, () => live(Resources.mutatingWebhookConfigurations, name));
      }
    });

    it("replaces lost certificates, and the configurations follow", async () => {
      const before = await live<SecretObject>(Resources.secrets, "webhook-certs");
      await cluster.kubectl(["-n", NAMESPACE, "delete", "secret", "webhook-certs"]);
      await eventually("new certificates are trusted", async () => {
        const certs = await live<SecretObject>(Resources.secrets, "webhook-certs");
        const live_ = await live<KubeObject & { webhooks: { clientConfig: { caBundle: string } }[] }>(
          Resources.mutatingWebhookConfigurations,
          "policy.sigstore.dev",
        );
        const bundle = live_?.webhooks[0]?.clientConfig.caBundle;
        return (
          bundle !== undefined && bundle !== before?.data?.["ca-cert.pem"] && bundle === certs?.data?.["ca-cert.pem"]
        );
      });
    });

    it("makes seal keys, rotates them on demand, and shows them to nobody", async () => {
      const read = async () => {
        const found = await live<SecretObject>(Resources.secrets, "entrepot-seal-keys");
        const text = found?.data?.["jwks.json"];
        return text === undefined
          ? undefined
          : { keyring: parseKeyring(Buffer.from(text, "base64").toString()), found };
      };
      const before = await eventually("the keys exist", read);
      await demandRotation(cluster);
      const after = await eventually("the keys are rotated", async () => {
        const now = await read();
        return now !== undefined &&
          now.keyring.keys.length === 3 &&
          now.found?.metadata.annotations?.["entrepot.dev/rotate"] === undefined
          ? now
          : undefined;
      });
      expect(after.keyring.keys.map(({ kid, retired }) => [kid, retired === undefined])).to.deep.include([
        before.keyring.keys[0]?.kid,
        false,
      ]);
      for (const { d } of after.keyring.keys) expect(operator.log).to.not.contain(d);
    });

    it("says why it can't sign in to a registry, on it and on its rules, and lets both go in the end", async () => {
      await apply({
        ...registry("harbor-test"),
        spec: { harbor: { url: "https://harbor.example", auth: { secretRef: { name: "x" } } } },
      });
      await registrySays("harbor-test", "False SecretNotFound");
      await apply(rule("harbor-rule", "quay.io/*", "quay/*", { registryRef: { name: "harbor-test" } }));
      const refused = await ruleSays("harbor-rule", "Synced", "False SecretNotFound");
      expect(findCondition(refused.status?.conditions as readonly Condition[], "Ready")?.message).to.contain(
        'Secret "x"',
      );
      await apply(rule("orphan", "quay.io/*", "*", { registryRef: { name: "nowhere" } }));
      await ruleSays("orphan", "Ready", "False RegistryNotFound");
      await remove("cacherules", "harbor-rule", "orphan");
      await remove("cacheregistry", "harbor-test");
      await eventually("they are gone", async () => (await live(CACHE_REGISTRIES, "harbor-test")) === undefined);
    });
  });

  describe("with a registry and a rule", () => {
    it("says what is wrong with a Secret, and makes no proxy with it", async () => {
      const upstreams = [{ host: upstream.address, credentials: { secretRef: { name: "operator-upstream" } } }];
      await apply(registry(REGISTRY, { upstreams }));
      await apply(rule("a", `${upstream.address}/acme/app`, "app"));
      await ruleSays("a", "Ready", "False SecretNotFound");
      await apply({ ...secret("operator-upstream", "x"), type: "Opaque" });
      await ruleSays("a", "CredentialsHealthy", "False SecretInvalid");
      expect(await live(Resources.deployments, backendName(REGISTRY, upstream.address))).to.equal(undefined);
      await cluster.kubectl(["-n", NAMESPACE, "delete", "secret", "operator-upstream"]);
    });

    it("says that the upstream refuses the password", async () => {
      await apply(secret("operator-upstream", "wrong-password-1"));
      const refused = await ruleSays("a", "Ready", "False CredentialsUnhealthy");
      expect(said(refused, "UpstreamReachable")).to.equal("True Reachable");
      expect(JSON.stringify(refused)).to.not.contain("wrong-password-1");
      await apply(secret("operator-upstream", upstream.user?.password ?? ""));
      await ruleSays("a", "CredentialsHealthy", "True Healthy");
    });

    it("makes a proxy with the operator's configuration for it, rolled by the right password", async () => {
      const name = await runBackend(upstream.address);
      const config = await live<SecretObject>(Resources.secrets, name);
      const { proxy } = load(Buffer.from(config?.data?.["config.yml"] ?? "", "base64").toString()) as { proxy: object };
      expect(proxy).to.include({ remoteurl: `http://${upstream.address}`, ...upstream.user });
      const gateway = await live<KubeObject & { spec: { template: { spec: { containers: { image: string }[] } } } }>(
        Resources.deployments,
        GATEWAY,
      );
      expect(gateway?.spec.template.spec.containers[0]?.image).to.equal("registry.local:5000/entrepot:dev"); // its own Pod's
    });

    it("is Ready only when the gateway serves the rule at its generation", async () => {
      await ruleSays("a", "Ready", "False GatewayNotReady");
      await kubelet.run(`app.kubernetes.io/instance=${GATEWAY}`, GATEWAY);
      await kubelet.expose(GATEWAY);
      const waiting = await eventually("it waits for the gateway's table", async () => {
        const found = await live<CacheRuleObject>(CACHE_RULES, "a");
        return findCondition(found?.status?.conditions, "Ready")?.message.includes("does not serve the rule yet")
          ? found
          : undefined;
      });
      pages.rules = {
        a: { uid: waiting.metadata.uid, generation: waiting.metadata.generation - 1, backendReady: true },
      };
      await ruleSays("a", "Ready", "False GatewayNotReady");
      pages.rules = {
        a: {
          uid: waiting.metadata.uid,
          generation: waiting.metadata.generation,
          backendReady: false,
          reason: "connection refused",
        },
      };
      await ruleSays("a", "Ready", "False BackendNotReady");
      await pages.serve(client, "a");
      const ready = await ruleSays("a", "Ready", "True Ready");
      expect(ready.status).to.include({ provider: "inCluster", pullPrefix: `${REGISTRY}.example:5000/app` });
      expect(ready.metadata.finalizers).to.deep.equal(["entrepot.dev/cleanup"]);
      await registrySays(REGISTRY, "True Ready");
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
        (await live(Resources.deployments, backendName(REGISTRY, upstream.address)))?.metadata.generation;
      const before = await generation();
      await apply(secret("operator-upstream", "not-yet-in-the-upstream"));
      await ruleSays("a", "Ready", "False CredentialsUnhealthy");
      await registrySays(REGISTRY, "True Ready");
      expect(await generation()).to.equal(before);
      await apply(secret("operator-upstream", upstream.user?.password ?? ""));
      await ruleSays("a", "Ready", "True Ready");
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
      await eventually("the last writes are over", async () => {
        const count = await operator.writes();
        await new Promise((resolve) => setTimeout(resolve, 1500));
        return count === (await operator.writes());
      });
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
        const found = await live<KubeObject & { spec: { replicas: number } }>(Resources.deployments, GATEWAY);
        return found?.spec.replicas === 1;
      });
      await cluster.kubectl(["-n", NAMESPACE, "delete", "service", backendName(REGISTRY, upstream.address)]);
      await eventually("the Service is back", () => live(Resources.services, backendName(REGISTRY, upstream.address)));
      await kubelet.run(`app.kubernetes.io/instance=${GATEWAY}`, GATEWAY);
      await ruleSays("a", "Ready", "True Ready");
    });

    it("serves from the cache when the upstream goes, and says so until it is back", async () => {
      await upstream.stop();
      const cached = await ruleSays("a", "Ready", "True ServingFromCache");
      expect(said(cached, "UpstreamReachable")).to.equal("False ServingFromCache");
      await upstream.start();
      await ruleSays("a", "Ready", "True Ready");
    });

    it("converges after a crash on what happened meanwhile", async () => {
      await operator.stop("SIGKILL");
      await cluster.kubectl(["-n", NAMESPACE, "delete", "deployment", GATEWAY]);
      await cluster.kubectl(["delete", "validatingwebhookconfiguration", "policy.sigstore.dev"]);
      await apply(rule("b", `${upstream.address}/acme/*`, "acme/*"));
      await operator.start();
      await ruleSays("b", "Accepted", "True Accepted");
      await eventually("the webhook configuration is back", () =>
        live(Resources.validatingWebhookConfigurations, "policy.sigstore.dev"),
      );
      await eventually("the gateway is back", () => live(Resources.deployments, GATEWAY));
      await kubelet.run(`app.kubernetes.io/instance=${GATEWAY}`, GATEWAY);
      await pages.serve(client, "a", "b");
      await ruleSays("a", "Ready", "True Ready");
      await ruleSays("b", "Ready", "True Ready");
    });

    it("gives a target to one rule at a time", async () => {
      await apply(rule("late", `${upstream.address}/other/app`, "app"));
      const refused = await ruleSays("late", "Accepted", "False Conflict");
      expect(refused.status?.conflictsWith).to.equal("a");
      await ruleSays("a", "Ready", "True Ready");
      await remove("cacherule", "a");
      await ruleSays("late", "Accepted", "True Accepted");
      await pages.serve(client, "late", "b");
      await ruleSays("late", "Ready", "True Ready");
      await eventually("the deleted rule is gone", async () => (await live(CACHE_RULES, "a")) === undefined);
    });

    it("takes a suspended rule out of service and back", async () => {
      await cluster.kubectl(["patch", "cacherule", "b", "--type=merge", "-p", '{"spec":{"suspend":true}}']);
      await ruleSays("b", "Ready", "False Suspended");
      await cluster.kubectl(["patch", "cacherule", "b", "--type=merge", "-p", '{"spec":{"suspend":false}}']);
      await eventually("the gateway sees the new generation", async () => {
        await pages.serve(client, "late", "b");
        return said(await live<CacheRuleObject>(CACHE_RULES, "b"), "Ready") === "True Ready";
      });
    });

    it("says why an upstream can't be reached, starts no proxy for it, and starts it when it answers", async () => {
      const port = await freePort();
      const host = `127.0.0.1:${port}`;
      await apply(rule("far", `${host}/*`, "far/*"));
      const far = await ruleSays("far", "Ready", "False UpstreamUnreachable");
      expect(findCondition(far.status?.conditions, "Ready")?.message)
        .to.contain(host)
        .and.contain("refuses the connection");
      expect(await live(Resources.deployments, backendName(REGISTRY, host))).to.equal(undefined);
      const server = createServer((_request, response) => response.end("{}")).listen(port, "127.0.0.1");
      await once(server, "listening");
      await ruleSays("far", "UpstreamReachable", "True Reachable");
      await runBackend(host);
      server.closeAllConnections();
      server.close();
      await remove("cacherule", "far");
      await eventually(
        "the proxy that nothing uses is removed",
        async () => (await live(Resources.deployments, backendName(REGISTRY, host))) === undefined,
      );
      expect(await live(Resources.deployments, backendName(REGISTRY, upstream.address))).to.not.equal(undefined);
    });

    it("refuses a second registry of the same pull host", async () => {
      await apply({
        ...registry("twin"),
        spec: { inCluster: { pullHost: `${REGISTRY}.example:5000`, storage: { emptyDir: {} } } },
      });
      await registrySays("twin", "False DuplicateRegistry");
      expect(await live(Resources.deployments, gatewayName("twin"))).to.equal(undefined);
      await remove("cacheregistry", "twin");
      await eventually("it is gone", async () => (await live(CACHE_REGISTRIES, "twin")) === undefined);
    });
  });

  describe("with a policy", () => {
    it("is Ready only when every webhook replica enforces it", async () => {
      const says = (what: string) =>
        eventually(`the policy is ${what}`, async () => {
          const policy = await live<ClusterImagePolicyObject>(CLUSTER_IMAGE_POLICIES, "operator-test");
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
      await remove("cacherule", "late");
      await ruleSays("late", "Ready", "False Deleting");
      await remove("cacheregistry", REGISTRY);
      await registrySays(REGISTRY, "False RulesRemain");
      expect(await live(Resources.deployments, GATEWAY)).to.not.equal(undefined);
      await pages.serve(client, "b");
      await eventually("the rule is gone", async () => (await live(CACHE_RULES, "late")) === undefined);
    });

    it("lets a registry go when no rule names it and everything it led to is gone", async () => {
      pages.rules = {};
      await remove("cacherule", "b");
      await eventually("the registry is gone", async () => (await live(CACHE_REGISTRIES, REGISTRY)) === undefined);
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

    it("never needed a right that it has not", () => {
      expect(operator.log).to.not.contain("FORBIDDEN").and.not.contain("forbidden");
      expect(operator.log).to.not.contain('"code":"UNEXPECTED"');
    });
  });
});
