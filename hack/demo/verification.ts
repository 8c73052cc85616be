import { readFileSync } from "node:fs";
import { join } from "node:path";
import { password, type Stage } from "./stage.ts";

const ANNOTATION = "clusterimagepolicies.chainguard.dev/cache";
const JSONPATH = `{.metadata.annotations.clusterimagepolicies\\.chainguard\\.dev/cache}`;

/** An unsigned image is refused; a signed one is verified once, sealed, and its Pods cost no registry request. */
export async function verificationChapter(stage: Stage): Promise<void> {
  await sign(stage);
  await policy(stage);
  await refuse(stage);
  await scale(stage);
  await forge(stage);
  await flag(stage);
}

async function sign(stage: Stage): Promise<void> {
  const { cluster, terminal, upstream, directory } = stage;
  const { username, password: secret } = password(stage);
  terminal.heading("Two images: one signed with cosign, one not");
  const app = await cluster.pushImage({ repository: "team/app", tag: "v1", to: upstream });
  await cluster.pushImage({ repository: "team/rogue", tag: "v1", to: upstream });
  await terminal.sh(`cd ${directory} && cosign generate-key-pair`);
  await terminal.sh(
    `cd ${directory} && cosign sign --key cosign.key --use-signing-config=false --tlog-upload=false --allow-http-registry --registry-username=${username} --registry-password=${secret} --yes ${app.pinned}`,
  );
}

async function policy(stage: Stage): Promise<void> {
  const { terminal, upstream, directory } = stage;
  const { username, password: secret } = password(stage);
  terminal.heading("Turn the verification cache on, declare the policy, opt a namespace in");
  await terminal.sh(
    "kubectl get cm config-policy-controller -n cosign-system >/dev/null 2>&1 || kubectl create cm config-policy-controller -n cosign-system",
  );
  await terminal.sh(
    `kubectl patch cm config-policy-controller -n cosign-system --type merge -p '{"data":{"dev.chainguard.enable-cip-cache":"true"}}'`,
  );
  const key = readFileSync(join(directory, "cosign.pub"), "utf8").trimEnd().replaceAll("\n", "\n        ");
  await terminal.sh("kubectl apply -f -", {
    input: `
apiVersion: policy.sigstore.dev/v1beta1
kind: ClusterImagePolicy
metadata: {name: signed-by-team}
spec:
  images: [{glob: "${upstream.address}/team/**"}]
  authorities:
  - key:
      data: |
        ${key}
`,
  });
  await terminal.sh("kubectl wait --for=condition=Ready cip/signed-by-team --timeout=60s");
  await terminal.sh("kubectl create namespace team");
  await terminal.sh("kubectl label namespace team policy.sigstore.dev/include=true");
  await terminal.sh(
    `kubectl -n team create secret docker-registry upstream --docker-server=${upstream.address} --docker-username=${username} --docker-password=${secret}`,
  );
  await terminal.sh("kubectl -n team wait --for=create serviceaccount/default --timeout=120s");
  await terminal.sh(`kubectl -n team patch serviceaccount default -p '{"imagePullSecrets":[{"name":"upstream"}]}'`);
}

async function refuse({ terminal, upstream }: Stage): Promise<void> {
  terminal.heading("The unsigned image is refused at kubectl apply");
  const { code, stderr } = await terminal.sh(
    `kubectl create deployment rogue --image=${upstream.address}/team/rogue:v1 --dry-run=client -o yaml | kubectl -n team apply -f -`,
    { mayFail: true },
  );
  terminal.check(
    "the message names policy, image and reason",
    code !== 0 &&
      stderr.includes("signed-by-team") &&
      stderr.includes("team/rogue") &&
      stderr.includes("no signatures found"),
  );
}

/** Waits until a Deployment has its Pods: running, or, without a node, admitted. */
async function rolledOut({ terminal, local }: Stage, replicas: number): Promise<string> {
  if (local === undefined) {
    await terminal.sh("kubectl -n team rollout status deployment/app --timeout=120s | tail -1");
    return await terminal.read(
      "kubectl -n team get pods -l app=app --field-selector=status.phase=Running -o name | wc -l",
    );
  }
  terminal.say("left out: Pods that run; without a node they are admitted and stay Pending");
  await terminal.sh(
    `kubectl -n team wait --for=jsonpath='{.status.replicas}'=${replicas} deployment/app --timeout=120s`,
  );
  return await terminal.read("kubectl -n team get pods -l app=app -o name | wc -l");
}

async function scale(stage: Stage): Promise<void> {
  const { terminal, upstream, local } = stage;
  terminal.heading("The signed image is verified once; 20 Pods cost the registry nothing more");
  const byUs = () => upstream.requests().filter(({ userAgent }) => userAgent.startsWith("entrepot"));
  const before = byUs().length;
  await terminal.sh(`kubectl -n team create deployment app --image=${upstream.address}/team/app:v1`);
  await rolledOut(stage, 1);
  const cold = byUs().slice(before);
  terminal.say("the webhook's requests to the registry for the Deployment, its ReplicaSet and its first Pod:");
  for (const { method, path, status } of cold) console.log(`  ${method} ${path} ${status}`);
  const all = upstream.requests().length;
  await terminal.sh("kubectl -n team scale deployment app --replicas=20");
  const running = await rolledOut(stage, 20);
  const since = upstream.requests().slice(all);
  const webhook = since.filter(({ userAgent }) => userAgent.startsWith("entrepot")).length;
  terminal.say(
    `${running} Pods ${local === undefined ? "Running" : "admitted"}; requests since the scaling: ${webhook} by the webhook, ${since.length - webhook} by the kubelet`,
  );
  terminal.check(`20 Pods are ${local === undefined ? "Running" : "admitted"}`, running === "20");
  terminal.check("scaling to 20 asked the registry for nothing, beyond the kubelet's own pulls", webhook === 0);
  for (const object of ["deployment/app", "replicaset -l app=app", "pod -l app=app"]) {
    const list = object.includes(" ");
    const path = list ? JSONPATH.replace("{", "{.items[0]") : JSONPATH;
    const { stdout } = await terminal.sh(`kubectl -n team get ${object} -o jsonpath='${path}'`);
    terminal.check(
      `${object.split(/[ /]/)[0]} carries the sealed records`,
      /^records:/m.test(stdout) && /^signature: /m.test(stdout),
    );
  }
}

/** The metrics pages of all webhook replicas. */
async function webhookMetrics({ terminal, local }: Pick<Stage, "terminal" | "local">): Promise<string> {
  if (local !== undefined) return await local.metrics("webhook");
  const pods = await terminal.read(
    "kubectl -n cosign-system get pods -l app.kubernetes.io/component=webhook -o jsonpath='{.items[*].metadata.name}'",
  );
  const page = (pod: string) =>
    terminal.read(`kubectl get --raw /api/v1/namespaces/cosign-system/pods/${pod}:9090/proxy/metrics`);
  return (await Promise.all(pods.split(" ").map(page))).join("\n");
}

async function forge({ cluster, terminal, upstream, local }: Stage): Promise<void> {
  terminal.heading("An edited annotation is discarded, and the image verified afresh");
  const sealed = await terminal.read(`kubectl -n team get deployment/app -o jsonpath='${JSONPATH}'`);
  const [, id = ""] = /id: (\w+)/.exec(sealed) ?? [];
  const forgedId = (id.startsWith("0") ? "1" : "0") + id.slice(1);
  const forged = sealed.replace(id, forgedId).trimEnd().replaceAll("\n", "\n      ");
  await terminal.sh("kubectl apply -f -", {
    input: `
apiVersion: v1
kind: Pod
metadata:
  name: forged
  namespace: team
  annotations:
    ${ANNOTATION}: |
      ${forged}
spec:
  containers: [{name: app, image: "${upstream.address}/team/app:v1"}]
`,
  });
  const now = await terminal.read(`kubectl -n team get pod/forged -o jsonpath='${JSONPATH}'`);
  terminal.check(
    "the Pod is admitted with an annotation of ours, not with the edited one",
    id !== "" && now.includes(id) && !now.includes(forgedId),
  );
  const webhookLog =
    local === undefined
      ? "kubectl -n cosign-system logs -l app.kubernetes.io/component=webhook --tail=-1"
      : `cat ${cluster.logPath("webhook")}`;
  const log = await terminal.sh(`${webhookLog} | grep 'annotation discarded' | tail -1`);
  terminal.check("the log says so", log.stdout.includes('"name":"forged"'));
  const metrics = await webhookMetrics({ terminal, ...(local !== undefined && { local }) });
  const counted = metrics.split("\n").filter((line) => line.startsWith("entrepot_cache_refusals_total{"));
  for (const line of counted) console.log(`  ${line}`);
  terminal.check(
    "the metric says so",
    counted.some((line) => line.includes('reason="signature"')),
  );
}

async function flag({ terminal, upstream }: Stage): Promise<void> {
  terminal.heading("The flag off, and on again: no restart");
  const set = (value: string) =>
    terminal.sh(
      `kubectl patch cm config-policy-controller -n cosign-system --type merge -p '{"data":{"dev.chainguard.enable-cip-cache":"${value}"}}'`,
    );
  for (const value of ["false", "true"]) {
    await set(value);
    const name = value === "true" ? "flag-on" : "flag-off";
    const wanted = value === "true";
    const annotated = await untilAnnotated(terminal, `${name}`, `${upstream.address}/team/app:v1`, wanted);
    terminal.check(
      `with "${value}" a new Pod ${wanted ? "carries the annotation" : "carries none"}`,
      annotated === wanted,
    );
  }
}

/** Replicas learn of the flag within moments of each other: asks until one says what is expected, for a minute. */
async function untilAnnotated(
  terminal: Stage["terminal"],
  name: string,
  image: string,
  wanted: boolean,
): Promise<boolean> {
  const deadline = Date.now() + 60_000;
  for (let attempt = 1; ; attempt++) {
    const pod = `${name}-${attempt}`;
    await terminal.sh(`kubectl -n team run ${pod} --image=${image}`, { quiet: attempt > 1 });
    const annotation = await terminal.read(`kubectl -n team get pod/${pod} -o jsonpath='${JSONPATH}'`);
    if ((annotation !== "") === wanted || Date.now() > deadline) return annotation !== "";
  }
}
