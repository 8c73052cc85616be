import { expect } from "chai";
import { CACHE_JSONPATH, eventually, NS, PATIENCE_MS, Stage } from "../support/e2e.ts";

const TEMPLATES: Readonly<Record<string, (image: string) => string>> = {
  Pod: (image) =>
    `{apiVersion: v1, kind: Pod, metadata: {name: x}, spec: {containers: [{name: c, image: "${image}"}]}}`,
  Deployment: (image) => apps("Deployment", image, "replicas: 1, "),
  ReplicaSet: (image) => apps("ReplicaSet", image, "replicas: 1, "),
  DaemonSet: (image) => apps("DaemonSet", image),
  StatefulSet: (image) => apps("StatefulSet", image, "serviceName: x, "),
  Job: (image) => `{apiVersion: batch/v1, kind: Job, metadata: {name: x}, spec: ${job(image)}}`,
  CronJob: (image) =>
    `{apiVersion: batch/v1, kind: CronJob, metadata: {name: x}, spec: {schedule: "0 0 1 1 *", jobTemplate: {spec: ${job(image)}}}}`,
};

const job = (image: string) => `{template: {spec: {restartPolicy: Never, containers: [{name: c, image: "${image}"}]}}}`;

function apps(kind: string, image: string, more = ""): string {
  const template = `{metadata: {labels: {app: x}}, spec: {containers: [{name: c, image: "${image}"}]}}`;
  return `{apiVersion: apps/v1, kind: ${kind}, metadata: {name: x}, spec: {${more}selector: {matchLabels: {app: x}}, template: ${template}}}`;
}

const inNamespace = (namespace: string, manifest: string) =>
  manifest.replace("name: x}", `name: x, namespace: ${namespace}}`);

describe("verified admission on a real node", () => {
  let stage: Stage;
  let registry: string;

  before(async function () {
    stage = await Stage.open(this);
    registry = stage.cluster.registry;
    await stage.setFlag(true);
    await stage.namespace("e2e-verify");
    await stage.policy("e2e-verify", "verify");
    await stage.cluster.pushImage({ repository: "verify/rogue", tag: "v1" });
  });

  after(async () => {
    if (stage === undefined) return;
    await stage.kubectl("delete", "namespace", "e2e-verify", "--wait=false");
    await stage.kubectl("delete", "clusterimagepolicy", "e2e-verify", "--ignore-not-found");
    stage.close();
  });

  for (const [kind, template] of Object.entries(TEMPLATES)) {
    it(`refuses a ${kind} with an unsigned image and admits it with a signed one, which runs at the cost of one verification`, async () => {
      const refusal = await stage.refusal(inNamespace("e2e-verify", template(`${registry}/verify/rogue:v1`)));
      expect(refusal).to.include(
        'admission webhook "policy.sigstore.dev" denied the request: validation failed: failed policy: e2e-verify: spec.',
      );
      expect(refusal).to.include("no signatures found");
      const repository = `verify/${kind.toLowerCase()}`;
      const { reference, digest } = await stage.signedImage(repository);
      const before = stage.webhookRequests(repository).length;
      await stage.apply(inNamespace("e2e-verify", template(reference)));
      if (kind === "CronJob") await stage.kubectl("-n", "e2e-verify", "create", "job", "x-now", "--from=cronjob/x");
      const pod = await eventually("a running Pod", PATIENCE_MS, async () => {
        const found = await stage.kubectl(
          "-n",
          "e2e-verify",
          "get",
          "pods",
          "-o",
          `jsonpath={.items[?(@.status.phase=="Running")].metadata.name}`,
        );
        return found.split(" ")[0] || undefined;
      });
      const image = await stage.kubectl(
        "-n",
        "e2e-verify",
        "get",
        "pod",
        pod,
        "-o",
        "jsonpath={.spec.containers[0].image}",
      );
      expect(image).to.equal(`${reference}@${digest}`);
      expect(await stage.kubectl("-n", "e2e-verify", "get", "pod", pod, "-o", `jsonpath=${CACHE_JSONPATH}`)).to.match(
        /^signature: /m,
      );
      const asked = stage.webhookRequests(repository).slice(before);
      expect(asked.filter((line) => line.startsWith("HEAD"))).to.have.length(1);
      expect(asked, asked.join("\n")).to.have.length(3);
      await stage.kubectl("-n", "e2e-verify", "delete", `${kind.toLowerCase()}/x`, "--now");
      await eventually("no Pod left", PATIENCE_MS, async () => {
        const left = await stage.kubectl("-n", "e2e-verify", "get", "pods", "-o", "name");
        return left === "" ? true : undefined;
      });
    });
  }

  it("judges an ephemeral container like any other", async () => {
    const { reference } = await stage.signedImage("verify/main");
    await stage.kubectl("-n", "e2e-verify", "run", "debugged", `--image=${reference}`);
    await stage.wait("condition=Ready", "pod/debugged", "-n", "e2e-verify");
    const debug = (image: string) =>
      stage.cluster.run([
        stage.cluster.program("kubectl"),
        "-n",
        "e2e-verify",
        "debug",
        "debugged",
        `--image=${image}`,
        "--container",
        `d-${Date.now()}`,
      ]);
    const refused = await debug(`${registry}/verify/rogue:v1`);
    expect(refused.code, refused.stdout).to.not.equal(0);
    expect(refused.stderr).to.include("failed policy: e2e-verify: spec.ephemeralContainers[0].image");
    const tools = await stage.signedImage("verify/tools");
    const admitted = await debug(tools.reference);
    expect(admitted.code, admitted.stderr).to.equal(0);
    await stage.kubectl("-n", "e2e-verify", "delete", "pod", "debugged", "--now");
  });

  it("warns and admits under a policy in mode warn", async () => {
    await stage.policy("e2e-warn", "warned", "warn");
    const { reference } = await stage.cluster.pushImage({ repository: "warned/rogue", tag: "v1" });
    const { code, stderr } = await stage.cluster.run([
      stage.cluster.program("kubectl"),
      "-n",
      "e2e-verify",
      "run",
      "warned",
      `--image=${reference}`,
    ]);
    expect(code, stderr).to.equal(0);
    expect(stderr)
      .to.include("Warning: failed policy: e2e-warn: spec.containers[0].image")
      .and.include("no signatures found");
    await stage.kubectl("-n", "e2e-verify", "delete", "pod", "warned", "--now");
    await stage.kubectl("delete", "clusterimagepolicy", "e2e-warn");
  });

  it("denies what no policy matches, and leaves other namespaces alone", async () => {
    const { reference } = await stage.cluster.pushImage({ repository: "elsewhere/app", tag: "v1" });
    const pod = (namespace: string) =>
      `{apiVersion: v1, kind: Pod, metadata: {name: nomatch, namespace: ${namespace}}, spec: {containers: [{name: c, image: "${reference}"}]}}`;
    expect(await stage.refusal(pod("e2e-verify"))).to.include("no matching policies: spec.containers[0].image");
    expect(await stage.apply(pod("default"))).to.include("created");
    await stage.kubectl("delete", "pod", "nomatch", "--now", "--wait=false");
  });

  it("verifies a private image with the ServiceAccount's pull Secret", async () => {
    const upstream = await stage.cluster.startRegistry({ name: "upstream", auth: true, port: 5001 });
    const { username, password } = upstream.user ?? { username: "", password: "" };
    const image = await stage.cluster.pushImage({ repository: "private/app", tag: "v1", to: upstream });
    await stage.sign(image.pinned, `--registry-username=${username}`, `--registry-password=${password}`);
    await stage.apply(`
apiVersion: policy.sigstore.dev/v1alpha1
kind: ClusterImagePolicy
metadata: {name: e2e-private}
spec:
  images: [{glob: "${upstream.address}/private/**"}]
  authorities: [{key: {secretRef: {name: e2e-key}}}]
---
apiVersion: v1
kind: Secret
metadata: {name: e2e-key, namespace: ${NS}}
stringData: {cosign.pub: ${JSON.stringify(stage.keys.publicKey)}}
`);
    await stage.wait("condition=Ready", "clusterimagepolicy/e2e-private");
    const pod = `{apiVersion: v1, kind: Pod, metadata: {name: private, namespace: e2e-verify}, spec: {containers: [{name: c, image: "${image.reference}"}]}}`;
    expect(await stage.refusal(pod)).to.match(/upstream\.local:5001.*(?:unauthori|credential)/i);
    await stage.kubectl(
      "-n",
      "e2e-verify",
      "create",
      "secret",
      "docker-registry",
      "pull",
      `--docker-server=${upstream.address}`,
      `--docker-username=${username}`,
      `--docker-password=${password}`,
    );
    await stage.kubectl(
      "-n",
      "e2e-verify",
      "patch",
      "serviceaccount",
      "default",
      "-p",
      '{"imagePullSecrets":[{"name":"pull"}]}',
    );
    await stage.pullSecretReaches("e2e-verify", "pull", image.reference);
    await eventually("the Pod admitted", PATIENCE_MS, () => stage.apply(pod));
    await stage.wait("condition=Ready", "pod/private", "-n", "e2e-verify");
    await stage.kubectl("delete", "clusterimagepolicy", "e2e-private");
    await stage.kubectl("-n", "e2e-verify", "delete", "pod", "private", "--now");
  });

  it("refuses a malformed policy at apply, with policy-controller's words", async () => {
    const refusal = await stage.refusal(
      `{apiVersion: policy.sigstore.dev/v1beta1, kind: ClusterImagePolicy, metadata: {name: bad}, spec: {images: [{glob: "["}], authorities: [{static: {action: maybe}}]}}`,
    );
    expect(refusal)
      .to.include("validation failed: invalid value: [: spec.images[0].glob")
      .and.include("invalid value: maybe: spec.authorities[0].static.action");
  });
});
