import { expect } from "chai";
import { decideStep } from "../../core/product/step.ts";
import { ProductProvider } from "../../operator/providers/product.ts";
import { AzureStage, DOCKER_HUB, productFailure, ruleRequest, stepOf } from "../support/azure/harness.ts";
import { REGISTRY_ID } from "../support/azure/replies.ts";

const { signal } = new AbortController();

describe("Cache rules of an Azure Container Registry (contract fake, never run against Azure)", function () {
  this.timeout(120_000);
  let stage: AzureStage;

  before(async function () {
    stage = AzureStage.here(this);
    await stage.fake.start();
  });
  beforeEach(() => stage.reset());
  afterEach(() => expect(stage.fake.deviations).to.deep.equal([]));
  after(async () => await stage?.fake.stop());

  /** What the status has once the rule was made and seen. */
  async function made(request = ruleRequest(stage.registry())) {
    await stage.product.create(request, signal);
    const found = await stage.product.observe(request, signal);
    const { spec, metadata } = request.rule;
    return ruleRequest(
      request.registry,
      { ...spec, name: metadata.name },
      { remoteId: stage.product.remoteId(request), remoteCreationTime: found?.createdAt ?? "" },
    );
  }

  it("are made as the page of Azure's artifact cache has it: docker.io/lgmorand/demoappprometheus as demo-prometheus", async () => {
    const registry = stage.registry();
    const request = ruleRequest(registry, {
      source: "docker.io/lgmorand/demoappprometheus",
      target: "demo-prometheus",
    });
    expect(stage.product.judge(request)).to.equal(undefined);
    expect(await stepOf(stage.product, request)).to.deep.equal({ do: "create", drift: [] });
    await stage.product.create(request, signal);
    expect(stage.fake.rule("demo-rule")).to.include({
      sourceRepository: "docker.io/lgmorand/demoappprometheus",
      targetRepository: "demo-prometheus",
    });
    expect(`${stage.product.pullHost(registry)}/${request.mapping.target.path}`).to.equal(
      "myregistry.azurecr.io/demo-prometheus",
    );
    expect(stage.product.remoteId(request)).to.equal(`${REGISTRY_ID}/cacheRules/demo-rule`);
  });

  it("use the credential set of their upstream, and none where there is none", async () => {
    const registry = stage.registry([DOCKER_HUB, { host: "ghcr.io", credentials: { credentialSetName: "github" } }]);
    await stage.product.create(ruleRequest(registry), signal);
    expect(stage.fake.rule("demo-rule")?.credentialSetResourceId).to.match(
      /\/credentialSets\/entrepot-docker-io-[0-9a-f]{8}$/,
    );
    await stage.product.create(
      ruleRequest(registry, { name: "from-github", source: "ghcr.io/a/b", target: "b" }),
      signal,
    );
    expect(stage.fake.rule("from-github")?.credentialSetResourceId).to.equal(`${REGISTRY_ID}/credentialSets/github`);
    await stage.product.create(
      ruleRequest(registry, { name: "from-quay", source: "quay.io/*", target: "quay/*" }),
      signal,
    );
    expect(stage.fake.rule("from-quay")).to.not.have.property("credentialSetResourceId");
    expect(stage.fake.rule("from-quay")).to.include({ sourceRepository: "quay.io/*", targetRepository: "quay/*" });
  });

  it("take every shape, with Docker Hub spelt Azure's way", async () => {
    for (const [at, [source, target, wanted]] of [
      ["docker.io/nginx", "a", "docker.io/library/nginx"],
      ["index.docker.io/library/*", "b/*", "docker.io/library/*"],
      ["registry-1.docker.io/*", "*", "docker.io/*"],
    ].entries()) {
      const request = ruleRequest(stage.registry(), {
        name: `shape-${at}`,
        source: source ?? "",
        target: target ?? "",
      });
      await stage.product.create(request, signal);
      expect(stage.fake.rule(`shape-${at}`)?.sourceRepository).to.equal(wanted);
      expect((await stage.product.observe(request, signal))?.differences).to.deep.equal([]);
    }
  });

  it("are waited for by reading them again, also after a restart", async () => {
    stage.fake.behaviour.reads = 2;
    const request = ruleRequest(stage.registry(), {}, { remoteId: `${REGISTRY_ID}/cacheRules/demo-rule` });
    await stage.product.create(request, signal);
    const before = stage.fake.writes;
    expect(await stepOf(stage.product, request)).to.deep.equal({ do: "wait" });
    stage.restarted();
    expect(await stepOf(stage.product, request)).to.deep.equal({ do: "wait" });
    expect(await stepOf(stage.product, request)).to.deep.equal({ do: "nothing", adopted: false });
    expect(stage.fake.writes).to.deep.equal(before);
    expect(stage.fake.received.some(({ path }) => path.includes("/operation"))).to.equal(false);
  });

  it("keep their creation time through changes, unlike systemData", async () => {
    const request = await made();
    const [stored] = stage.fake.stored.values();
    await stage.product.update(request, { id: "", differences: [], state: "settled" }, signal);
    expect(stored?.modifiedAt).to.not.equal(stored?.properties.creationDate);
    expect((await stage.product.observe(request, signal))?.createdAt).to.equal(request.rule.status?.remoteCreationTime);
  });

  it("get another credential set, or lose it, in place", async () => {
    const request = await made(
      ruleRequest(stage.registry([{ host: "ghcr.io", credentials: { credentialSetName: "first" } }]), {
        source: "ghcr.io/a/b",
      }),
    );
    const change = async (credentials: object): Promise<void> => {
      const changed = { ...request, registry: stage.registry([{ host: "ghcr.io", ...credentials }]) };
      const step = await stepOf(stage.product, changed);
      expect(step).to.deep.equal({ do: "update", drift: ["credentialSetResourceId"] });
      await stage.product.update(changed, { id: "", differences: [], state: "settled" }, signal);
      expect(await stepOf(stage.product, changed)).to.deep.equal({ do: "nothing", adopted: false });
    };
    await change({ credentials: { credentialSetName: "second" } });
    expect(stage.fake.rule("demo-rule")?.credentialSetResourceId).to.match(/second$/);
    await change({});
    expect(stage.fake.rule("demo-rule")).to.not.have.property("credentialSetResourceId");
    expect(JSON.parse(stage.fake.received.findLast(({ method }) => method === "PATCH")?.text ?? "")).to.deep.equal({
      properties: { credentialSetResourceId: null },
    });
  });

  it("come to be in sync through the reconcilers' eyes, and go again", async () => {
    const provider = new ProductProvider(stage.product);
    let request = ruleRequest(stage.registry());
    for (let pass = 0; pass < 3; pass++) {
      const { remote } = await provider.serve(request, signal);
      request = ruleRequest(request.registry, {}, { ...remote, drift: {} });
    }
    expect((await provider.serve(request, signal)).synced).to.deep.equal({ done: true });
    expect(stage.fake.writes).to.deep.equal(["PUT cacheRules/demo-rule"]);
    expect(await provider.remove(request, false, signal)).to.include({ done: false, reason: "Deleting" });
    expect(await provider.remove(request, false, signal)).to.deep.equal({ done: true });
    expect(stage.fake.stored.size).to.equal(0);
  });

  it("cost one request each at rest, and no write", async () => {
    const request = await made();
    const seen = stage.fake.received.length;
    const writes = stage.fake.writes.length;
    for (let pass = 0; pass < 3; pass++) await stepOf(stage.product, request);
    expect(stage.fake.received.length - seen).to.equal(3);
    expect(stage.fake.writes).to.have.length(writes);
  });

  it("of somebody else are never written to, whatever they say", async () => {
    stage.fake.put("cacheRules", "demo-rule", {
      sourceRepository: "quay.io/else/where",
      targetRepository: "hub/nginx",
    });
    const request = ruleRequest(stage.registry());
    const step = await stepOf(stage.product, request);
    expect(step).to.include({ do: "report", reason: "ForeignRule" });
    await productFailure("PRODUCT_BUSY", stage.product.create(request, signal)); // it appeared after it was looked for
    expect(stage.fake.writes).to.deep.equal([]);
  });

  it("that are the same are taken over without a write, ids and enums in whatever case", async () => {
    const id = `${REGISTRY_ID.replace("resourceGroups", "resourcegroups").toUpperCase()}/credentialSets/HUB`;
    stage.fake.put("cacheRules", "DEMO-rule", {
      sourceRepository: "docker.io/library/nginx",
      targetRepository: "hub/nginx",
      credentialSetResourceId: id,
    });
    stage.fake.behaviour.lowerCase = true;
    const registry = stage.registry([{ host: "docker.io", credentials: { credentialSetName: "hub" } }]);
    expect(await stepOf(stage.product, ruleRequest(registry))).to.deep.equal({ do: "nothing", adopted: true });
    expect(stage.fake.writes).to.deep.equal([]);
  });

  it("whose source or target was changed are reported, not replaced", async () => {
    const request = await made();
    const stored = stage.fake.rule("demo-rule");
    if (stored !== undefined) stored.targetRepository = "elsewhere";
    const step = await stepOf(stage.product, request);
    expect(step).to.include({ do: "report", reason: "ImmutableChange" });
    expect(step).to.deep.include({ drift: ["targetRepository"] });
  });

  it("are deleted and then looked for until they are gone", async () => {
    const request = await made();
    stage.fake.behaviour.reads = 1;
    const found = await stage.product.observe(request, signal);
    if (found === undefined) throw new Error("no rule");
    expect(await stage.product.remove(request, found, false, signal)).to.include({ done: false, reason: "Deleting" });
    expect(await stage.product.remove(request, found, false, signal)).to.include({ done: false, reason: "Deleting" });
    expect(await stage.product.remove(request, found, false, signal)).to.deep.equal({ done: true });
    expect(stage.fake.writes.filter((write) => write.startsWith("DELETE"))).to.deep.equal([
      "DELETE cacheRules/demo-rule",
    ]);
  });

  it("are not deleted when they are another's by now", async () => {
    const request = await made();
    const found = await stage.product.observe(request, signal);
    stage.fake.put("cacheRules", "demo-rule", {
      sourceRepository: "quay.io/a",
      targetRepository: "a",
      creationDate: "2031-01-01T00:00:00Z",
    });
    if (found === undefined) throw new Error("no rule");
    expect(await stage.product.remove(request, found, false, signal)).to.deep.equal({ done: true });
    expect(stage.fake.rule("demo-rule")).to.not.equal(undefined);
  });

  it("that are gone are made again, or reported", async () => {
    const request = await made();
    stage.fake.stored.clear();
    expect(await stepOf(stage.product, request)).to.deep.equal({ do: "create", drift: ["*"] });
    expect(await stepOf(stage.product, request, "Report")).to.include({ do: "report", reason: "Drifted" });
  });

  it("whose operation failed say so", async () => {
    const request = await made();
    const stored = stage.fake.rule("demo-rule");
    if (stored !== undefined) stored.provisioningState = "Failed";
    const found = await stage.product.observe(request, signal);
    const known = { remoteId: found?.id ?? "", remoteCreationTime: found?.createdAt ?? "" };
    const step = decideStep(found, known, { adoption: "IfIdentical", drift: "Correct" });
    expect(step).to.include({ do: "report", reason: "RemoteError" });
  });
});
