import { expect } from "chai";
import type { ConnectedKubeClient } from "../../adapters/kube/client.ts";
import { KubeError } from "../../adapters/kube/errors.ts";
import { EventRecorder } from "../../adapters/kube/events.ts";
import { Resources } from "../../adapters/kube/resources.ts";
import type { KubeObject } from "../../adapters/kube/types.ts";
import { silentLog } from "../../adapters/telemetry/log.ts";
import { type ClusterHandle, sharedCluster } from "../support/cluster.ts";
import { adminClient, freshNamespace } from "../support/kube.ts";

interface Event extends KubeObject {
  readonly reason: string;
  readonly note: string;
  readonly regarding: { readonly name: string };
  readonly series?: { readonly count: number };
}

describe("The event recorder", () => {
  let cluster: ClusterHandle;
  let client: ConnectedKubeClient;
  let namespace: string;
  let regarding: KubeObject;
  let recorder: EventRecorder;

  before(async function () {
    this.timeout(0);
    cluster = await sharedCluster();
    client = await adminClient(cluster);
  });
  beforeEach(async () => {
    namespace = await freshNamespace(client, "kube-events");
    regarding = await client.create<KubeObject>(Resources.configMaps, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "about", namespace },
    });
    recorder = recorderOf(client);
  });
  after(() => client?.close());

  const recorderOf = (kube: Pick<ConnectedKubeClient, "create" | "mergePatch">) =>
    new EventRecorder({ client: kube, controller: "entrepot.dev/test", instance: "test-0", log: silentLog });
  const happened = (reason: string, note = "it did", about: KubeObject = regarding) =>
    recorder.record({ regarding: about, type: "Warning", reason, action: "Test", note });
  const written = async (reason: string) =>
    (await client.list<Event>(Resources.events, { namespace })).items.filter((event) => event.reason === reason);

  it("writes what kubectl describe shows", async () => {
    happened("Seen");
    await recorder.flush(60_000);
    const text = await cluster.kubectl(["-n", namespace, "describe", "configmap", "about"]);
    expect(text).to.match(/Warning\s+Seen\s+\S+\s+entrepot\.dev\/test\s+it did/);
  });

  it("counts repetitions on one Event, also those that come while it is written", async () => {
    for (let n = 0; n < 7; n += 1) happened("Again");
    await recorder.flush(60_000);
    for (let n = 0; n < 3; n += 1) happened("Again");
    happened("Again", "something else");
    await recorder.flush(60_000);
    const events = await written("Again");
    expect(events.map(({ note, series }) => [note, series?.count]).sort()).to.eql([
      ["it did", 10],
      ["something else", undefined],
    ]);
  });

  it("puts Events about cluster-scoped objects into default, as the API demands", async () => {
    const object = await client.get<KubeObject>(Resources.namespaces, namespace);
    happened("ClusterScoped", "of the whole cluster", object);
    await recorder.flush(60_000);
    const { items } = await client.list<Event>(Resources.events, {
      namespace: "default",
      fieldSelector: "reason=ClusterScoped",
    });
    expect(items.map((event) => event.regarding.name)).to.include(namespace);
  });

  it("rations what is written about one object, not what is written about others", async () => {
    const other = await client.create<KubeObject>(Resources.configMaps, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "other", namespace },
    });
    for (let n = 0; n < 100; n += 1) happened("Flood", `number ${n}`);
    happened("Flood", "of another", other);
    await recorder.flush(60_000);
    const events = await written("Flood");
    expect(events.filter((event) => event.regarding.name === "about")).to.have.length(25);
    expect(events.filter((event) => event.regarding.name === "other")).to.have.length(1);
  });

  it("cuts a note to what the API takes, by bytes", async () => {
    happened("Long", "é".repeat(2000));
    await recorder.flush(60_000);
    const [event] = await written("Long");
    expect(event?.note).to.match(/^é{400,}…$/);
  });

  it("makes an Event anew that has expired", async () => {
    happened("Expired");
    await recorder.flush(60_000);
    for (const event of await written("Expired"))
      await client.delete(Resources.events, event.metadata.name, { namespace });
    happened("Expired");
    await recorder.flush(60_000);
    expect((await written("Expired")).map((event) => event.series?.count)).to.eql([2]);
  });

  it("never throws into its caller, tries again while the server is away, and drops what is refused", async () => {
    let failures = 2;
    let calls = 0;
    const flaky: Pick<ConnectedKubeClient, "create" | "mergePatch"> = {
      create: (resource, object, options) => {
        calls += 1;
        failures -= 1;
        if (failures >= 0) return Promise.reject(new KubeError("UNAVAILABLE", "away"));
        return client.create(resource, object, options);
      },
      mergePatch: client.mergePatch.bind(client),
    };
    recorder = recorderOf(flaky);
    happened("Late");
    await recorder.flush(60_000);
    expect(await written("Late")).to.have.length(1);
    expect(calls).to.equal(3);

    happened("Refused", "the namespace is wrong", {
      ...regarding,
      metadata: { ...regarding.metadata, namespace: "does-not-exist" },
    });
    happened("After");
    await recorder.flush(60_000);
    expect(await written("After")).to.have.length(1);
    expect(calls).to.equal(5);
  });
});
