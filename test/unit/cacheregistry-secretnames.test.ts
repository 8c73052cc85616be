import { expect } from "chai";
import { secretNames } from "../../core/cacheregistry/secretnames.ts";

describe("the Secrets that a CacheRegistry speaks of", () => {
  it("are found wherever in its spec they are named", () => {
    const storage = { s3: { bucket: "b", region: "r", secretRef: { name: "storage" } } };
    const clients = { secretRefs: [{ name: "client-a" }, { name: "client-b" }] };
    expect([
      ...secretNames({
        inCluster: { pullHost: "h", storage, clients, tls: { secretRef: { name: "tls" } } },
        upstreams: [{ host: "quay.io", credentials: { secretRef: { name: "upstream" } } }],
        pullSecretRef: { name: "pull" },
      }),
    ]).to.have.members(["storage", "client-a", "client-b", "tls", "upstream", "pull"]);
    const azure = { subscriptionId: "s", resourceGroup: "g", registryName: "registry" };
    expect([...secretNames({ azure: { ...azure, auth: { clientSecretRef: { name: "azure" } } } })]).to.deep.equal([
      "azure",
    ]);
  });

  it("are not other things with a name", () => {
    const caBundleRef = { name: "a-config-map", key: "ca.crt" };
    const harbor = { url: "https://h", caBundleRef, auth: { secretRef: { name: "harbor" } } };
    expect([...secretNames({ harbor })]).to.deep.equal(["harbor"]);
    const workload = { configMapRef: caBundleRef, workloadRef: { kind: "Deployment", name: "zot" } } as const;
    expect([...secretNames({ zot: { ...workload, pullHost: "h" } })]).to.deep.equal([]);
  });
});
