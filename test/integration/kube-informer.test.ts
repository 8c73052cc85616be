import { expect } from "chai";
import { Registry } from "prom-client";
import type { ConnectedKubeClient } from "../../adapters/kube/client.ts";
import { type Change, Informer, type InformerOptions } from "../../adapters/kube/informer.ts";
import { KubeMetrics } from "../../adapters/kube/metrics.ts";
import { keyOf, Resources } from "../../adapters/kube/resources.ts";
import type { KubeObject } from "../../adapters/kube/types.ts";
import { silentLog } from "../../adapters/telemetry/log.ts";
import { type ClusterHandle, sharedCluster } from "../support/cluster.ts";
import { adminClient, eventually, freshNamespace, rejectsWith } from "../support/kube.ts";

interface ConfigMap extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

describe("An informer", () => {
  let cluster: ClusterHandle;
  let client: ConnectedKubeClient;
  let namespace: string;
  let stop: AbortController;
  const running: Promise<void>[] = [];

  before(async function () {
    this.timeout(0);
    cluster = await sharedCluster();
    client = await adminClient(cluster);
  });
  beforeEach(async () => {
    namespace = await freshNamespace(client, "kube-informer");
    stop = new AbortController();
  });
  afterEach(async () => {
    stop.abort();
    await Promise.all(running.splice(0));
  });
  after(() => client?.close());

  function start(options: Partial<InformerOptions<ConfigMap>> = {}) {
    const informer = new Informer<ConfigMap>({
      client,
      resource: Resources.configMaps,
      scope: { namespace, labelSelector: "mine" },
      log: silentLog,
      ...options,
    });
    const changes: string[] = [];
    informer.subscribe((change) => changes.push(describeChange(change)));
    running.push(informer.run(stop.signal));
    return { informer, changes };
  }

  const describeChange = ({ key, before, after }: Change<ConfigMap>): string => {
    const name = key.split("/")[1];
    return `${name} ${before?.data?.["v"] ?? "-"}>${after?.data?.["v"] ?? "-"}`;
  };
  const put = (name: string, v: string) =>
    client.apply<ConfigMap>(Resources.configMaps, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name, namespace, labels: { mine: "" } },
      data: { v },
    });
  const remove = (name: string) => client.delete(Resources.configMaps, name, { namespace });

  it("knows what was there, then follows additions, changes and deletions", async () => {
    await put("a", "1");
    const { informer, changes } = start();
    expect(informer.hasSynced).to.equal(false);
    await informer.synced;
    expect(informer.get(`${namespace}/a`)?.data).to.eql({ v: "1" });
    await put("b", "1");
    await put("a", "2");
    await remove("a");
    await eventually("the deletion", () => changes.includes("a 2>-"));
    expect(changes).to.eql(["a ->1", "b ->1", "a 1>2", "a 2>-"]);
    expect(informer.list().map(keyOf)).to.eql([`${namespace}/b`]);
    expect(informer.staleSince).to.equal(undefined);
  });

  it("drops managedFields from memory unless told otherwise, and sees an object that leaves its selector as deleted", async () => {
    await put("a", "1");
    const { informer, changes } = start();
    await informer.synced;
    expect(JSON.stringify(informer.list())).not.to.contain("managedFields");
    await client.mergePatch(Resources.configMaps, "a", { metadata: { labels: { mine: null } } }, { namespace });
    await eventually("the deletion", () => changes.includes("a 1>-"));
  });

  it("tells a late subscriber what is there, and is not disturbed by a handler that throws", async () => {
    await put("a", "1");
    const { informer, changes } = start();
    await informer.synced;
    const late: string[] = [];
    informer.subscribe(() => {
      throw new Error("a bad handler");
    });
    const end = informer.subscribe((change) => late.push(describeChange(change)));
    expect(late).to.eql(["a ->1"]);
    await put("a", "2");
    await eventually("the change", () => changes.includes("a 1>2"));
    expect(late).to.eql(["a ->1", "a 1>2"]);
    end();
    await put("a", "3");
    await eventually("the change", () => changes.includes("a 2>3"));
    expect(late).to.have.length(2);
  });

  it("repeats what it knows when asked to resync", async () => {
    await put("a", "1");
    const { informer, changes } = start({ resyncMs: 50 });
    await informer.synced;
    await eventually("two resyncs", () => changes.filter((change) => change === "a 1>1").length >= 2);
  });

  it("does not keep a stopped process waiting for a first list", async () => {
    const silent: Pick<ConnectedKubeClient, "list" | "watch"> = {
      list: (_resource, scope) =>
        new Promise((_resolve, reject) => scope?.signal?.addEventListener("abort", () => reject(new Error("aborted")))),
      watch: client.watch.bind(client),
    };
    const { informer } = start({ client: silent });
    stop.abort();
    await rejectsWith("TIMEOUT", informer.synced);
  }).timeout(20_000);

  it("loses nothing when the API server is killed and comes back", async function () {
    this.timeout(120_000);
    const metrics = new KubeMetrics(new Registry());
    await put("stays", "1");
    await put("changes", "1");
    const { informer, changes } = start({ metrics });
    await informer.synced;
    // Writes go on while it dies: whatever the server has acknowledged must arrive.
    let acknowledged = 0;
    let writing = true;
    const writer = (async () => {
      for (let n = 1; writing; n += 1) {
        const done = await put(`w${n}`, "1").then(
          () => true,
          () => false,
        );
        if (done) acknowledged += 1;
        else await new Promise((resolve) => setTimeout(resolve, 50));
      }
    })();
    await eventually("some writes", () => acknowledged > 20);
    await cluster.stop("kube-apiserver", "SIGKILL");
    await eventually("the informer to notice", () => informer.staleSince !== undefined);
    expect(informer.get(`${namespace}/stays`), "memory is kept while the server is away").not.to.equal(undefined);
    await cluster.start("kube-apiserver");
    const before = acknowledged;
    await eventually("writes to go on", () => acknowledged > before + 20);
    writing = false;
    await writer;
    await put("changes", "2");
    await eventually("the last change", () => changes.includes("changes 1>2"));

    const truth = await client.list<ConfigMap>(Resources.configMaps, { namespace, labelSelector: "mine" });
    const versions = (objects: readonly ConfigMap[]) =>
      objects.map((object) => `${keyOf(object)}@${object.metadata.resourceVersion}`).sort();
    expect(versions(informer.list())).to.eql(versions(truth.items));
    expect(new Set(changes).size, "no change was told twice").to.equal(changes.length);
    expect(informer.staleSince).to.equal(undefined);
  });

  it("tells as deletions what vanished while it could not watch, after a new list", async function () {
    this.timeout(120_000);
    const metrics = new KubeMetrics(new Registry());
    for (const name of ["goes", "stays", "reborn"]) await put(name, "1");
    let open = true;
    // The informer's own way to the server, cut while things are deleted; then the server restarts, which makes its old version too old.
    const gated: Pick<ConnectedKubeClient, "list" | "watch"> = {
      list: (resource, scope) => (open ? client.list(resource, scope) : Promise.reject(new Error("cut off"))),
      watch: (resource, scope) => {
        if (!open) throw new Error("cut off");
        const cut = new AbortController();
        cuts.push(() => cut.abort());
        return client.watch(resource, { ...scope, signal: AbortSignal.any([scope.signal, cut.signal]) });
      },
    };
    const cuts: (() => void)[] = [];
    const { informer, changes } = start({ client: gated, metrics });
    await informer.synced;
    const reborn = informer.get(`${namespace}/reborn`)?.metadata.uid;
    await eventually("a watch", () => cuts.length > 0);
    open = false;
    for (const cut of cuts) cut();
    await eventually("the informer to notice", () => informer.staleSince !== undefined);
    await remove("goes");
    await remove("reborn");
    await put("reborn", "2");
    await cluster.restart("kube-apiserver");
    open = true;
    await eventually("the deletion", () => changes.includes("goes 1>-"));
    expect(changes.slice(3).sort()).to.eql(["goes 1>-", "reborn 1>2"]);
    expect(informer.get(`${namespace}/reborn`)?.metadata.uid).not.to.equal(reborn);
  });

  it("answers a version too old to watch from with a new list", async function () {
    this.timeout(120_000);
    await put("a", "1");
    let lists = 0;
    const aging: Pick<ConnectedKubeClient, "list" | "watch"> = {
      // The first list claims a version from long before; the API server forgot what came after it when it was restarted.
      list: async (resource, scope) => {
        lists += 1;
        const list = await client.list(resource, scope);
        return (lists === 1 ? { ...list, items: [], resourceVersion: "1" } : list) as never;
      },
      watch: client.watch.bind(client),
    };
    await put("new", "1");
    await cluster.restart("kube-apiserver");
    const metrics = new KubeMetrics(new Registry());
    const { changes } = start({ client: aging, metrics });
    await eventually("the second list's objects", () => changes.length === 2);
    expect(lists).to.equal(2);
    const failures = (await metrics.informerFailures.get()).values.map(({ labels, value }) => [labels.code, value]);
    expect(failures, "the first failure was reason enough").to.eql([["GONE", 1]]);
  });

  it("lists anew after failing to watch several times, even if nothing says that its version is bad", async () => {
    const watchesAtList: number[] = [];
    let watches = 0;
    start({
      backoff: { baseMs: 1, factor: 1, capMs: 1, jitter: 0 },
      client: {
        list: async () => {
          watchesAtList.push(watches);
          return { items: [], resourceVersion: "999999999" };
        },
        watch: () => {
          watches += 1;
          throw new Error("never again");
        },
      },
    });
    await eventually("a third list", () => watchesAtList.length >= 3);
    expect(watchesAtList.slice(0, 3)).to.eql([0, 5, 10]);
  });
});
