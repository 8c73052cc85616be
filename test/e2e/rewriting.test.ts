import { expect } from "chai";
import { gatewayName } from "../../core/cacheregistry/names.ts";
import { trustPlainHttp } from "../../hack/testcluster/node-conf.ts";
import type { ExtraRegistry } from "../support/cluster.ts";
import { eventually, fetchFromNode, NS, PATIENCE_MS, Stage } from "../support/e2e.ts";
import { loginSecret } from "../support/load/registry.ts";
import { UpstreamDoor } from "../support/load/upstream-door.ts";

const PORT = 5017;
const UPSTREAM = `upstream.local:${PORT}`;
const HOST = "localhost:30517";
const NAMESPACE = "e2e-rewrite";
const TAINT = "e2e-no-cache=true:NoSchedule";
const UPSTREAM_USER = { username: "cache", password: "e2e-upstream-password" };
const NODES_USER = { username: "nodes", password: "e2e-nodes-password" };

/** As people write it, for their registry: nothing here knows of a cache. */
const deployment = (name: string) => `
apiVersion: apps/v1
kind: Deployment
metadata: {name: ${name}, namespace: ${NAMESPACE}}
spec:
  replicas: 1
  selector: {matchLabels: {app: ${name}}}
  template:
    metadata: {labels: {app: ${name}}}
    spec:
      terminationGracePeriodSeconds: 0
      imagePullSecrets: [{name: upstream-pull}]
      tolerations: [{key: e2e-no-cache, operator: Exists}]
      containers: [{name: web, image: "${UPSTREAM}/library/web:v1", imagePullPolicy: Always}]`;

const POD = `{apiVersion: v1, kind: Pod, metadata: {name: probe, namespace: ${NAMESPACE}}, spec: {imagePullSecrets: [{name: upstream-pull}], containers: [{name: web, image: "${UPSTREAM}/library/web:v1"}]}}`;

interface PodView {
  readonly metadata: { readonly annotations?: Readonly<Record<string, string>> };
  readonly spec: {
    readonly containers: readonly { readonly image: string }[];
    readonly imagePullSecrets?: readonly { readonly name: string }[];
  };
  readonly status: { readonly containerStatuses?: readonly { readonly imageID: string }[] };
}

describe("Pods that are given the cache's names, on a real node", () => {
  let stage: Stage;
  let registry: ExtraRegistry;
  let door: UpstreamDoor;
  let digest: string;

  const openDoor = () =>
    UpstreamDoor.open(PORT, registry.address, registry.user ?? { username: "", password: "" }, UPSTREAM_USER);

  async function pods(name: string): Promise<readonly PodView[]> {
    const text = await stage.kubectl("-n", NAMESPACE, "get", "pods", "-l", `app=${name}`, "-o", "json");
    return (JSON.parse(text) as { items: PodView[] }).items;
  }

  async function scale(name: string, replicas: number): Promise<void> {
    await stage.kubectl("-n", NAMESPACE, "scale", `deployment/${name}`, `--replicas=${replicas}`);
    await stage.wait(`jsonpath={.status.readyReplicas}=${replicas}`, `deployment/${name}`, "-n", NAMESPACE);
  }

  /** The image of a new Pod, which is not made. */
  async function nameOfNewPod(): Promise<string> {
    const output = ["--dry-run=server", "-o", "jsonpath={.spec.containers[0].image}", "-f", "-"];
    return await stage.cluster.kubectl(["create", ...output], POD);
  }

  /** Waits until new Pods are given names of that host, by whatever replica: they learn of a rule's status a moment after it is written. */
  async function untilNamed(host: string): Promise<void> {
    let inRow = 0;
    await eventually(`new Pods have names of ${host}`, PATIENCE_MS, async () => {
      // Two at once, since the API server asks the replica again that it has a connection to.
      const names = await Promise.all([nameOfNewPod(), nameOfNewPod()]);
      inRow = names.every((name) => name.startsWith(`${host}/`)) ? inRow + 1 : 0;
      return inRow === 3 ? true : undefined;
    });
  }

  /** What the upstream was asked for, but for the operator's question whether it is there. */
  const asked = () => door.passed.filter((request) => !request.startsWith("GET /v2/ "));

  async function pullSecret(name: string, server: string, user: { username: string; password: string }): Promise<void> {
    const login = [`--docker-username=${user.username}`, `--docker-password=${user.password}`];
    const of = ["-n", NAMESPACE, "create", "secret", "docker-registry", name];
    await stage.kubectl(...of, `--docker-server=${server}`, ...login);
  }

  before(async function () {
    stage = await Stage.open(this);
    await stage.setFlag(true);
    registry = await stage.cluster.startRegistry({ name: "rewrite", auth: true, port: PORT - 1 });
    const image = await stage.cluster.pushImage({ repository: "library/web", tag: "v1", to: registry });
    digest = image.digest;
    const { username, password } = registry.user ?? { username: "", password: "" };
    await stage.sign(image.pinned, `--registry-username=${username}`, `--registry-password=${password}`);
    door = await openDoor();
    trustPlainHttp(stage.cluster.settings.dir, UPSTREAM);
    await stage.namespace(NAMESPACE, { "policy.sigstore.dev/include": "true", "entrepot.dev/rewrite": "enabled" });
    await stage.apply(`${loginSecret("e2e-rewrite-upstream", UPSTREAM_USER)}${loginSecret("e2e-rewrite-nodes", NODES_USER)}
apiVersion: entrepot.dev/v1alpha1
kind: CacheRegistry
metadata: {name: e2e-rewrite}
spec:
  inCluster:
    pullHost: ${HOST}
    replicas: 1
    service: {type: NodePort, nodePort: 30517}
    storage: {persistentVolumeClaim: {size: 1Gi}}
    clients: {secretRefs: [{name: e2e-rewrite-nodes}]}
  imagePullSecretName: cache-pull
  upstreams:
    - {host: "${UPSTREAM}", credentials: {secretRef: {name: e2e-rewrite-upstream}}}
---
apiVersion: entrepot.dev/v1alpha1
kind: CacheRule
metadata: {name: e2e-rewrite}
spec: {registryRef: {name: e2e-rewrite}, source: "${UPSTREAM}/*", target: "hub/*"}
---
apiVersion: policy.sigstore.dev/v1beta1
kind: ClusterImagePolicy
metadata: {name: e2e-rewrite}
spec:
  images: [{glob: "${UPSTREAM}/library/**"}]
  authorities:
    - key:
        data: |
${stage.keys.publicKey.trimEnd().replace(/^/gm, "          ")}`);
    await pullSecret("upstream-pull", UPSTREAM, UPSTREAM_USER);
    await pullSecret("cache-pull", HOST, NODES_USER);
    await stage.wait("condition=Ready", "clusterimagepolicy/e2e-rewrite");
    await stage.wait("condition=Ready", "cacherule/e2e-rewrite");
    await eventually("the NodePort", PATIENCE_MS, async () =>
      (await fetchFromNode(`http://${HOST}/v2/`)).status === 401 ? true : undefined,
    );
    await untilNamed(HOST);
  });

  after(async () => {
    if (stage === undefined) return;
    await stage.kubectl("taint", "nodes", "--all", `${TAINT}-`).catch(() => undefined); // it is not there if a test failed early
    await stage.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=false");
    await stage.kubectl("delete", "clusterimagepolicy", "e2e-rewrite", "--ignore-not-found");
    await stage.remove("cacherule", "e2e-rewrite");
    await stage.remove("cacheregistry", "e2e-rewrite");
    await stage.setFlag(true);
    const secrets = ["e2e-rewrite-upstream", "e2e-rewrite-nodes"];
    await stage.kubectl("-n", NS, "delete", "secret", ...secrets, "--ignore-not-found");
    door?.close();
    await registry?.stop();
    stage.close();
  });

  it("an unmodified Deployment runs from the cache, verified under its upstream's policy, and looks as it was written", async () => {
    await stage.apply(deployment("web"));
    await stage.wait("condition=Available", "deployment/web", "-n", NAMESPACE);
    const [pod] = await pods("web");
    expect(pod?.spec.containers[0]?.image).to.equal(`${HOST}/hub/library/web:v1@${digest}`);
    expect(pod?.status.containerStatuses?.[0]?.imageID).to.equal(`${HOST}/hub/library/web@${digest}`);
    expect(JSON.parse(pod?.metadata.annotations?.["entrepot.dev/original-images"] ?? "{}")).to.deep.equal({
      web: `${UPSTREAM}/library/web:v1@${digest}`,
    });
    expect(pod?.spec.imagePullSecrets).to.deep.equal([{ name: "upstream-pull" }, { name: "cache-pull" }]);
    const template = await stage.kubectl(
      "-n",
      NAMESPACE,
      "get",
      "deployment/web",
      "-o",
      "jsonpath={.spec.template.spec}",
    );
    const { containers, imagePullSecrets } = JSON.parse(template) as PodView["spec"];
    expect([containers[0]?.image, imagePullSecrets]).to.deep.equal([
      `${UPSTREAM}/library/web:v1`,
      [{ name: "upstream-pull" }],
    ]);
    expect(
      door.passed.filter((request) => request.includes("containerd")),
      "pulls by the node",
    ).to.deep.equal([]);
    expect(asked(), "control: the cache asked for it").to.not.deep.equal([]);
  });

  it("asks the upstream nothing for the next Pods", async () => {
    const before = asked().length;
    await scale("web", 3);
    expect(asked().slice(before)).to.deep.equal([]);
  });

  it("scales up with the upstream switched off", async () => {
    door.close();
    await scale("web", 5);
    const images = (await pods("web")).map(({ spec }) => spec.containers[0]?.image);
    expect(new Set(images)).to.deep.equal(new Set([`${HOST}/hub/library/web:v1@${digest}`]));
  });

  it("verifies afresh what is new, without an upstream: its tag and its signature come from the cache", async () => {
    const verified = () => stage.metric("entrepot_verifications_total", 'outcome="matched"');
    const before = await verified();
    const forget = '{"data":{"dev.entrepot.cache-epoch":"e2e-rewrite"}}'; // nothing sealed or remembered counts
    await stage.kubectl("-n", NS, "patch", "configmap", "config-policy-controller", "--type=merge", "-p", forget);
    await eventually("a verification", PATIENCE_MS, async () => {
      await nameOfNewPod();
      return (await verified()) > before ? true : undefined;
    });
    await stage.apply(deployment("fresh"));
    await stage.wait("condition=Available", "deployment/fresh", "-n", NAMESPACE);
    const [pod] = await pods("fresh");
    expect(pod?.spec.containers[0]?.image).to.equal(`${HOST}/hub/library/web:v1@${digest}`);
  });

  it("gives new Pods the upstream's name while the cache is off, and says so on them", async () => {
    door = await openDoor();
    await stage.kubectl("taint", "nodes", "--all", TAINT);
    await stage.kubectl(
      "-n",
      NS,
      "delete",
      "pod",
      "-l",
      `entrepot.dev/registry=e2e-rewrite,app.kubernetes.io/component=gateway`,
      "--now",
    );
    await stage.wait("condition=Ready=False", "cacherule/e2e-rewrite");
    await untilNamed(UPSTREAM);
    await stage.apply(deployment("fallback"));
    await stage.wait("condition=Available", "deployment/fallback", "-n", NAMESPACE);
    const [pod] = await pods("fallback");
    expect(pod?.spec.containers[0]?.image).to.equal(`${UPSTREAM}/library/web:v1@${digest}`);
    const said = pod?.metadata.annotations?.["entrepot.dev/not-rewritten"] ?? "";
    expect(said).to.include('CacheRule \\"e2e-rewrite\\" is not Ready').and.include(gatewayName("e2e-rewrite"));
    expect(
      door.passed.some((request) => request.includes("containerd")),
      "the node pulled it there",
    ).to.equal(true);
    await stage.kubectl("taint", "nodes", "--all", `${TAINT}-`);
    await stage.wait("condition=Ready", "cacherule/e2e-rewrite");
    await untilNamed(HOST);
    await scale("fallback", 2);
    const images = (await pods("fallback")).map(({ spec }) => spec.containers[0]?.image.split("/")[0]);
    expect(images.toSorted(), "the next Pod pulls from the cache again").to.deep.equal([HOST, UPSTREAM].toSorted());
  });
});
