// Which requests reach the admission webhooks through the match conditions, on a real API server; and that none fails on them.
import { expect } from "chai";
import { imageFields, objectAt } from "../../core/admission/workload.ts";
import { matchConditions } from "../../core/webhookconfig/match.ts";
import type { PolicyReads } from "../../core/webhookconfig/reads.ts";
import { eventually } from "../support/kube.ts";
import type { Kind } from "./inheritance-objects.ts";
import type { Phase } from "./match-conditions-harness.ts";
import {
  BESIDE_TEMPLATE,
  BOOKKEEPING,
  EDITS,
  HARMLESS,
  KINDS,
  type Loose,
  pathOf,
} from "./match-conditions-objects.ts";
import { Stage, type Tried } from "./match-conditions-stage.ts";

const READS: Readonly<Record<string, PolicyReads>> = {
  nothing: { spec: false, metadata: "nothing" },
  spec: { spec: true, metadata: "nothing" },
  labels: { spec: true, metadata: "labels" },
  metadata: { spec: false, metadata: "all" },
  both: { spec: true, metadata: "all" },
};
const ALL = Object.keys(READS).sort();
const READING_METADATA = ["both", "metadata"];
const READING_SPEC = ["both", "labels", "spec"];
const LATE = "test.entrepot.dev/late";
const BIG = 1_000_000;

const edit = (what: string) => [{ what, value: "b" }];

/** Who was asked in a phase, beside the webhook without conditions; undefined if not even that was. */
function asked({ calls }: Tried, phase: Phase): readonly string[] | undefined {
  const names = calls.filter((call) => call.phase === phase).map(({ webhook }) => webhook);
  return names.includes("always") ? names.filter((name) => ALL.includes(name)).sort() : undefined;
}

describe("requests and the match conditions", function () {
  this.timeout(120_000);
  let stage: Stage;

  before(async function () {
    this.timeout(0);
    stage = await Stage.open({ own: "sealed", other: "sealed otherwise" });
    const generated = Object.entries(READS).map(([name, reads]) => [name, matchConditions(reads)] as const);
    await stage.install({ always: [], ...Object.fromEntries(generated) });
  });

  after(() => stage?.close());

  const expectAsked = (tried: Tried, wanted: readonly string[], what: string) => {
    expect(tried.answer.status, `${what}: ${tried.answer.message}`).to.be.lessThan(300);
    for (const phase of ["mutate", "validate"] as const)
      expect(asked(tried, phase), `${what}, ${phase}`).to.deep.equal(wanted);
  };

  for (const kind of KINDS) {
    it(`of a ${kind} pass by the webhooks when they change nothing that is read`, async () => {
      for (const what of Object.keys(BOOKKEEPING)) expectAsked(await stage.put(kind, "sealed", edit(what)), [], what);
      for (const what of Object.keys(HARMLESS))
        expectAsked(
          await stage.put(kind, "sealed", edit(what)),
          what === "label" ? ["both", "labels", "metadata"] : READING_METADATA,
          what,
        );
      if (BESIDE_TEMPLATE[kind] !== undefined)
        expectAsked(await stage.put(kind, "sealed", edit("scale")), READING_SPEC, "scale");
    });

    it(`of a ${kind} reach them with another image, template or annotation, and at its creation`, async () => {
      for (const what of ["image", "initContainer", "restart", "dropSeal", "forgeSeal", "otherSeal"]) {
        const tried = await stage.put(kind, "sealed", edit(what));
        const metadata = what === "restart" && kind === "Pod"; // a Pod's own annotation
        expect(asked(tried, "mutate"), what).to.deep.equal(metadata ? READING_METADATA : ALL);
      }
      stage.recorder.forget();
      const body = (await stage.api.must({ method: "GET", path: stage.path(kind, "plain") })) as Loose;
      body.metadata = { name: "another", labels: { app: "another" } };
      if (kind === "Job") {
        delete body.spec.selector;
        delete body.spec.template.metadata.labels;
      }
      const answer = await stage.api.send({
        method: "POST",
        path: pathOf(stage.namespace, kind, ""),
        body,
        dryRun: true,
      });
      expectAsked({ answer, calls: stage.recorder.calls.filter(({ request }) => request.dryRun) }, ALL, "CREATE");
    });

    it(`of a ${kind} that is being deleted pass by them, whatever they change and leave out`, async () => {
      for (const what of ["finalizers", "image", "dropSeal", "undelete"])
        expect(asked(await stage.put(kind, "leaving", edit(what)), "mutate"), what).to.deep.equal([]);
      // Who sends a deletion does not begin one.
      const sent = await stage.put(kind, "sealed", [...edit("image"), ...edit("delete")]);
      expect(asked(sent, "mutate")).to.deep.equal(ALL);
    });

    it(`of a ${kind} are never refused for what has no value in them`, async () => {
      for (const what of Object.keys(EDITS).filter((name) => /null|drop|empty/.test(name))) {
        const { answer } = await stage.put(kind, "plain", edit(what));
        expect(answer.status, `${what}: ${answer.message}`).to.be.oneOf([200, 400, 422]);
      }
    });
  }

  it("with an ephemeral container reach them", async () => {
    const path = `${stage.path("Pod", "sealed")}/ephemeralcontainers`;
    const body = (await stage.api.must({ method: "GET", path })) as Loose;
    body.spec.ephemeralContainers = [{ name: "debug", image: "quay.io/other/debug:v1" }];
    stage.recorder.forget();
    const answer = await stage.api.send({ method: "PUT", path, body, dryRun: true });
    expectAsked({ answer, calls: [...stage.recorder.calls] }, ALL, "ephemeral container");
  });

  it("that resize a Pod reach the validating webhook alone, and for policies that read the spec alone", async () => {
    const tried = await stage.put("Pod", "sealed", edit("resources"), undefined, "/resize");
    expect(tried.answer.status, tried.answer.message).to.equal(200);
    expect(asked(tried, "mutate")).to.equal(undefined);
    expect(asked(tried, "validate")).to.deep.equal(READING_SPEC);
    expect(asked(await stage.put("Pod", "sealed", [], undefined, "/resize"), "validate"), "nothing").to.deep.equal([]);
    // What else is sent with it is dropped before anybody is asked: no image comes this way, and no label.
    const more = [...edit("image"), ...edit("label"), ...edit("dropSeal"), ...edit("resources")];
    const laden = await stage.put("Pod", "sealed", more, undefined, "/resize");
    expect(asked(laden, "validate")).to.deep.equal(READING_SPEC);
    const { object, oldObject } = laden.calls[0]?.request ?? {};
    expect(imageFields(objectAt(object, ["spec"]) ?? {})).to.deep.equal(
      imageFields(objectAt(oldObject, ["spec"]) ?? {}),
    );
    const kept = ["labels", "annotations"].map((name) => objectAt(object, ["metadata", name]));
    expect(kept).to.deep.equal(["labels", "annotations"].map((name) => objectAt(oldObject, ["metadata", name])));
  });

  it("as big as the API server takes them cost it no more than it allows, changed or not", async () => {
    const path = pathOf(stage.namespace, "Deployment", "big");
    const big = (await stage.api.must({ method: "GET", path: stage.path("Deployment", "plain") })) as Loose;
    const keys = Array.from({ length: 2_000 }, (_, index) => [`test.entrepot.dev/${index}`, "x".repeat(90)] as const);
    const annotations = Object.fromEntries(keys);
    big.metadata = { name: "big", annotations };
    big.spec.template.spec.containers[0].env = [{ name: "BIG", value: "x".repeat(BIG) }];
    big.spec.template.metadata.annotations = annotations;
    await stage.api.must({ method: "POST", path: pathOf(stage.namespace, "Deployment", ""), body: big });
    await eventually("the annotation that its controller writes", async () => {
      const { metadata } = (await stage.api.must({ method: "GET", path })) as Loose;
      return metadata.annotations["deployment.kubernetes.io/revision"] !== undefined;
    });
    const put = async (change: (object: Loose) => unknown): Promise<Tried> => {
      const body = (await stage.api.must({ method: "GET", path })) as Loose;
      delete body.metadata.resourceVersion;
      change(body);
      stage.recorder.forget();
      const answer = await stage.api.send({ method: "PUT", path, body, dryRun: true });
      return { answer, calls: stage.recorder.calls.filter(({ request }) => request.dryRun) };
    };
    expectAsked(await put(() => undefined), [], "nothing");
    expectAsked(await put((one) => Object.assign(one.metadata.annotations, { z: "" })), READING_METADATA, "annotation");
    const env = (one: Loose) => one.spec.template.spec.containers[0].env[0];
    expectAsked(await put((one) => Object.assign(env(one), { value: `${"x".repeat(BIG - 1)}y` })), ALL, "template");
    const sealed = "clusterimagepolicies.chainguard.dev/cache";
    const swollen = await put((one) => Object.assign(one.metadata.annotations, { [sealed]: "x".repeat(BIG) }));
    expect(swollen.answer.status, swollen.answer.message.slice(0, 300)).to.equal(422); // the API server's own limit, after us
    expect(asked(swollen, "mutate")).to.deep.equal(ALL);
  });

  it("that a later webhook gives another image reach the validating one alone, which decides alone", async () => {
    const image = "quay.io/late/app:v1";
    const at = ["spec", "template", "spec"];
    await stage.recorder.install("zz-late", { late: [] }, ({ object }) => {
      const isDue =
        JSON.stringify(object["metadata"]).includes(LATE) && !JSON.stringify(objectAt(object, at)).includes(image);
      return isDue ? [{ op: "replace", path: `/${at.join("/")}/containers/0/image`, value: image }] : [];
    });
    const mark = (object: Loose) => Object.assign(object.metadata.annotations, { [LATE]: "yes" });
    const late = await eventually("the later webhook is called", async () => {
      const tried = await stage.put("Deployment", "sealed", [], mark);
      return tried.calls.some(({ webhook }) => webhook === "late") && tried;
    });
    const times = ({ calls }: Tried, name: string, phase: Phase) =>
      calls.filter(({ webhook, phase: when }) => webhook === name && when === phase).length;
    expect(times(late, "always", "mutate"), "it was called, so it is called again").to.equal(2);
    expect(times(late, "nothing", "mutate"), "it was not, so it never is").to.equal(0);
    const last = late.calls.find(({ webhook, phase }) => webhook === "nothing" && phase === "validate");
    expect(JSON.stringify(last?.request.object)).to.include(image);
    // Had it had something to say at its turn, it would be asked again.
    expect(times(await stage.put("Deployment", "sealed", edit("restart"), mark), "nothing", "mutate")).to.equal(2);
  });

  it("have met no condition that failed; one that does is seen, and refuses", async () => {
    const failures = async () => {
      const page = String((await stage.api.send({ method: "GET", path: "/metrics" })).body);
      const counted = page
        .split("\n")
        .filter((line) => line.startsWith("apiserver_admission_match_condition_evaluation_errors_total{"));
      return counted.filter((line) => line.includes(".test.entrepot.dev"));
    };
    expect((await failures()).join("\n")).not.to.match(/name="(both|labels|metadata|nothing|spec)\./);
    const expression = "object.nowhere == 1";
    await stage.recorder.install("failing", { failing: [{ name: "fails", expression }] });
    await eventually(
      "a refusal",
      async () => (await stage.put("Deployment" satisfies Kind, "plain", [])).answer.status === 403,
    );
    expect((await failures()).join("\n")).to.include('name="failing.test.entrepot.dev"');
  });
});
