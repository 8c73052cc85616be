// spec.policy in the webhook: when it is judged, by what, and what becomes of it (a fake: test/support/scripted-admission.ts).
import { expect } from "chai";
import type { EvaluationInput, EvaluationResult, Evaluator } from "../../core/policy/types.ts";
import {
  APP,
  annotation,
  type Json,
  nothing,
  Outside,
  replica,
  SIGNED,
  workload,
} from "../support/scripted-admission.ts";

const PASS = [{ static: { action: "pass" } }];
const rejected: EvaluationResult = { kind: "rejected", message: "no owner" };

/** Compliant where the object's metadata has a label `owner`. */
const wantsOwner = (_evaluator: Evaluator, { json }: EvaluationInput): EvaluationResult =>
  json.includes('"owner"') ? { kind: "compliant" } : rejected;

const judging = (block: object, more: object = {}) => ({
  spec: { policy: { type: "cue", data: "x", ...block }, ...more },
});

function labelled(object: Json, labels: object, more: object = {}): Json {
  return { ...object, metadata: { ...object.metadata, labels, ...more } };
}

describe("spec.policy", () => {
  let outside: Outside;
  beforeEach(() => {
    outside = new Outside();
  });

  it("is judged for every object, from facts that no registry is asked for again; by the validating webhook alone", async () => {
    const seen: unknown[] = [];
    outside.evaluation = (_evaluator, { json }) => {
      seen.push(JSON.parse(json));
      return { kind: "compliant" };
    };
    const webhook = await replica(outside, judging({ includeObjectMeta: true }));
    for (const name of ["a", "b", "c"]) {
      const { response } = await webhook.send("CREATE", workload("Pod", name, `${APP}@${SIGNED}`));
      expect(response.allowed).to.equal(true);
    }
    expect(outside.asked).to.include({ verify: 1, evaluate: 3 });
    const facts = { authorityMatches: { key: { signatures: [{ id: "s1" }] } } };
    expect(seen).to.have.length(3);
    expect(seen[2]).to.deep.include(facts).and.to.have.nested.property("metadata.name", "c");
  });

  it("refuses with the policy's name and the engine's words; warns in mode warn; refuses what it cannot judge", async () => {
    outside.evaluation = () => rejected;
    const refused = await (await replica(outside, judging({}))).send("CREATE", workload("Pod", "p", APP));
    expect(refused.response.allowed).to.equal(false);
    expect(refused.response.status?.message).to.include("failed policy: signed: spec.containers[0].image");
    expect(refused.response.status?.message).to.include(
      "failed evaluating cue policy for ClusterImagePolicy: no owner",
    );
    const warned = await (await replica(outside, judging({}, { mode: "warn" }))).send(
      "CREATE",
      workload("Pod", "p", APP),
    );
    expect(warned.response.allowed).to.equal(true);
    expect(warned.response.warnings?.join()).to.include("no owner");
    outside.evaluation = () => ({ kind: "undecided", message: "no time left" });
    const undecided = await (await replica(outside, judging({}))).send("CREATE", workload("Pod", "p", APP));
    expect(undecided.response.status?.message).to.include("no time left");
  });

  it("beside a static authority asks no registry, not even for the tag", async () => {
    const webhook = await replica(outside, judging({ includeSpec: true }, { authorities: PASS }));
    const { response } = await webhook.send("CREATE", workload("Deployment", "d", APP));
    expect(response.allowed).to.equal(true);
    expect(outside.asked).to.deep.equal({ ...nothing, evaluate: 1 });
  });

  it("sees the image's configuration, which a sealed record brings along to the next replica", async () => {
    outside.configFiles = '{"linux/amd64":{"config":{"User":"1"}}}';
    const seen: unknown[] = [];
    outside.evaluation = (_evaluator, { json }) => {
      seen.push((JSON.parse(json) as { config: unknown }).config);
      return { kind: "compliant" };
    };
    const change = judging({ fetchConfigFile: true });
    const { object } = await (await replica(outside, change)).send("CREATE", workload("Deployment", "d", APP));
    expect(annotation(object)).to.include("linux/amd64");
    expect(outside.asked).to.include({ configFiles: 1, verify: 1, evaluate: 1 });
    outside.asked = { ...nothing };
    const next = await replica(outside, change);
    const copy = workload("ReplicaSet", "r", APP, { annotations: object.metadata.annotations ?? {} });
    const ownedCopy = { ...copy, metadata: { ...copy.metadata, ownerReferences: ownerOf("d") } };
    expect((await next.send("CREATE", ownedCopy)).response.allowed).to.equal(true);
    expect(outside.asked).to.include({ configFiles: 0, verify: 0, evaluate: 1 });
    expect(seen[1]).to.deep.equal(seen[0]);
  });

  it("refuses while the image's configuration cannot be read", async () => {
    outside.configFiles = new Error("ghcr.io: connection refused");
    const webhook = await replica(outside, judging({ fetchConfigFile: true }));
    const { response } = await webhook.send("CREATE", workload("Pod", "p", APP));
    expect(response.status?.message).to.include("could not be read: ghcr.io: connection refused");
    outside.configFiles = "{}";
    expect((await webhook.send("CREATE", workload("Pod", "p", APP))).response.allowed).to.equal(true);
  });

  describe("on an UPDATE without a new image", () => {
    const meta = judging({ includeObjectMeta: true });

    it("is judged again where it sees another object than before, and only there", async () => {
      outside.evaluation = wantsOwner;
      const webhook = await replica(outside, meta);
      const good = labelled(workload("Deployment", "d", APP), { owner: "team" });
      const { object } = await webhook.send("CREATE", good);
      outside.asked = { ...nothing };
      const bookkeeping = labelled(
        object,
        { owner: "team" },
        { resourceVersion: "9", generation: 2, managedFields: [] },
      );
      expect((await webhook.send("UPDATE", bookkeeping, { oldObject: object })).response.allowed).to.equal(true);
      expect(outside.asked.evaluate).to.equal(0);
      const bad = labelled(object, {});
      const { response } = await webhook.send("UPDATE", bad, { oldObject: object });
      expect(response.allowed).to.equal(false);
      expect(response.status?.message).to.include("no owner");
      const unread = await replica(outside, judging({}));
      outside.asked = { ...nothing };
      expect((await unread.send("UPDATE", bad, { oldObject: object })).response.allowed).to.equal(true);
      expect(outside.asked.evaluate).to.equal(0);
    });

    it("does not refuse what was wrong before", async () => {
      outside.evaluation = wantsOwner;
      const webhook = await replica(outside, meta);
      const old = labelled(workload("Deployment", "d", APP), { app: "x" });
      const { response } = await webhook.send("UPDATE", labelled(old, { app: "y" }), { oldObject: old });
      expect(response.allowed).to.equal(true);
    });

    it("does not refuse for the image; refuses where nothing is known of it and nobody can be asked", async () => {
      const old = labelled(workload("Deployment", "d", APP), { owner: "a" });
      const changed = labelled(old, { owner: "b" });
      outside.outcome = () => ({ kind: "failed", message: "no signatures found" });
      const later = await replica(outside, meta);
      expect((await later.send("UPDATE", changed, { oldObject: old })).response.allowed).to.equal(true);
      outside.outcome = () => ({ kind: "undecided", message: "connection refused" });
      const silent = await replica(outside, meta);
      const { response } = await silent.send("UPDATE", changed, { oldObject: old });
      expect(response.status?.message).to.include("connection refused");
    });

    it("refuses where the engine cannot judge, whatever it could not judge before", async () => {
      outside.evaluation = () => ({ kind: "undecided", message: "no time left" });
      const old = labelled(workload("Deployment", "d", APP), { owner: "a" });
      const { response } = await (await replica(outside, meta)).send("UPDATE", labelled(old, {}), { oldObject: old });
      expect(response.status?.message).to.include("no time left");
    });

    it("asks nobody about policies that see the same object", async () => {
      const spec = { ...meta.spec, authorities: PASS };
      const webhook = await replica(outside, { spec, others: [{}] });
      const old = labelled(workload("Deployment", "d", APP), { owner: "a" });
      const { response } = await webhook.send("UPDATE", labelled(old, { owner: "b" }), { oldObject: old });
      expect(response.allowed).to.equal(true);
      expect(outside.asked).to.deep.equal({ ...nothing, evaluate: 1 });
    });
  });
});

function ownerOf(name: string): readonly object[] {
  return [{ apiVersion: "apps/v1", kind: "Deployment", name, uid: `uid-${name}`, controller: true }];
}
