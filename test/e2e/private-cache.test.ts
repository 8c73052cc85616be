import { expect } from "chai";
import type { ExtraRegistry } from "../support/cluster.ts";
import { eventually, fetchFromNode, NS, PATIENCE_MS, Stage } from "../support/e2e.ts";

const HOST = "localhost:30503";
const NAMESPACE = "e2e-private";

describe("a private upstream's images on a real node", () => {
  let stage: Stage;
  let upstream: ExtraRegistry;

  const pod = (name: string, secret?: string, repository = `private/${name}`): string => {
    const pulling = secret === undefined ? "" : `imagePullSecrets: [{name: ${secret}}], `;
    const container = `{name: c, image: "${HOST}/${repository}:v1", imagePullPolicy: Always}`;
    return `{apiVersion: v1, kind: Pod, metadata: {name: ${name}, namespace: ${NAMESPACE}}, spec: {${pulling}containers: [${container}]}}`;
  };

  /** A pull Secret for the cache, as people make one. */
  async function pullSecret(name: string, username: string, password: string): Promise<void> {
    const login = [`--docker-username=${username}`, `--docker-password=${password}`];
    await stage.kubectl(
      "-n",
      NAMESPACE,
      "create",
      "secret",
      "docker-registry",
      name,
      `--docker-server=${HOST}`,
      ...login,
    );
  }

  before(async function () {
    stage = await Stage.open(this);
    upstream = await stage.cluster.startRegistry({ name: "private", auth: true, port: 5003 });
    const { username, password } = upstream.user ?? { username: "", password: "" };
    for (const name of ["none", "user", "token", "ahead"])
      await stage.cluster.pushImage({ repository: `team/${name}`, tag: "v1", to: upstream });
    await stage.namespace(NAMESPACE, {});
    await stage.apply(`
apiVersion: v1
kind: Secret
metadata: {name: e2e-private-upstream, namespace: ${NS}}
type: kubernetes.io/basic-auth
stringData: {username: ${username}, password: ${password}}
---
apiVersion: v1
kind: Secret
metadata: {name: e2e-private-client, namespace: ${NS}}
type: kubernetes.io/basic-auth
stringData: {username: nodes, password: e2e-client-password}
---
apiVersion: entrepot.dev/v1alpha1
kind: CacheRegistry
metadata: {name: e2e-private}
spec:
  inCluster:
    pullHost: ${HOST}
    replicas: 1
    service: {type: NodePort, nodePort: 30503}
    storage: {emptyDir: {}}
    clients:
      secretRefs: [{name: e2e-private-client}]
      serviceAccounts: {namespaces: [${NAMESPACE}]}
  upstreams:
    - host: ${upstream.address}
      credentials: {secretRef: {name: e2e-private-upstream}}
---
apiVersion: entrepot.dev/v1alpha1
kind: CacheRule
metadata: {name: e2e-private}
spec:
  registryRef: {name: e2e-private}
  source: ${upstream.address}/team/*
  target: private/*`);
    await stage.wait("condition=Ready", "cacherule/e2e-private");
    await eventually("the NodePort", PATIENCE_MS, async () => {
      const { status } = await fetchFromNode(`http://${HOST}/v2/`);
      return status === 401 ? true : undefined;
    });
  });

  after(async () => {
    if (stage === undefined) return;
    await stage.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=false");
    await stage.remove("cacherule", "e2e-private", "e2e-ahead");
    await stage.remove("cacheregistry", "e2e-private");
    await stage.kubectl(
      "-n",
      NS,
      "delete",
      "secret",
      "e2e-private-upstream",
      "e2e-private-client",
      "--ignore-not-found",
    );
    stage.close();
  });

  it("are not pulled without credentials", async () => {
    await stage.apply(pod("none"));
    await eventually("the pull fails for want of credentials", PATIENCE_MS, async () => {
      const path = "jsonpath={.status.containerStatuses[0].state.waiting}";
      const text = await stage.kubectl("-n", NAMESPACE, "get", "pod", "none", "-o", path);
      if (!/ImagePull.*(?:credentials|unauthorized|401)/is.test(text)) throw new Error(`it waits for ${text}`);
      return true;
    });
    const { status } = await fetchFromNode(`http://${HOST}/v2/private/none/manifests/v1`);
    expect(status).to.equal(401);
  });

  it("are pulled by imagePullSecrets with a user of a Secret", async () => {
    await pullSecret("user", "nodes", "e2e-client-password");
    await stage.apply(pod("user", "user"));
    await stage.wait("condition=Ready", "pod/user", "-n", NAMESPACE);
  });

  it("are pulled by imagePullSecrets with a ServiceAccount's token", async () => {
    const args = ["-n", NAMESPACE, "create", "token", "default", "--audience=entrepot-cache"];
    await pullSecret("token", "token", (await stage.kubectl(...args)).trim());
    await stage.apply(pod("token", "token"));
    await stage.wait("condition=Ready", "pod/token", "-n", NAMESPACE);
  });

  it("are there before anyone asked where spec.refresh follows them, and when the upstream is gone", async () => {
    await stage.apply(`
apiVersion: entrepot.dev/v1alpha1
kind: CacheRule
metadata: {name: e2e-ahead}
spec:
  registryRef: {name: e2e-private}
  source: ${upstream.address}/team/ahead
  target: ahead
  refresh: {interval: 1h, tags: [{glob: "v*"}]}`);
    await stage.wait("jsonpath={.status.cached.total}=1", "cacherule/e2e-ahead");
    await upstream.stop();
    await stage.apply(pod("ahead", "user", "ahead"));
    await stage.wait("condition=Ready", "pod/ahead", "-n", NAMESPACE);
  });
});
