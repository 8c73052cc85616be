import { expect } from "chai";
import {
  availabilityOf,
  hasVariable,
  mountedFile,
  rolloutOf,
  type WorkloadObject,
} from "../../operator/providers/workload.ts";

function workload(kind: string, spec: object, status: object, generation = 2): WorkloadObject {
  return {
    apiVersion: "apps/v1",
    kind,
    metadata: { name: "it", generation },
    spec,
    status: { observedGeneration: generation, ...status },
  };
}

const DONE = { updatedReplicas: 3, replicas: 3, availableReplicas: 3, readyReplicas: 3 };
const SET = { ...DONE, currentRevision: "b", updateRevision: "b" };
const DAEMONS = { desiredNumberScheduled: 4, updatedNumberScheduled: 4, numberAvailable: 4 };

describe("whether a workload is rolled out, as kubectl rollout status has it", () => {
  const cases: readonly [string, WorkloadObject, RegExp | undefined][] = [
    ["Deployment, all new", workload("Deployment", { replicas: 3 }, DONE), undefined],
    [
      "Deployment, no replicas named",
      workload("Deployment", {}, { updatedReplicas: 1, replicas: 1, availableReplicas: 1 }),
      undefined,
    ],
    ["Deployment, scaled to nothing", workload("Deployment", { replicas: 0 }, {}), undefined],
    [
      "Deployment, not seen yet",
      workload("Deployment", { replicas: 3 }, { ...DONE, observedGeneration: 1 }),
      /not seen its last change/,
    ],
    ["Deployment, without a status", { ...workload("Deployment", {}, {}), status: {} }, /not seen its last change/],
    [
      "Deployment, half new",
      workload("Deployment", { replicas: 3 }, { ...DONE, updatedReplicas: 1 }),
      /has 1 of 3 new Pods/,
    ],
    ["Deployment, old ones going", workload("Deployment", { replicas: 3 }, { ...DONE, replicas: 4 }), /has 1 old Pods/],
    [
      "Deployment, not available",
      workload("Deployment", { replicas: 3 }, { ...DONE, availableReplicas: 2 }),
      /has 2 of 3 Pods available/,
    ],
    ["Deployment, paused", workload("Deployment", { replicas: 3, paused: true }, DONE), /paused/],
    [
      "Deployment, stuck",
      workload(
        "Deployment",
        { replicas: 3 },
        { ...DONE, conditions: [{ type: "Progressing", reason: "ProgressDeadlineExceeded" }] },
      ),
      /progress deadline/,
    ],
    ["StatefulSet, all new", workload("StatefulSet", { replicas: 3 }, SET), undefined],
    [
      "StatefulSet, half new",
      workload("StatefulSet", { replicas: 3 }, { ...SET, currentRevision: "a", updatedReplicas: 1 }),
      /has 1 of 3 new Pods/,
    ],
    [
      "StatefulSet, not ready",
      workload("StatefulSet", { replicas: 3 }, { ...SET, readyReplicas: 2 }),
      /has 2 of 3 Pods ready/,
    ],
    [
      "StatefulSet, by hand",
      workload(
        "StatefulSet",
        { replicas: 3, updateStrategy: { type: "OnDelete" } },
        { ...SET, currentRevision: "a", updatedReplicas: 0 },
      ),
      /OnDelete/,
    ],
    [
      "StatefulSet, by hand, done",
      workload("StatefulSet", { replicas: 3, updateStrategy: { type: "OnDelete" } }, { ...SET, currentRevision: "a" }),
      undefined,
    ],
    [
      "StatefulSet, in part",
      workload(
        "StatefulSet",
        { replicas: 3, updateStrategy: { rollingUpdate: { partition: 2 } } },
        { ...SET, currentRevision: "a", updatedReplicas: 1 },
      ),
      /partition/,
    ],
    ["DaemonSet, all new", workload("DaemonSet", {}, DAEMONS), undefined],
    [
      "DaemonSet, half new",
      workload("DaemonSet", {}, { ...DAEMONS, updatedNumberScheduled: 2 }),
      /has 2 of 4 new Pods/,
    ],
    [
      "DaemonSet, not available",
      workload("DaemonSet", {}, { ...DAEMONS, numberAvailable: 3 }),
      /has 3 of 4 Pods available/,
    ],
    [
      "DaemonSet, by hand",
      workload("DaemonSet", { updateStrategy: { type: "OnDelete" } }, { ...DAEMONS, updatedNumberScheduled: 2 }),
      /OnDelete/,
    ],
  ];
  for (const [name, one, message] of cases) {
    it(`${name}: ${message === undefined ? "yes" : "no"}`, () => {
      const progress = rolloutOf(one);
      if (message === undefined) expect(progress).to.deep.equal({ done: true });
      else expect(progress.done ? "" : progress.message).to.match(message);
    });
  }

  it("is another question than whether there is anybody to answer", () => {
    expect(availabilityOf(workload("Deployment", { replicas: 0 }, {})).done).to.equal(false);
    expect(availabilityOf(workload("Deployment", { replicas: 3 }, DONE)).done).to.equal(true);
    expect(availabilityOf(workload("StatefulSet", { replicas: 3 }, SET)).done).to.equal(true);
    expect(availabilityOf(workload("DaemonSet", {}, DAEMONS)).done).to.equal(true);
  });
});

describe("what a workload has of a Secret", () => {
  const pods = (volume: object, mount: object) =>
    workload(
      "Deployment",
      {
        template: {
          spec: {
            containers: [{ name: "c", volumeMounts: [{ name: "v", mountPath: "/etc/x", ...mount }] }],
            volumes: [{ name: "v", ...volume }],
          },
        },
      },
      {},
    );
  const cases: readonly [string, WorkloadObject, string | undefined][] = [
    ["a volume", pods({ secret: { secretName: "s" } }, {}), "/etc/x/key"],
    [
      "a path of its own",
      pods({ secret: { secretName: "s", items: [{ key: "key", path: "a/b.json" }] } }, { mountPath: "/etc/x/" }),
      "/etc/x/a/b.json",
    ],
    ["a projection", pods({ projected: { sources: [{ secret: { name: "s" } }] } }, {}), "/etc/x/key"],
    [
      "a single file",
      pods({ secret: { secretName: "s" } }, { mountPath: "/etc/one.json", subPath: "key" }),
      "/etc/one.json",
    ],
    ["another file", pods({ secret: { secretName: "s" } }, { subPath: "other" }), undefined],
    ["other keys", pods({ secret: { secretName: "s", items: [{ key: "other", path: "o" }] } }, {}), undefined],
    ["another Secret", pods({ secret: { secretName: "t" } }, {}), undefined],
    ["a volume that nobody mounts", pods({ secret: { secretName: "s" } }, { name: "w" }), undefined],
  ];
  for (const [name, one, path] of cases)
    it(`is a file: ${name}`, () => expect(mountedFile(one, "s", "key")).to.equal(path));

  it("is a variable, alone or with all others", () => {
    const container = (one: object) =>
      workload("Deployment", { template: { spec: { containers: [{ name: "c", ...one }] } } }, {});
    const one = { name: "KEY", valueFrom: { secretKeyRef: { name: "s", key: "KEY" } } };
    expect(hasVariable(container({ env: [one] }), "s", "KEY")).to.equal(true);
    expect(hasVariable(container({ env: [{ ...one, name: "OTHER" }] }), "s", "KEY")).to.equal(false);
    expect(hasVariable(container({ envFrom: [{ secretRef: { name: "s" } }] }), "s", "KEY")).to.equal(true);
    expect(hasVariable(container({ envFrom: [{ prefix: "X_", secretRef: { name: "s" } }] }), "s", "KEY")).to.equal(
      false,
    );
    expect(hasVariable(container({}), "s", "KEY")).to.equal(false);
  });
});
