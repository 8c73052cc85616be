import { expect } from "chai";
import { eventually, PATIENCE_MS, Stage } from "../support/e2e.ts";

const NAMESPACE = "e2e-policies";
const GIVEN_UP =
  /the evaluation (?:of a policy was given up|was ended)|before the admission deadline|failed calling webhook/;
const ADMITTED = /^deployment.apps\/x (?:created|configured|unchanged)/;

function indented(text: string, width: number): string {
  return text.replace(/^/gm, " ".repeat(width));
}

/** Each forbids the host's network, in its own language. */
const NO_HOST_NETWORK = {
  cue: { source: "spec: template: spec: hostNetwork?: false", says: "conflicting values" },
  rego: {
    source: `package sigstore
default isCompliant = false
isCompliant { not input.spec.template.spec.hostNetwork }`,
    says: "policy is not compliant for query",
  },
  cel: {
    source:
      "has(spec.template.spec.hostNetwork) && spec.template.spec.hostNetwork ? 'the host network is not for Pods' : ''",
    says: "the host network is not for Pods",
  },
} as const;

describe("policies that judge objects and attestations, on a real node", () => {
  let stage: Stage;

  before(async function () {
    stage = await Stage.open(this);
    await stage.namespace(NAMESPACE);
  });

  after(async () => {
    if (stage === undefined) return;
    await stage.kubectl("delete", "namespace", NAMESPACE, "--wait=false");
    const policies = [...Object.keys(NO_HOST_NETWORK).map((language) => `e2e-${language}`), "e2e-attested"];
    await stage.kubectl("delete", "clusterimagepolicy", ...policies, "--ignore-not-found");
    stage.close();
  });

  async function apply(name: string, spec: string): Promise<void> {
    await stage.apply(`
apiVersion: policy.sigstore.dev/v1beta1
kind: ClusterImagePolicy
metadata: {name: ${name}}
spec:
${indented(spec, 2)}`);
    await stage.wait("condition=Ready", `clusterimagepolicy/${name}`);
  }

  const deployment = (image: string, more = "") => `
apiVersion: apps/v1
kind: Deployment
metadata: {name: x, namespace: ${NAMESPACE}}
spec:
  replicas: 1
  selector: {matchLabels: {app: x}}
  template:
    metadata: {labels: {app: x}}
    spec:
      ${more}
      containers: [{name: c, image: "${image}"}]`;

  /** What kubectl says of a manifest once it was judged: on a busy machine the engine may not be done in time, which is a refusal of its own. */
  async function judged(manifest: string): Promise<string> {
    return await eventually("a judgement", PATIENCE_MS, async () => {
      const argv = [stage.cluster.program("kubectl"), "apply", "-f", "-"];
      const { stdout, stderr } = await stage.cluster.run(argv, { input: manifest });
      if (GIVEN_UP.test(stderr)) throw new Error(stderr);
      return `${stdout}${stderr}`;
    });
  }

  for (const [language, { source, says }] of Object.entries(NO_HOST_NETWORK)) {
    it(`judges a Deployment's spec in ${language}, by the engine in the image`, async () => {
      const { reference } = await stage.cluster.pushImage({ repository: `judged/${language}`, tag: "v1" });
      await apply(
        `e2e-${language}`,
        `images: [{glob: "${stage.cluster.registry}/judged/${language}**"}]
match: [{group: apps, version: v1, resource: deployments}]
authorities: [{static: {action: pass}}]
policy:
  type: ${language}
  includeSpec: true
  data: |
${indented(source, 4)}`,
      );
      const refusal = await judged(deployment(reference, "hostNetwork: true"));
      expect(refusal).to.include(`failed policy: e2e-${language}: spec.template.spec.containers[0].image`);
      expect(refusal).to.include(says);
      expect(await judged(deployment(reference))).to.match(ADMITTED);
      await stage.kubectl("-n", NAMESPACE, "delete", "deployment/x", "--now");
    });
  }

  it("admits an image by its attestation, as cosign 3 writes it, and refuses one whose attestation says something else", async () => {
    await apply(
      "e2e-attested",
      `images: [{glob: "${stage.cluster.registry}/attested/**"}]
authorities:
- name: scanned
  key:
    data: |
${indented(stage.keys.publicKey, 6)}
  attestations:
  - name: clean
    predicateType: https://example.com/scan/v1
    policy:
      type: rego
      data: |
        package sigstore
        isCompliant { input.predicate.critical == 0 }`,
    );
    for (const [repository, critical] of [
      ["attested/clean", 0],
      ["attested/dirty", 7],
    ] as const) {
      const { pinned } = await stage.cluster.pushImage({ repository, tag: "v1" });
      await stage.attest(pinned, "https://example.com/scan/v1", { critical });
    }
    const refusal = await judged(deployment(`${stage.cluster.registry}/attested/dirty:v1`));
    expect(refusal).to.include("failed evaluating rego policy for type clean: policy is not compliant for query");
    expect(await judged(deployment(`${stage.cluster.registry}/attested/clean:v1`))).to.match(ADMITTED);
    await stage.wait("condition=Available", "deployment/x", "-n", NAMESPACE);
  });

  it("tells of a denial in an Event beside the workload", async () => {
    const { reference } = await stage.cluster.pushImage({ repository: "attested/bare", tag: "v1" });
    await stage.refusal(deployment(reference).replaceAll("name: x,", "name: bare,"));
    const message = await eventually("an Event", PATIENCE_MS, async () => {
      const messages = await stage.kubectl(
        "-n",
        NAMESPACE,
        "get",
        "events",
        "--field-selector",
        "reason=PolicyViolation,involvedObject.name=bare",
        "-o",
        "jsonpath={.items[*].message}",
      );
      return messages || undefined;
    });
    expect(message).to.include("e2e-attested");
    expect(message).to.include("attested/bare");
  });
});
