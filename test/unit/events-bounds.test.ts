// What an Event costs while it waits to be written. The API server is scripted: it does not answer until it is told to.
import { expect } from "chai";
import { EventRecorder } from "../../adapters/kube/events.ts";
import type { KubeClient, KubeObject } from "../../adapters/kube/types.ts";
import { type Log, silentLog } from "../../adapters/telemetry/log.ts";
import { FakeClock } from "../support/fake-clock.ts";

const GIANT = "x".repeat(1_000_000);

interface Written {
  readonly note: string;
  readonly regarding: Readonly<Record<string, unknown>>;
}

describe("Events that wait to be written", () => {
  let written: Written[];
  let lines: string[];
  let recorder: EventRecorder;
  let answer: () => void;
  beforeEach(() => {
    written = [];
    lines = [];
    const answered = new Promise<void>((resolve) => {
      answer = resolve;
    });
    const create = async (_resource: unknown, event: Written) => {
      await answered;
      written.push(event);
    };
    const log: Log = {
      ...silentLog,
      warn: (message, fields) => void lines.push(JSON.stringify({ message, ...fields })),
    };
    recorder = new EventRecorder({
      client: { create } as unknown as KubeClient,
      controller: "entrepot.dev/test",
      instance: "test-0",
      log,
      clock: new FakeClock(),
    });
  });
  const record = (regarding: KubeObject, note = "it did") =>
    recorder.record({ regarding, type: "Warning", reason: "Seen", action: "Test", note });
  const about = (metadata: object, more: object = {}) =>
    ({
      apiVersion: "apps/v1",
      kind: "ReplicaSet",
      metadata: { namespace: "team", name: "web", ...metadata },
      ...more,
    }) as KubeObject;
  const flushed = async () => {
    answer();
    await recorder.flush(60_000);
  };

  it("keep of their object what names it, as it was then", async () => {
    const object = about({ uid: "u", resourceVersion: "7", annotations: { a: GIANT } }, { spec: { text: GIANT } });
    record(about({ name: "first" })); // is on its way at once
    record(object);
    Object.assign(object.metadata, { name: "changed", uid: "other" });
    await flushed();
    expect(written.map(({ regarding }) => regarding)).to.deep.equal([
      { apiVersion: "apps/v1", kind: "ReplicaSet", name: "first", namespace: "team" },
      { apiVersion: "apps/v1", kind: "ReplicaSet", name: "web", namespace: "team", uid: "u", resourceVersion: "7" },
    ]);
  });

  it("keep of their note what the API takes: notes that begin with the same 1024 bytes are one", async () => {
    record(about({}));
    record(about({ name: "long" }), `${GIANT}a`);
    record(about({ name: "long" }), `${GIANT}b`);
    await flushed();
    expect(written.map(({ note }) => Buffer.byteLength(note) <= 1024)).to.deep.equal([true, true]);
  });

  for (const [what, object] of [
    ["name", about({ name: GIANT })],
    ["uid", about({ uid: GIANT })],
    ["namespace", about({ namespace: GIANT })],
    ["kind", about({}, { kind: GIANT })],
    ["apiVersion", about({}, { apiVersion: GIANT })],
  ] as const)
    it(`are not made of what nothing is called, a ${what} of megabytes, and the log has a short line`, async () => {
      record(object);
      await flushed();
      expect(written).to.deep.equal([]);
      expect(lines).to.have.length(1);
      expect(lines[0]).to.include("event dropped").and.have.property("length").lessThan(600);
    });
});
