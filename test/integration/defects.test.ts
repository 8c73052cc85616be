// Defects of sigstore policy-controller, shown on v0.13.1 itself, and that we do not have them. Those that are a difference in one answer (2, 6, 7, 8
// and 9) are rows of differential.test.ts too, under the same numbers; docs/compatibility.md says where the others are tested.
import { readFileSync } from "node:fs";
import { expect } from "chai";
import { pod } from "../support/differential/model.ts";
import type { Side } from "../support/differential/side.ts";
import { Stage } from "../support/differential/stage.ts";
import { eventually } from "../support/kube.ts";
import { runPolicyController } from "../support/policy-controller.ts";

const DIGEST = `sha256:${"3".repeat(64)}`;
const FAIL = [{ static: { action: "fail" } }];
const ALLOW = { "no-match-policy": "allow" };
const POLICIES = "/apis/policy.sigstore.dev/v1alpha1/clusterimagepolicies";
const ASKED = 40; // times: the order of Go's maps is as good as a coin

describe("the defects of policy-controller", function () {
  this.timeout(120_000);
  let stage: Stage;

  before(async function () {
    this.timeout(0);
    stage = await Stage.open(this);
  });

  // The last defect ends policy-controller, and leaves what keeps it from starting again.
  after(async function () {
    this.timeout(120_000);
    await stage?.ours.deletePolicies(["four-later", "five"]);
    await stage?.close();
    await stage?.controller.end();
  });

  it("defect 3: of two policies that fail, one a warning, each is reported as what it is, every time", async () => {
    const images = [{ glob: "defect.invalid/three**" }];
    const strict = { images, authorities: FAIL };
    const namespace = await stage.begin("three", { "three-strict": strict, "three-warn": { ...strict, mode: "warn" } });
    const answers = async (side: Side) => {
      const found = new Set<string>();
      for (let index = 0; index < ASKED; index++) {
        const { message, warnings } = await side.ask(namespace, pod(`defect.invalid/three@${DIGEST}`), "p");
        found.add(JSON.stringify({ message, warnings }));
      }
      return [...found];
    };
    const [theirs, ours] = await Promise.all([answers(stage.theirs), answers(stage.ours)]);
    expect(ours).to.have.length(1);
    const { message, warnings } = JSON.parse(ours[0] ?? "") as { message: string; warnings: readonly string[] };
    expect(message).to.include("failed policy: three-strict").and.not.include("three-warn");
    expect(warnings.join()).to.include("failed policy: three-warn").and.not.include("three-strict");
    expect(theirs.length, "policy-controller has it no more").to.be.greaterThan(1);
  });

  it("defect 4: a policy whose key cannot be read any more goes on being enforced with the last good one", async () => {
    const place = await stage.place("four", ["signed", "unsigned"]);
    const key = { "cosign.pub": place.keys.a.publicKey };
    for (const side of stage.sides) await side.putData("Secret", { "four-key": key });
    const spec = { images: [{ glob: place.glob }], authorities: [{ key: { secretRef: { name: "four-key" } } }] };
    const namespace = await stage.begin("four", { four: spec }, ALLOW);
    const admitted = async (side: Side, kind: "signed" | "unsigned") =>
      (await side.ask(namespace, pod(place.image(kind).pinned), "p")).admitted;
    for (const side of stage.sides) {
      await eventually(`${side.name} enforces it`, async () => !(await admitted(side, "unsigned")));
      await side.putData("Secret", { "four-key": { ...key, another: "entry" } });
      await eventually(`${side.name} says so`, async () => (await side.unready(["four"], 100)).length > 0);
    }
    await eventually("policy-controller has dropped it", () => admitted(stage.theirs, "unsigned"));
    await stage.ours.barrier(namespace, "four-later");
    expect(await admitted(stage.ours, "unsigned")).to.equal(false);
    expect(await admitted(stage.ours, "signed")).to.equal(true);
  });

  it("defect 6: ctlog.trustRootRef outlives conversion", async () => {
    const authority = { keyless: { identities: [{ issuer: "i", subject: "s" }] }, ctlog: { trustRootRef: "mine" } };
    const spec = { images: [{ glob: "defect.invalid/six**" }], authorities: [{ name: "a", ...authority }] };
    const body = {
      apiVersion: "policy.sigstore.dev/v1beta1",
      kind: "ClusterImagePolicy",
      metadata: { name: "six" },
      spec,
    };
    const kept = async ({ api }: Side) => {
      await api.must({ method: "POST", path: POLICIES.replace("v1alpha1", "v1beta1"), body });
      const { spec } = (await api.must({ method: "GET", path: `${POLICIES}/six` })) as typeof body;
      await api.send({ method: "DELETE", path: `${POLICIES}/six` });
      return spec.authorities[0]?.ctlog;
    };
    expect(await kept(stage.ours)).to.deep.equal({ trustRootRef: "mine" });
    expect(await kept(stage.theirs), "policy-controller has it no more").to.equal(undefined);
  });

  it("defect 9: status writes are nobody's business, and ephemeral containers are mutated", async () => {
    const resources = async ({ api }: Side, name: string) => {
      const path = `/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/${name}`;
      const { webhooks } = (await api.must({ method: "GET", path })) as Configuration;
      return webhooks.flatMap(({ rules }) => rules.flatMap((rule) => rule.resources));
    };
    expect(await resources(stage.ours, "updates.policy.sigstore.dev"))
      .to.include("pods/ephemeralcontainers")
      .and.not.include("pods/status");
    expect(await resources(stage.theirs, "policy.sigstore.dev"))
      .to.include("pods/status")
      .and.not.include("pods/ephemeralcontainers");
  });

  it("defect 10: a TUF repository that cannot be reached keeps nothing from starting", async () => {
    const { code, stdout, stderr } = await runPolicyController(["--tuf-mirror", "http://127.0.0.1:1"]);
    expect(code).to.not.equal(0);
    expect(stdout + stderr).to.include("Failed to initialize TUF client");
  });

  it("defect 5: a remote policy of an attestation that cannot be fetched is a condition, not the end", async () => {
    const remote = { url: "https://127.0.0.1:1/policy.cue", sha256sum: "0".repeat(64) };
    const attestation = { name: "a", predicateType: "https://example.com/a", policy: { type: "cue", remote } };
    const place = await stage.place("five", ["unsigned"]);
    const key = { data: place.keys.a.publicKey };
    const spec = { images: [{ glob: place.glob }], authorities: [{ key, attestations: [attestation] }] };
    const namespace = await stage.begin("five", {}, ALLOW);
    for (const side of stage.sides) await side.createPolicy("five", spec);
    await eventually("policy-controller ends", () => !stage.controller.alive());
    expect(readFileSync(stage.controller.log, "utf8")).to.include("nil pointer dereference");
    expect(await stage.ours.unready(["five"], 2_000)).to.deep.equal(["five"]);
    await eventually("ours says which", async () => (await stage.ours.conditionOf("five")).includes(remote.url));
    const answer = await stage.ours.ask(namespace, pod(place.image("unsigned").pinned), "p");
    expect(answer.message).to.include("failed policy: five");
  });
});

interface Configuration {
  readonly webhooks: readonly { readonly rules: readonly { readonly resources: readonly string[] }[] }[];
}
