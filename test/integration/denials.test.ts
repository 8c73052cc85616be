import { expect } from "chai";
import type { ConnectedKubeClient } from "../../adapters/kube/client.ts";
import { type EventNote, EventRecorder } from "../../adapters/kube/events.ts";
import { Resources } from "../../adapters/kube/resources.ts";
import type { KubeObject } from "../../adapters/kube/types.ts";
import { silentLog } from "../../adapters/telemetry/log.ts";
import type { Conclusion, JudgedImage } from "../../core/admission/conclude.ts";
import { planAdmission } from "../../core/admission/plan.ts";
import type { AdmissionRequest } from "../../core/admission/request.ts";
import { NO_NAMES } from "../../core/cachenames/names.ts";
import { Denials } from "../../webhooks/denials.ts";
import { deploymentKind, keyed, pod, podKind, request } from "../support/admission.ts";
import { type ClusterHandle, sharedCluster } from "../support/cluster.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { adminClient, freshNamespace } from "../support/kube.ts";

const REFUSED: Conclusion = { errors: "failed policy: p: spec.containers[0].image\nx", warnings: [] };
const OWNER = { apiVersion: "apps/v1", kind: "ReplicaSet", name: "web-1", uid: "uid-web-1", controller: true };

/** What judging a Pod of ghcr.io/a/b gave under policies of these names. */
function judged(mode: "enforce" | "warn", ...names: readonly string[]): readonly JudgedImage[] {
  const { tasks } = planAdmission(request(pod("ghcr.io/a/b:v1")), podKind, [keyed], NO_NAMES);
  const verdict = { kind: "fail", reasons: ["no signatures found"] } as const;
  return tasks.map((task) => ({
    task,
    verdicts: names.map((name) => ({ policy: { ...keyed, name, mode }, verdict })),
  }));
}

function asked(metadata: object, more: Partial<AdmissionRequest> = {}): AdmissionRequest {
  return request({ metadata, ...pod("ghcr.io/a/b:v1") }, more);
}

describe("Events on denials", () => {
  let notes: EventNote[];
  let clock: FakeClock;
  let denials: Denials;
  beforeEach(() => {
    notes = [];
    clock = new FakeClock();
    denials = new Denials({ events: { record: (note) => void notes.push(note) }, clock, log: silentLog });
  });
  const regarding = () =>
    notes.map(({ regarding: { apiVersion, kind, metadata } }) => ({ apiVersion, kind, ...metadata }));

  it("are about the controller of what will never exist", () => {
    denials.report(asked({ generateName: "web-1-", ownerReferences: [OWNER] }), judged("enforce", "p"), REFUSED);
    expect(regarding()).to.deep.equal([
      { apiVersion: "apps/v1", kind: "ReplicaSet", name: "web-1", namespace: "team", uid: "uid-web-1" },
    ]);
    expect(notes[0]).to.include({ type: "Warning", reason: "PolicyViolation", action: "Admit" });
    expect(notes[0]?.note).to.include("ghcr.io/a/b:v1").and.include("policy p").and.include("no signatures found");
  });

  it("are about the object itself where it has no controller, or exists", () => {
    const images = judged("enforce", "p");
    denials.report(asked({ name: "debug" }), images, REFUSED);
    denials.report(asked({ generateName: "job-" }, { name: "" }), images, REFUSED);
    const update = { operation: "UPDATE", oldObject: {} } as const;
    denials.report(asked({ name: "web-1-x", uid: "u", ownerReferences: [OWNER] }, update), images, REFUSED);
    const deployment = { group: "apps", kind: deploymentKind.kind };
    denials.report(
      asked({ name: "web", ownerReferences: [{ ...OWNER, controller: false }] }, deployment),
      images,
      REFUSED,
    );
    expect(regarding()).to.deep.equal([
      { apiVersion: "v1", kind: "Pod", name: "debug", namespace: "team" },
      { apiVersion: "v1", kind: "Pod", name: "job", namespace: "team" },
      { apiVersion: "v1", kind: "Pod", name: "web-1-x", namespace: "team", uid: "u" },
      { apiVersion: "apps/v1", kind: "Deployment", name: "web", namespace: "team" },
    ]);
  });

  it("tell of warnings by their own reason, and of nothing where all is well or it is a rehearsal", () => {
    denials.report(asked({ name: "a" }), judged("warn", "w"), { warnings: ["failed policy: w"] });
    expect(notes.map(({ type, reason }) => [type, reason])).to.deep.equal([["Warning", "PolicyWarning"]]);
    denials.report(asked({ name: "b" }), judged("enforce"), { warnings: [] });
    denials.report(asked({ name: "c" }, { dryRun: true }), judged("enforce", "p"), REFUSED);
    expect(notes).to.have.length(1);
  });

  it("about one object and policy come once in five minutes, however often a controller tries", async () => {
    const again = () =>
      denials.report(asked({ generateName: "x", ownerReferences: [OWNER] }), judged("enforce", "p", "q"), REFUSED);
    for (let n = 0; n < 100; n += 1) again();
    expect(notes).to.have.length(2); // one for each policy
    await clock.advance(5 * 60_000 - 1);
    again();
    expect(notes).to.have.length(2);
    await clock.advance(2);
    again();
    expect(notes).to.have.length(4);
  });

  it("are rationed over all: fifty at once, then one a second", async () => {
    const crowd = (from: number, count: number) => {
      for (let n = from; n < from + count; n += 1)
        denials.report(asked({ name: `pod-${n}` }), judged("enforce", "p"), REFUSED);
    };
    crowd(0, 200);
    expect(notes).to.have.length(50);
    await clock.advance(3_000);
    crowd(200, 100);
    expect(notes).to.have.length(53);
    await clock.advance(1_000);
    crowd(60, 1); // was dropped before, so it was not told
    expect(notes).to.have.length(54);
  });

  it("never stand in the way of an answer", () => {
    const broken = new Denials({
      events: {
        record: () => {
          throw new Error("out of order");
        },
      },
      clock,
      log: silentLog,
    });
    broken.report(asked({ name: "a" }), judged("enforce", "p"), REFUSED);
    for (const metadata of [
      null,
      { name: 7, generateName: {} },
      { ownerReferences: [null, 7, { controller: true }] },
    ]) {
      denials.report(request({ metadata }, { name: "" }), judged("enforce", "p"), REFUSED);
    }
    expect(notes).to.deep.equal([]);
  });
});

describe("Events on denials in a cluster", () => {
  let cluster: ClusterHandle;
  let client: ConnectedKubeClient;
  before(async function () {
    this.timeout(0);
    cluster = await sharedCluster();
    client = await adminClient(cluster);
  });
  after(() => client?.close());

  it("are what kubectl shows, of objects that exist and of those that never will", async () => {
    const namespace = await freshNamespace(client, "denials");
    const owner = await client.create<KubeObject>(Resources.configMaps, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "controller", namespace },
    });
    const events = new EventRecorder({
      client,
      controller: "entrepot.dev/webhook",
      instance: "webhook-0",
      log: silentLog,
    });
    const denials = new Denials({ events, clock: new FakeClock(), log: silentLog });
    const reference = {
      apiVersion: "v1",
      kind: "ConfigMap",
      name: "controller",
      uid: owner.metadata.uid,
      controller: true,
    };
    const images = judged("enforce", "p");
    denials.report(
      asked({ generateName: "x-", ownerReferences: [reference] }, { namespace, name: "" }),
      images,
      REFUSED,
    );
    denials.report(asked({ generateName: "Odd-", name: "" }, { namespace, name: "" }), images, REFUSED);
    denials.report(asked({ name: "lonely" }, { namespace }), images, REFUSED);
    await events.flush(60_000);
    const described = await cluster.kubectl(["-n", namespace, "describe", "configmap", "controller"]);
    expect(described).to.match(/Warning\s+PolicyViolation\s+\S+\s+entrepot\.dev\/webhook\s+ghcr\.io\/a\/b:v1 in spec/);
    const all = await cluster.kubectl(["-n", namespace, "get", "events"]);
    expect(all).to.match(/PolicyViolation\s+pod\/lonely/);
  });
});
