import { expect } from "chai";
import { NAMESPACE, requestOf, SIGNAL, type world } from "./product-rendered-harness.ts";
import { GHCR, HUB, REGISTRY, start } from "./product-zot-harness.ts";

describe("zot as a registry, where something is in the way (not run against zot)", () => {
  const inTheWay: readonly {
    name: string;
    make: (kube: ReturnType<typeof world>["kube"]) => void;
    reason: string;
    message: RegExp;
  }[] = [
    {
      name: "a sync configuration of its owner's",
      make: (kube) =>
        kube.put({
          apiVersion: "v1",
          kind: "ConfigMap",
          metadata: { name: "zot-config" },
          data: { "config.json": JSON.stringify({ extensions: { sync: { enable: true, registries: [] } } }) },
        }),
      reason: "ForeignRule",
      message: /extensions\.sync in ConfigMap "zot-config" exists already/,
    },
    {
      name: "a Secret of that name that is another's",
      make: (kube) => kube.put({ apiVersion: "v1", kind: "Secret", metadata: { name: "zot-upstreams" } }),
      reason: "ForeignRule",
      message: /Secret "zot-upstreams" exists and Entrepot did not make it/,
    },
    {
      name: "a configuration that does not parse",
      make: (kube) =>
        kube.put({
          apiVersion: "v1",
          kind: "ConfigMap",
          metadata: { name: "zot-config" },
          data: { "config.json": "{" },
        }),
      reason: "InvalidSpec",
      message: /config\.json of ConfigMap "zot-config" can't be used: it is not a JSON object/,
    },
    {
      name: "no such key",
      make: (kube) => kube.put({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "zot-config" }, data: {} }),
      reason: "InvalidSpec",
      message: /has no key config\.json/,
    },
    {
      name: "a workload that does not mount the credentials",
      make: (kube) =>
        kube.put({ apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "zot" }, spec: { template: {} } }),
      reason: "InvalidSpec",
      message: /Deployment "zot" does not mount Secret "zot-upstreams"/,
    },
    {
      name: "storage in a bucket without a folder for downloads",
      make: (kube) =>
        kube.put({
          apiVersion: "v1",
          kind: "ConfigMap",
          metadata: { name: "zot-config" },
          data: { "config.json": JSON.stringify({ storage: { storageDriver: { name: "s3" } } }) },
        }),
      reason: "InvalidSpec",
      message: /zot would not take the configuration: .*downloadDir/,
    },
  ];
  for (const { name, make, reason, message } of inTheWay) {
    it(`writes nothing at all where there is ${name}`, async () => {
      const { kube, prepare } = start();
      make(kube);
      const { ready } = await prepare([HUB]);
      expect(ready).to.deep.include({ done: false, reason });
      expect(ready.done ? "" : ready.message).to.match(message);
      expect(kube.writes).to.deep.equal([]);
    });
  }

  for (const kind of ["ConfigMap/zot-config", "Deployment/zot"]) {
    it(`waits for ${kind} that is not there, and has nothing to take away then`, async () => {
      const { kube, zot, prepare } = start();
      const [which = "", name = ""] = kind.split("/");
      await kube.delete({ group: "", version: "v1", plural: "", kind: which, namespaced: true }, name);
      kube.writes.length = 0;
      const { ready } = await prepare([HUB]);
      expect(ready.done ? "" : ready.message).to.match(new RegExp(`does not exist in namespace ${NAMESPACE}`));
      expect(kube.writes).to.deep.equal([]);
      expect(await zot.withdraw(REGISTRY, SIGNAL)).to.deep.equal({ done: true });
      expect(await zot.removed({ rule: HUB, registry: REGISTRY }, SIGNAL)).to.deep.equal({ done: true });
    });
  }

  it("refuses an upstream with an authority of its own", () => {
    const { zot } = start();
    const registry = { ...REGISTRY, spec: { ...REGISTRY.spec, upstreams: [{ host: "ghcr.io", caBundle: "PEM" }] } };
    expect(zot.judge(requestOf(registry, GHCR))).to.deep.include({ reason: "UnsupportedUpstream" });
    expect(zot.judge(requestOf(registry, HUB))).to.equal(undefined);
    expect(zot.identity(REGISTRY)).to.equal("config.json of ConfigMap zot-config");
    expect(zot.pullHost(REGISTRY)).to.equal("zot.example.com");
  });
});
