// Rewriting before a real API server and controllers: the webhooks that the operator installs, answered by this process.
import { expect } from "chai";
import type { ConnectedKubeClient } from "../../adapters/kube/client.ts";
import { Resources } from "../../adapters/kube/resources.ts";
import { ANNOTATION } from "../../crds/names.ts";
import { type ApiAnswer, ApiServer } from "../support/api-server.ts";
import { type ClusterHandle, requireNoOperator, sharedCluster } from "../support/cluster.ts";
import { adminClient, eventually } from "../support/kube.ts";
import { namedRule } from "../support/named-rules.ts";
import { podOf } from "../support/rewrite-samples.ts";
import { workload } from "./inheritance-objects.ts";
import { DIGEST, Rewriting } from "./rewriting-harness.ts";

const VENDOR = { registry: "vendor", host: "vendor.example.com/mirror" };
const RULES = [
  namedRule("ghcr.io/*", "ghcr/*", VENDOR),
  namedRule("docker.io/*", "hub/*"),
  namedRule("quay.io/*", "quay/*", { name: "quay", notReady: "upstream quay.io: no answer within 5 s" }),
];
const REWRITE = { "entrepot.dev/rewrite": "enabled" };
const APP = "ghcr.io/team/app:v1";
const CACHED = "vendor.example.com/mirror/ghcr/team/app:v1";

interface Pod {
  readonly metadata: { readonly annotations?: Readonly<Record<string, string>> };
  readonly spec: {
    readonly containers: readonly { readonly name: string; readonly image: string }[];
    readonly ephemeralContainers?: readonly { readonly image: string }[];
    readonly imagePullSecrets?: readonly { readonly name: string }[];
    readonly volumes: readonly { readonly image?: { readonly reference: string } }[];
  };
}

describe("rewriting", function () {
  this.timeout(120_000);
  let cluster: ClusterHandle;
  let client: ConnectedKubeClient;
  let api: ApiServer;
  let rewriting: Rewriting;
  let team: string;
  let verified: string;

  before(async function () {
    this.timeout(0);
    cluster = await sharedCluster();
    requireNoOperator(this, cluster); // two of these webhooks, with different rules
    client = await adminClient(cluster);
    api = await ApiServer.connect(cluster.kubeconfig);
    rewriting = await Rewriting.start(client, RULES);
    team = await rewriting.namespace(REWRITE);
    verified = await rewriting.namespace({ ...REWRITE, "policy.sigstore.dev/include": "true" });
    await eventually("all webhooks are called", async () => {
      const refused = (await rehearse(verified, podOf(["quay.io/a/b:1"]))).status === 400;
      const answer = await rehearse(verified, podOf([APP]));
      return refused && answer.status === 201 && imagesOf(answer)[0] === `${CACHED}@${DIGEST}`;
    });
  });

  after(async () => {
    await rewriting?.close();
    await client?.close();
    await api?.close();
  });

  beforeEach(() => {
    rewriting.know(RULES);
    rewriting.forget();
  });

  const create = (namespace: string, pod: object, dryRun = false) =>
    api.send({ method: "POST", path: `/api/v1/namespaces/${namespace}/pods`, body: pod, dryRun });
  const rehearse = (namespace: string, pod: object) => create(namespace, pod, true);
  const podIn = ({ status, message, body }: ApiAnswer): Pod => {
    expect(status, message).to.equal(201);
    return body as Pod;
  };
  const imagesOf = (answer: ApiAnswer) => podIn(answer).spec.containers.map(({ image }) => image);
  const secretIn = (namespace: string) =>
    cluster.kubectl(["-n", namespace, "create", "secret", "generic", "vendor-pull", "--from-literal=a=b"]);

  async function podsOf(namespace: string, count: number): Promise<readonly Pod[]> {
    return await eventually(`${count} Pods`, async () => {
      const { items } = JSON.parse(await cluster.kubectl(["-n", namespace, "get", "pods", "-o", "json"])) as {
        items: Pod[];
      };
      return items.length === count && items;
    });
  }

  it("of a verified Deployment: its Pods have the cache's name and the digest that was verified; templates stay as they were", async () => {
    const name = await rewriting.namespace({ ...REWRITE, "policy.sigstore.dev/include": "true" });
    await secretIn(name);
    const app = "ghcr.io/team/web:v1";
    const cached = `vendor.example.com/mirror/ghcr/team/web:v1@${DIGEST}`;
    const kubectl = (...args: string[]) => cluster.kubectl(["-n", name, ...args]);
    await cluster.kubectl(["-n", name, "apply", "-f", "-"], JSON.stringify(workload("Deployment", "app", app, 2)));
    await podsOf(name, 2);
    const cost = rewriting.asked.registry;
    await kubectl("scale", "deployment", "app", "--replicas=6");
    for (const { spec, metadata } of await podsOf(name, 6)) {
      expect(spec.containers[0]?.image).to.equal(cached);
      expect(metadata.annotations?.[ANNOTATION.originalImages]).to.equal(`{"app":"${app}@${DIGEST}"}`);
      expect(spec.imagePullSecrets).to.deep.equal([{ name: "vendor-pull" }]);
    }
    expect(cost, "tag and signature, once").to.equal(2);
    expect(rewriting.asked).to.deep.equal({ registry: cost, secrets: [`${name}/vendor-pull`] });
    const template = "jsonpath={.items[*].spec.template.spec.containers[*].image}";
    expect(await kubectl("get", "deployments,replicasets", "-o", template)).to.equal(`${app} ${app}`);
  });

  it("covers image volumes and what other webhooks add later", async () => {
    const volumes = [{ name: "data", image: { reference: "a/data:1", pullPolicy: "IfNotPresent" } }];
    const pod = podIn(await rehearse(team, podOf(["a/b:1"], { volumes }, { annotations: { sidecar: "a/proxy:2" } })));
    expect(pod.spec.containers.map(({ image }) => image)).to.deep.equal([
      "localhost:30500/hub/a/b:1",
      "localhost:30500/hub/a/proxy:2",
    ]);
    expect(pod.spec.volumes[0]?.image?.reference).to.equal("localhost:30500/hub/a/data:1");
    expect(pod.metadata.annotations?.[ANNOTATION.originalImages]).to.equal(
      '{"c0":"a/b:1","sidecar":"a/proxy:2","volumes/data":"a/data:1"}',
    );
  });

  it("adds no pull Secret that the namespace has not, and says so", async () => {
    const without = await rewriting.namespace(REWRITE);
    const answers = await Promise.all(Array.from({ length: 8 }, () => rehearse(without, podOf([APP, "a/b:1"]))));
    for (const answer of answers) {
      expect(imagesOf(answer)[0]).to.equal(CACHED);
      expect(podIn(answer).spec.imagePullSecrets).to.equal(undefined);
      expect(answer.warnings).to.deep.equal([
        `namespace "${without}" has no Secret "vendor-pull", with which nodes pull from the cache`,
      ]);
    }
    expect(rewriting.asked).to.deep.equal({ registry: 0, secrets: [`${without}/vendor-pull`] });
  });

  it("keeps the upstream's name where the rule can't be used, and says why on the Pod and to its author", async () => {
    const answer = await rehearse(team, podOf(["quay.io/a/b:1"]));
    const reason =
      'CacheRule "quay" is not Ready: upstream quay.io: no answer within 5 s; the upstream\'s name is used';
    expect(imagesOf(answer)).to.deep.equal(["quay.io/a/b:1"]);
    expect(podIn(answer).metadata.annotations).to.deep.equal({
      [ANNOTATION.notRewritten]: JSON.stringify({ c0: reason }),
    });
    expect(answer.warnings).to.deep.equal([`c0: quay.io/a/b:1 is not rewritten: ${reason}`]);
    const counter = await rewriting.metrics.getSingleMetricAsString("entrepot_rewritten_images_total");
    expect(counter).to.match(/entrepot_rewritten_images_total\{outcome="kept"\} [1-9]/);
    expect(counter).to.match(/entrepot_rewritten_images_total\{outcome="rewritten"\} [1-9]/);
  });

  it("leaves Pods with the label alone, and namespaces without", async () => {
    const labels = { "entrepot.dev/rewrite": "disabled" };
    expect(imagesOf(await rehearse(team, podOf(["a/b:1"], {}, { labels })))).to.deep.equal(["a/b:1"]);
    const outside = await rewriting.namespace({ "entrepot.dev/rewrite": "later" });
    expect(imagesOf(await rehearse(outside, podOf(["a/b:1"])))).to.deep.equal(["a/b:1"]);
    rewriting.know(RULES, { "dev.entrepot.rewrite-images": "off" });
    expect(imagesOf(await rehearse(team, podOf(["a/b:1"])))).to.deep.equal(["a/b:1"]);
  });

  it("is done at creation only: whoever changes a Pod's image gets what was asked for", async () => {
    podIn(await create(team, podOf(["a/b:1"], {}, { name: "changed" })));
    const body = { spec: { containers: [{ name: "c0", image: "a/b:2" }] } };
    const contentType = "application/strategic-merge-patch+json";
    const path = `/api/v1/namespaces/${team}/pods/changed`;
    const { spec } = (await api.must({ method: "PATCH", path, contentType, body })) as Pod;
    expect(spec.containers[0]?.image).to.equal("a/b:2");
  });

  it("leaves a bare Pod that is applied again the upstream's name, and its pull Secret", async () => {
    const namespace = await rewriting.namespace(REWRITE);
    await client.create(Resources.secrets, {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: "vendor-pull", namespace },
    });
    const apply = async () =>
      (await api.must({
        method: "PATCH",
        path: `/api/v1/namespaces/${namespace}/pods/p?fieldManager=git`,
        contentType: "application/apply-patch+yaml",
        body: podOf([APP]),
      })) as Pod;
    const seen = ({ spec }: Pod) => ({ image: spec.containers[0]?.image, secrets: spec.imagePullSecrets });
    const secrets = [{ name: "vendor-pull" }];
    expect(seen(await apply())).to.deep.equal({ image: CACHED, secrets });
    for (const _again of [1, 2]) expect(seen(await apply())).to.deep.equal({ image: APP, secrets });
  });

  it("gives ephemeral containers the cache's name", async () => {
    podIn(await create(team, podOf(["a/b:1"], {}, { name: "debugged" })));
    const patched = await api.send({
      method: "PATCH",
      path: `/api/v1/namespaces/${team}/pods/debugged/ephemeralcontainers`,
      contentType: "application/strategic-merge-patch+json",
      body: { spec: { ephemeralContainers: [{ name: "debug", image: "a/debug:1" }] } },
    });
    expect(patched.status, patched.message).to.equal(200);
    const { spec, metadata } = patched.body as Pod;
    expect(spec.ephemeralContainers?.map(({ image }) => image)).to.deep.equal(["localhost:30500/hub/a/debug:1"]);
    expect(metadata.annotations?.[ANNOTATION.originalImages]).to.equal('{"c0":"a/b:1"}');
  });

  it("holds up no Pod while the rules have not been read, nor while nobody answers", async () => {
    rewriting.snapshot = undefined;
    const answer = await rehearse(team, podOf(["a/b:1"]));
    expect(imagesOf(answer)).to.deep.equal(["a/b:1"]);
    expect(answer.warnings).to.deep.equal([
      "images keep the upstreams' names: policies are not loaded yet; try again in a few seconds",
    ]);
    await rewriting.vanish();
    expect(imagesOf(await rehearse(team, podOf(["a/b:1"])))).to.deep.equal(["a/b:1"]);
  });
});
