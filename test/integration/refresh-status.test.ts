import { expect } from "chai";
import type { ConnectedKubeClient } from "../../adapters/kube/client.ts";
import {
  CACHE_REGISTRIES,
  CACHE_RULES,
  type CacheRegistryObject,
  type CacheRuleObject,
  type CacheRuleSpec,
} from "../../crds/index.ts";
import { writeStatus } from "../../operator/status.ts";
import { type ClusterHandle, requireNoOperator, sharedCluster } from "../support/cluster.ts";
import { install } from "../support/install.ts";
import { adminClient } from "../support/kube.ts";
import { pushTinyImage, startRegistry, type TestRegistry } from "../support/registry.ts";
import { Cleanup } from "./gateway-harness.ts";
import { Stage } from "./refresh-harness.ts";

const NAME = "refresh-status";
const SIGNAL = new AbortController().signal;

describe("status.cached beside the rest of status, on a real API server", function () {
  this.timeout(120_000);
  const cleanup = new Cleanup();
  let cluster: ClusterHandle;
  let client: ConnectedKubeClient;
  let registry: TestRegistry;
  let made: Stage;

  const get = () => client.get<CacheRuleObject>(CACHE_RULES, NAME);
  /** The rule reconciler's write: the whole status but `cached`. */
  const rule = async (ready: "True" | "False") => {
    const { cached: _cached, ...status } = (await get()).status ?? {};
    const condition = (type: string, value: string) => ({
      type,
      status: value,
      reason: "Test",
      message: `ready ${ready}`,
      lastTransitionTime: "2030-01-01T00:00:00Z",
    });
    const next = { provider: "inCluster", conditions: [condition("Accepted", "True"), condition("Ready", ready)] };
    return await writeStatus(client, CACHE_RULES, { ...(await get()), status }, next, SIGNAL);
  };
  const refresh = async (ms = 0): Promise<CacheRuleObject> => {
    made.rule = await get();
    await made.later(ms);
    return await get();
  };
  const setSpec = (spec: Partial<CacheRuleSpec> | { refresh: null }) => client.mergePatch(CACHE_RULES, NAME, { spec });

  before(async function () {
    this.timeout(0);
    cluster = await sharedCluster();
    requireNoOperator(this, cluster);
    await install(cluster, "crds");
    client = await adminClient(cluster);
    cleanup.add(() => client.close());
    registry = await startRegistry();
    cleanup.add(() => registry.stop());
    await client.create<CacheRegistryObject>(CACHE_REGISTRIES, {
      apiVersion: "entrepot.dev/v1alpha1",
      kind: "CacheRegistry",
      metadata: { name: NAME },
      spec: { inCluster: { pullHost: "localhost:30499", storage: { emptyDir: {} } } },
    } as CacheRegistryObject);
    cleanup.add(() => client.delete(CACHE_REGISTRIES, NAME));
    await client.create<CacheRuleObject>(CACHE_RULES, {
      apiVersion: "entrepot.dev/v1alpha1",
      kind: "CacheRule",
      metadata: { name: NAME },
      spec: {
        registryRef: { name: NAME },
        source: "upstream.test/team/app",
        target: "app",
        refresh: { interval: "1h", tags: [{ glob: "v*" }] },
      },
    } as CacheRuleObject);
    cleanup.add(() => client.delete(CACHE_RULES, NAME));
    made = new Stage(`http://${registry.host}`, await get(), { client });
    cleanup.add(() => made.doors.close());
  });
  after(() => cleanup.run());

  it("is written by one loop, and the rest by the other: neither takes the other's away", async () => {
    const digest = await pushTinyImage(registry, "app", "v1");
    await rule("True");
    const after = await refresh();
    expect(after.status?.cached?.tags).to.have.length(1);
    expect(after.status?.cached?.tags?.[0]).to.include({ repository: "app", tag: "v1", digest, bytes: 2 });
    expect(after.status?.conditions).to.have.length(2);
    expect(await rule("False")).to.equal(true);
    const changed = await get();
    expect(changed.status?.cached).to.deep.equal(after.status?.cached);
    expect(changed.status?.conditions?.map(({ message }) => message)).to.deep.equal(["ready False", "ready False"]);
    await rule("True");
    await pushTinyImage(registry, "app", "v2");
    const again = await refresh(7_200_000);
    expect(again.status?.cached?.total).to.equal(2);
    expect(again.status?.conditions).to.have.length(2);
    const shown = await cluster.kubectl(["get", "cacherule", NAME, "--show-managed-fields", "-o", "json"]);
    const { metadata } = JSON.parse(shown) as {
      metadata: { managedFields: { manager: string; subresource?: string }[] };
    };
    const managers = metadata.managedFields.filter(({ subresource }) => subresource === "status");
    expect(managers.map(({ manager }) => manager).sort()).to.deep.equal(["entrepot", "entrepot-refresh"]);
  });

  it("at rest is not written: the object stays at its version", async () => {
    const { metadata } = await refresh(7_200_000);
    for (let look = 0; look < 5; look++)
      expect((await refresh(7_200_000)).metadata.resourceVersion).to.equal(metadata.resourceVersion);
    expect(await rule("True")).to.equal(false);
    expect((await get()).metadata.resourceVersion).to.equal(metadata.resourceVersion);
  });

  it("holds a hundred tags, and counts the rest", async () => {
    for (let i = 0; i < 120; i++) await pushTinyImage(registry, "app", `v3.0.${i}`);
    await refresh(7_200_000);
    for (let pass = 0; pass < 3; pass++) await refresh(10);
    const { status } = await get();
    expect(status?.cached?.total).to.equal(122);
    expect(status?.cached?.tags).to.have.length(100);
    expect(status?.cached?.tags?.[0]?.tag).to.equal("v3.0.119");
  });

  it("goes with spec.refresh, and conditions stay", async () => {
    await setSpec({ refresh: null });
    const { status } = await refresh();
    expect(status?.cached).to.equal(undefined);
    expect(status?.conditions).to.have.length(2);
  });
});
