import type { Stage } from "./stage.ts";

const IMAGES = "jsonpath='{.items[*].spec.containers[0].image}'";

/** A namespace opts in: its Pods pull from the cache, and the Deployment keeps the name that its policy knows. */
export async function rewritingChapter(stage: Stage): Promise<void> {
  const { terminal, upstream, pullHost, local } = stage;
  if (local !== undefined) {
    terminal.say("left out: Pods that pull from the cache, which takes a node");
    return;
  }
  terminal.heading("Pods pull from the cache, and nobody has to write its name");
  await declare(stage);
  const before = upstream.requests().length;
  await terminal.sh(`kubectl -n team create deployment cached --image=${upstream.address}/team/app:v1`);
  await terminal.sh("kubectl -n team rollout status deployment/cached --timeout=120s | tail -1");
  const { stdout: deployment } = await terminal.sh("kubectl -n team get deployment cached -o wide");
  const { stdout: image } = await terminal.sh(`kubectl -n team get pods -l app=cached -o ${IMAGES}`);
  terminal.check("the Deployment has its upstream's name", deployment.includes(`${upstream.address}/team/app:v1`));
  terminal.check(
    "its Pod runs the verified digest from the cache",
    image.startsWith(`${pullHost}/team/app:v1@sha256:`),
  );
  const byNode = upstream
    .requests()
    .slice(before)
    .filter(({ userAgent }) => userAgent.includes("containerd"));
  terminal.check("the node asked the upstream for nothing", byNode.length === 0);
}

async function declare(stage: Stage): Promise<void> {
  const { terminal, upstream, pullHost } = stage;
  const token = "$(kubectl -n team create token default --audience=entrepot-cache)";
  await terminal.sh(
    `kubectl -n team create secret docker-registry cache --docker-server=${pullHost} --docker-username=token --docker-password=${token}`,
  );
  await terminal.sh(
    `kubectl patch cacheregistry in-cluster --type=merge -p '{"spec":{"imagePullSecretName":"cache","inCluster":{"clients":{"serviceAccounts":{"namespaces":["default","team"]}}}}}'`,
  );
  await terminal.sh("kubectl apply -f -", {
    input: `
apiVersion: entrepot.dev/v1alpha1
kind: CacheRule
metadata: {name: team}
spec:
  registryRef: {name: in-cluster}
  source: ${upstream.address}/team/*
  target: team/*
`,
  });
  await terminal.sh("kubectl wait --for=condition=Ready cacherule/team --timeout=120s");
  await terminal.sh("kubectl label namespace team entrepot.dev/rewrite=enabled");
  await untilNamed(stage, `${upstream.address}/team/app:v1`);
}

/**
 * Replicas learn of the rule and the API server of the label within moments: asks, for a minute, until Pods that are not made would pull
 * from the cache. Several in a row, since each replica answers some.
 */
async function untilNamed({ terminal, pullHost }: Stage, image: string): Promise<void> {
  const pod = `kubectl -n team run probe --image=${image} --dry-run=server -o jsonpath='{.spec.containers[0].image}'`;
  const deadline = Date.now() + 60_000;
  for (let named = 0; named < 6 && Date.now() < deadline; ) {
    const { code, stdout } = await terminal.sh(pod, { quiet: true, mayFail: true });
    named = code === 0 && stdout.startsWith(`${pullHost}/`) ? named + 1 : 0;
  }
}
