import { expect } from "chai";
import type { ConnectedKubeClient } from "../../adapters/kube/client.ts";
import { Resources } from "../../adapters/kube/resources.ts";
import type { KubeObject } from "../../adapters/kube/types.ts";
import type { RenderedContext } from "../../operator/providers/workload-config.ts";
import { ZotRegistry } from "../../operator/providers/zot.ts";
import { sharedCluster } from "../support/cluster.ts";
import { adminClient, freshNamespace, rejectsWith } from "../support/kube.ts";
import { planOf, SIGNAL } from "./product-rendered-harness.ts";
import { BASE, type ConfigMap, GHCR, HUB, REGISTRY, start } from "./product-zot-harness.ts";

const POD = { metadata: { labels: { app: "zot" } } };

describe("zot's objects on a real API server (no zot runs)", function () {
  this.timeout(120_000);
  let client: ConnectedKubeClient;
  let namespace: string;

  before(async function () {
    this.timeout(0);
    client = await adminClient(await sharedCluster());
    namespace = await freshNamespace(client, "zot");
    const named = (name: string) => ({ name, namespace });
    const data = { "config.json": JSON.stringify(BASE) };
    await client.create<KubeObject & { data: object }>(Resources.configMaps, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: named("zot-config"),
      data,
    });
    const containers = [
      { name: "zot", image: "zot", volumeMounts: [{ name: "upstreams", mountPath: "/etc/zot-upstreams" }] },
    ];
    const volumes = [{ name: "upstreams", secret: { secretName: "zot-upstreams", optional: true } }];
    await client.create<KubeObject & { spec: object }>(Resources.deployments, {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: named("zot"),
      spec: {
        replicas: 0,
        selector: { matchLabels: POD.metadata.labels },
        template: { ...POD, spec: { containers, volumes } },
      },
    });
  });

  after(async () => {
    if (namespace !== undefined) await client.delete(Resources.namespaces, namespace);
    await client?.close();
  });

  it("are made once, and are at rest after that", async () => {
    const writes: string[] = [];
    const note = (verb: string, kind: string) => void writes.push(`${verb} ${kind}`);
    const counted: RenderedContext["client"] = {
      get: (...call) => client.get(...call),
      create: (resource, object, ...options) => {
        note("create", resource.kind);
        // The owner is no object of this cluster: the garbage collector would take away what it owns.
        const { ownerReferences: _owner, ...metadata } = object.metadata;
        return client.create(resource, { ...object, metadata }, ...options);
      },
      mergePatch: (...call) => {
        note("patch", call[0].kind);
        return client.mergePatch(...call);
      },
      delete: (...call) => {
        note("delete", call[0].kind);
        return client.delete(...call);
      },
    };
    const { context } = start();
    const login = context.secrets.get("cosign-system/hub-login");
    const zot = new ZotRegistry({ ...context, namespace, client: counted, secrets: { get: () => login } });
    for (let pass = 0; pass < 3; pass++) await zot.prepare(REGISTRY, planOf(REGISTRY, [GHCR, HUB]), SIGNAL);
    expect(writes).to.deep.equal(["create Secret", "patch ConfigMap", "patch Deployment"]);
    await zot.withdraw(REGISTRY, SIGNAL);
    const config = await client.get<ConfigMap>(Resources.configMaps, "zot-config", { namespace });
    expect(JSON.parse(config.data?.["config.json"] ?? "")).to.deep.equal(BASE);
  });

  it("are not written when somebody else wrote since they were read", async () => {
    const { metadata } = await client.get<ConfigMap>(Resources.configMaps, "zot-config", { namespace });
    const patch = (data: object) => ({ metadata: { resourceVersion: metadata.resourceVersion }, data });
    await client.mergePatch(Resources.configMaps, "zot-config", patch({ one: "1" }), { namespace });
    await rejectsWith(
      "CONFLICT",
      client.mergePatch(Resources.configMaps, "zot-config", patch({ two: "2" }), { namespace }),
    );
  });
});
