import { password, type Stage } from "./stage.ts";

const PULL_HOST = "localhost:30500";

/** A declared image is served by the cache, even when its upstream is gone; an undeclared one is not. */
export async function cacheChapter(stage: Stage): Promise<void> {
  await declare(stage);
  await pullThrough(stage);
  await survive(stage);
  await refuse(stage);
}

async function declare(stage: Stage): Promise<void> {
  const { cluster, terminal, upstream } = stage;
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
    pullHost: ${PULL_HOST}
    service: {type: NodePort, nodePort: 30500}
    storage: {persistentVolumeClaim: {size: 1Gi}}
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
  await terminal.sh("kubectl wait --for=condition=Ready cacherule/hello --timeout=120s");
  const { stdout } = await terminal.sh("kubectl get cacherules");
  terminal.check("kubectl get cacherules shows the rule Ready", /hello\s.*\sTrue\s/.test(stdout));
}

async function pullThrough({ terminal, upstream }: Stage): Promise<void> {
  terminal.heading("A Pod pulls it through the cache");
  const before = upstream.requests().length;
  await terminal.sh(`kubectl run hello --image=${PULL_HOST}/demo-hello:v1`);
  await terminal.sh("kubectl wait --for=condition=Ready pod/hello --timeout=60s");
  await terminal.sh(
    `kubectl get pod hello -o jsonpath='{.status.phase} {.status.containerStatuses[0].imageID}{"\\n"}'`,
  );
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

async function survive({ terminal, upstream }: Stage): Promise<void> {
  terminal.heading("The upstream is stopped: what is cached is still served");
  await upstream.stop();
  await terminal.sh(`kubectl run hello-again --image=${PULL_HOST}/demo-hello:v1 --image-pull-policy=Always`);
  await terminal.sh("kubectl wait --for=condition=Ready pod/hello-again --timeout=60s");
  const { stdout } = await terminal.sh("kubectl get pods -o wide");
  terminal.check("a second Pod is Running", /hello-again\s+1\/1\s+Running/.test(stdout));
  await upstream.start();
}

async function refuse({ terminal }: Stage): Promise<void> {
  terminal.heading("What nobody declared is refused");
  const { stdout } = await terminal.sh(`curl -s http://${PULL_HOST}/v2/not-declared/manifests/v1`);
  terminal.check("the cache answers NAME_UNKNOWN", stdout.includes('"NAME_UNKNOWN"'));
  await terminal.sh(`kubectl run stray --image=${PULL_HOST}/not-declared:v1`);
  await terminal.sh(
    `kubectl wait --for=jsonpath='{.status.containerStatuses[0].state.waiting.reason}'=ErrImagePull pod/stray --timeout=60s`,
    {
      mayFail: true,
    },
  );
  const state = await terminal.read(`kubectl get pod stray -o jsonpath='{.status.containerStatuses[0].state.waiting}'`);
  terminal.say(state.slice(0, 300));
  terminal.check("the Pod does not start", /ErrImagePull|ImagePullBackOff/.test(state));
  await terminal.sh("kubectl delete pod hello hello-again stray --now --wait=false");
}
