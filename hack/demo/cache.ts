import { password, type Stage } from "./stage.ts";

/** A token for the cache, of the ServiceAccount that the Pods run as; the shell makes it where it is used. */
const TOKEN = "$(kubectl create token default --audience=entrepot-cache)";

/** A declared image is served by the cache, even when its upstream is gone; an undeclared one is not. */
export async function cacheChapter(stage: Stage): Promise<void> {
  await declare(stage);
  await letIn(stage);
  await pullThrough(stage);
  await survive(stage);
  await refuse(stage);
}

async function declare(stage: Stage): Promise<void> {
  const { cluster, terminal, upstream, pullHost, local } = stage;
  const { username, password: secret } = password(stage);
  terminal.heading("A private registry has an image");
  const image = await cluster.pushImage({ repository: "team/hello", tag: "v1", to: upstream });
  terminal.say(`pushed ${image.reference} (${image.digest})`);

  terminal.heading("Declare it: the cache serves it from now on");
  await terminal.sh(
    `kubectl -n cosign-system create secret generic upstream --type=kubernetes.io/basic-auth --from-literal=username=${username} --from-literal=password=${secret}`,
  );
  await terminal.sh("kubectl apply -f -", {
    input: `
apiVersion: entrepot.dev/v1alpha1
kind: CacheRegistry
metadata: {name: in-cluster}
spec:
  inCluster:
    pullHost: ${pullHost}
    clients: {serviceAccounts: {namespaces: [default]}}
    ${local === undefined ? "service: {type: NodePort, nodePort: 30500}\n    storage: {persistentVolumeClaim: {size: 1Gi}}" : "storage: {emptyDir: {}}"}
  upstreams:
  - host: ${upstream.address}
    credentials: {secretRef: {name: upstream}}
---
apiVersion: entrepot.dev/v1alpha1
kind: CacheRule
metadata: {name: hello}
spec:
  registryRef: {name: in-cluster}
  source: ${upstream.address}/team/hello
  target: demo-hello
`,
  });
  const condition = local === undefined ? "Ready" : "Accepted";
  await terminal.sh(`kubectl wait --for=condition=${condition} cacherule/hello --timeout=120s`);
  const { stdout } = await terminal.sh("kubectl get cacherules");
  if (local === undefined)
    terminal.check("kubectl get cacherules shows the rule Ready", /hello\s.*\sTrue\s/.test(stdout));
  else terminal.say("left out: Ready, which is said only of a cache whose Pods serve the rule");
}

/** What the upstream shows only to the cache's credentials, the cache shows only to its clients' (docs/private-content.md). */
async function letIn({ terminal, pullHost, local }: Stage): Promise<void> {
  terminal.heading("The upstream is private, so the cache asks for credentials, too");
  const { stdout } = await terminal.sh(
    `curl -s --retry 10 --retry-delay 1 --retry-connrefused http://${pullHost}/v2/demo-hello/manifests/v1`,
  );
  terminal.check("the cache answers UNAUTHORIZED to who shows none", stdout.includes('"UNAUTHORIZED"'));
  if (local !== undefined) return;
  await terminal.sh(
    `kubectl create secret docker-registry cache --docker-server=${pullHost} --docker-username=token --docker-password=${TOKEN}`,
  );
  await terminal.sh(`kubectl patch serviceaccount default -p '{"imagePullSecrets":[{"name":"cache"}]}'`);
  // The API server gives it to new Pods a moment later; a Pod without it would never start.
  const rehearsal = `kubectl run rehearsal --image=${pullHost}/demo-hello:v1 --dry-run=server -o jsonpath='{.spec.imagePullSecrets[*].name}'`;
  const deadline = Date.now() + 60_000;
  while (Date.now() < deadline) {
    const { stdout } = await terminal.sh(rehearsal, { quiet: true, mayFail: true });
    if (stdout.includes("cache")) return;
  }
}

/** Pulls as a node would, or, without one, with an OCI client. Rejects when the image cannot be had. */
async function pull({ terminal, pullHost, local, directory }: Stage, name: string): Promise<void> {
  const image = `${pullHost}/demo-hello:v1`;
  if (local !== undefined) {
    terminal.say("left out: the kubelet; cosign's OCI client pulls in its place");
    await terminal.sh(
      `cosign save --allow-http-registry --registry-username=token --registry-password=${TOKEN} --dir ${directory}/${name} ${image}`,
    );
    return;
  }
  await terminal.sh(`kubectl run ${name} --image=${image} --image-pull-policy=Always`);
  await terminal.sh(`kubectl wait --for=condition=Ready pod/${name} --timeout=180s`);
  await terminal.sh(`kubectl get pod ${name} -o wide`);
}

async function pullThrough(stage: Stage): Promise<void> {
  const { terminal, upstream } = stage;
  terminal.heading("It is pulled through the cache");
  const before = upstream.requests().length;
  await pull(stage, "hello");
  terminal.say("the upstream's access log since then:");
  const log = upstream.requests().slice(before);
  for (const { method, path, status, userAgent } of log) console.log(`  ${method} ${path} ${status} ${userAgent}`);
  const served = log.filter(
    ({ method, status, path }) => method === "GET" && status === 200 && path.includes("/blobs/"),
  );
  const pulled = new Map(Map.groupBy(served, ({ path }) => path));
  const manifests = log.filter(
    ({ method, status, path }) => method === "GET" && status === 200 && path.includes("/manifests/"),
  );
  terminal.check(
    "the upstream was pulled from exactly once",
    manifests.length === 1 && pulled.size > 0 && [...pulled.values()].every((list) => list.length === 1),
  );
}

async function survive(stage: Stage): Promise<void> {
  const { terminal, upstream } = stage;
  terminal.heading("The upstream is stopped: what is cached is still served");
  await upstream.stop();
  const pulled = await pull(stage, "hello-again").then(
    () => true,
    () => false,
  );
  terminal.check("a second pull works without the upstream", pulled);
  await upstream.start();
}

async function refuse({ terminal, pullHost, local }: Stage): Promise<void> {
  terminal.heading("What nobody declared is refused");
  const { stdout } = await terminal.sh(
    `curl -s --retry 10 --retry-delay 1 --retry-connrefused http://${pullHost}/v2/not-declared/manifests/v1`,
  );
  terminal.check("the cache answers NAME_UNKNOWN", stdout.includes('"NAME_UNKNOWN"'));
  if (local !== undefined) return;
  await terminal.sh(`kubectl run stray --image=${pullHost}/not-declared:v1`);
  await terminal.sh(
    `kubectl wait --for=jsonpath='{.status.containerStatuses[0].state.waiting.reason}'=ErrImagePull pod/stray --timeout=180s`,
    {
      mayFail: true,
    },
  );
  const state = await terminal.read(`kubectl get pod stray -o jsonpath='{.status.containerStatuses[0].state.waiting}'`);
  terminal.say(state.slice(0, 300));
  terminal.check("the Pod does not start", /ErrImagePull|ImagePullBackOff/.test(state));
  await terminal.sh("kubectl delete pod hello hello-again stray --now --wait=false");
}
