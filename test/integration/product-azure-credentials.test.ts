import { expect } from "chai";
import type { CacheRegistryObject, Upstream } from "../../crds/index.ts";
import {
  AzureStage,
  DOCKER_HUB,
  KEY_VAULT,
  productFailure,
  ruleRequest,
  upstreamsOf,
  VAULT,
} from "../support/azure/harness.ts";
import { REGISTRY_ID } from "../support/azure/replies.ts";

const { signal } = new AbortController();
const NAMED: Upstream = {
  host: "docker.io",
  credentials: { keyVault: { ...KEY_VAULT, credentialSetName: "hub-set" } },
};
const SET = `${REGISTRY_ID}/credentialSets/hub-set`;
const AUTH = [
  {
    name: "Credential1",
    usernameSecretIdentifier: KEY_VAULT.usernameSecretId,
    passwordSecretIdentifier: KEY_VAULT.passwordSecretId,
  },
];

describe("Credential sets of an Azure Container Registry (contract fake, never run against Azure)", function () {
  this.timeout(120_000);
  let stage: AzureStage;
  let seen = 0;

  before(async function () {
    stage = AzureStage.here(this);
    await stage.fake.start();
  });
  beforeEach(() => {
    stage.reset();
    seen = 0;
  });
  afterEach(() => expect(stage.fake.deviations).to.deep.equal([]));
  after(async () => await stage?.fake.stop());

  const prepare = async (registry: CacheRegistryObject) =>
    await stage.product.prepare(registry, upstreamsOf(registry), signal);
  const withSpec = (registry: CacheRegistryObject, upstreams: readonly Upstream[]): CacheRegistryObject => ({
    ...registry,
    spec: { ...registry.spec, upstreams: [...upstreams] },
  });
  /** The writes since the last call. */
  const writes = (): readonly string[] => {
    const all = stage.fake.writes;
    const fresh = all.slice(seen);
    seen = all.length;
    return fresh;
  };
  it("are written down before they are made, and made once", async () => {
    const registry = stage.registry([NAMED]);
    const first = await prepare(registry);
    expect(first.ready).to.include({ done: false, reason: "Creating" });
    expect(first.upstreams).to.deep.equal([
      { host: "docker.io", health: "Unknown", reason: "Creating", remoteId: SET },
    ]);
    expect(writes()).to.deep.equal([]);
    const { registry: after, outcome } = await stage.prepared(registry);
    expect(outcome.ready).to.deep.equal({ done: true });
    expect(outcome.credentials).to.include({ status: "True" });
    expect(writes()).to.deep.equal(["PUT credentialSets/hub-set"]);
    expect(stage.fake.set("hub-set")).to.deep.include({ loginServer: "docker.io", authCredentials: AUTH });
    const requests = stage.fake.received.length;
    await prepare(after);
    expect(stage.fake.received.length - requests).to.equal(1); // at rest: one list
    expect(writes()).to.deep.equal([]);
  });

  it("say which principal must be granted what, and that they are unhealthy until then", async () => {
    stage.fake.behaviour.health = {
      status: "Unhealthy",
      errorCode: "unauthorized_client",
      errorMessage: "AADSTS700016: secret body",
    };
    const { outcome } = await stage.prepared(stage.registry([NAMED]));
    const [stored] = stage.fake.stored.values();
    expect(outcome.ready).to.deep.equal({ done: true });
    expect(outcome.upstreams[0]).to.deep.equal({
      host: "docker.io",
      health: "Unhealthy",
      reason: "CredentialsUnhealthy",
      remoteId: SET,
      principalId: stored?.principalId,
    });
    expect(outcome.credentials).to.deep.equal({
      status: "False",
      message: `credential set "hub-set" for docker.io is unhealthy (unauthorized_client): grant principal ${stored?.principalId} the role Key Vault Secrets User (or an access policy with get on secrets) in myvault.vault.azure.net, and check that user name and password there are right`,
    });
  });

  it("of the user's are used as they are, never written to and never deleted", async () => {
    const entry: Upstream = { host: "docker.io", credentials: { credentialSetName: "users-set" } };
    const missing = await prepare(stage.registry([entry]));
    expect(missing.upstreams[0]).to.include({ health: "Unhealthy", reason: "SecretNotFound" });
    expect(missing.credentials?.message).to.contain('credential set "users-set" does not exist');
    stage.fake.put("credentialSets", "users-set", { loginServer: "docker.io", authCredentials: AUTH });
    const { registry, outcome } = await stage.prepared(stage.registry([entry]));
    expect(outcome.upstreams[0]).to.include({ health: "Healthy" }).and.not.have.property("remoteId");
    expect(await stage.product.withdraw(registry, signal)).to.deep.equal({ done: true });
    await prepare(withSpec(registry, []));
    expect(writes()).to.deep.equal([]);
  });

  it("that were there before are used if they are the same, and otherwise left alone", async () => {
    stage.fake.put("credentialSets", "HUB-set", { loginServer: "docker.io", authCredentials: AUTH });
    const { registry, outcome } = await stage.prepared(stage.registry([NAMED]));
    expect(outcome.ready).to.deep.equal({ done: true });
    expect(outcome.upstreams[0]).to.not.have.property("remoteId");
    await stage.product.withdraw(registry, signal);
    stage.fake.put("credentialSets", "hub-set", {
      loginServer: "docker.io",
      authCredentials: [{ ...AUTH[0], passwordSecretIdentifier: `${VAULT}/other` }],
    });
    const { outcome: other } = await stage.prepared(stage.registry([NAMED]));
    expect(other.ready).to.include({ done: false, reason: "ForeignRule" });
    stage.fake.put("credentialSets", "hub-set", { loginServer: "ghcr.io", authCredentials: AUTH });
    expect((await prepare(stage.registry([NAMED]))).ready).to.include({ done: false, reason: "ForeignRule" });
    expect(writes()).to.deep.equal([]);
  });

  it("follow the secrets that are declared, or report that they do not", async () => {
    const { registry } = await stage.prepared(stage.registry([NAMED]));
    writes();
    const changed = withSpec(registry, [
      {
        host: "docker.io",
        credentials: { keyVault: { ...KEY_VAULT, passwordSecretId: `${VAULT}/next`, credentialSetName: "hub-set" } },
      },
    ]);
    const reported = await prepare({ ...changed, spec: { ...changed.spec, driftPolicy: "Report" } });
    expect(reported.ready).to.include({ done: false, reason: "Drifted" });
    expect(writes()).to.deep.equal([]);
    await stage.prepared(changed);
    expect(writes()).to.deep.equal(["PATCH credentialSets/hub-set"]);
    expect(stage.fake.set("hub-set")?.authCredentials?.[0]).to.include({ passwordSecretIdentifier: `${VAULT}/next` });
  });

  it("go when their upstream has gone and no rule uses them any more", async () => {
    const { registry } = await stage.prepared(stage.registry([NAMED]));
    stage.fake.put("cacheRules", "still-there", {
      sourceRepository: "docker.io/a/b",
      targetRepository: "b",
      credentialSetResourceId: SET.toUpperCase(),
    });
    writes();
    const without = withSpec(registry, []);
    const waiting = await stage.prepared(without);
    expect(waiting.outcome.ready).to.deep.equal({ done: true });
    expect(waiting.outcome.upstreams).to.deep.equal([
      { host: "docker.io", health: "Unknown", reason: "Deleting", remoteId: SET },
    ]);
    expect(writes()).to.deep.equal([]);
    stage.fake.stored.delete("cacheRules/still-there");
    const leaving = await stage.prepared(waiting.registry);
    expect(leaving.outcome.upstreams[0]).to.include({ remoteId: SET });
    expect((await stage.prepared(leaving.registry)).outcome.upstreams).to.deep.equal([]);
    expect(writes()).to.deep.equal(["DELETE credentialSets/hub-set"]);
  });

  it("give way to a successor of another name", async () => {
    const { registry } = await stage.prepared(stage.registry([NAMED]));
    stage.fake.put("cacheRules", "a-rule", {
      sourceRepository: "docker.io/a/b",
      targetRepository: "b",
      credentialSetResourceId: SET,
    });
    writes();
    const renamed = withSpec(registry, [
      { host: "docker.io", credentials: { keyVault: { ...KEY_VAULT, credentialSetName: "next-set" } } },
    ]);
    const both = await stage.prepared(renamed);
    expect(both.outcome.upstreams[0]?.remoteId).to.equal(`${SET} ${REGISTRY_ID}/credentialSets/next-set`);
    expect(writes()).to.deep.equal(["PUT credentialSets/next-set"]);
    await stage.product.update(
      ruleRequest(both.registry, { name: "a-rule" }),
      { id: "", differences: [], state: "settled" },
      signal,
    );
    writes();
    const leaving = await stage.prepared(both.registry);
    expect(writes()).to.deep.equal(["DELETE credentialSets/hub-set"]);
    const done = await stage.prepared(leaving.registry);
    expect(done.outcome.upstreams[0]?.remoteId).to.equal(`${REGISTRY_ID}/credentialSets/next-set`);
  });

  it("are deleted with their CacheRegistry, but for one that a rule there uses", async () => {
    const { registry } = await stage.prepared(stage.registry([NAMED]));
    const user = stage.fake.put("cacheRules", "retained", {
      sourceRepository: "docker.io/a/b",
      targetRepository: "b",
      credentialSetResourceId: SET,
    });
    expect(await stage.product.withdraw(registry, signal)).to.deep.equal({ done: true });
    expect(stage.fake.set("hub-set")).to.not.equal(undefined);
    user.properties.credentialSetResourceId = "";
    expect(await stage.product.withdraw(registry, signal)).to.include({ done: false, reason: "Deleting" });
    expect(await stage.product.withdraw(registry, signal)).to.deep.equal({ done: true });
    expect(stage.fake.set("hub-set")).to.equal(undefined);
  });

  it("are not deleted when somebody made one of the name for another upstream meanwhile", async () => {
    const { registry } = await stage.prepared(stage.registry([NAMED]));
    stage.fake.put("credentialSets", "hub-set", { loginServer: "ghcr.io", authCredentials: AUTH });
    writes();
    expect(await stage.product.withdraw(registry, signal)).to.deep.equal({ done: true });
    await prepare(withSpec(registry, []));
    expect(writes()).to.deep.equal([]);
  });

  it("are known as ours when the answer to their creation was lost, and there is no second one", async () => {
    const registry = stage.registry([NAMED]);
    const noted = { ...registry, status: { upstreams: [...(await prepare(registry)).upstreams] } };
    stage.fake.behaviour.fault = ({ method }) => (method === "PUT" ? { status: 0, cut: true } : undefined);
    await productFailure("PRODUCT_UNAVAILABLE", prepare(noted));
    stage.restarted();
    const { outcome } = await stage.prepared(noted);
    expect(outcome.upstreams[0]).to.include({ health: "Healthy", remoteId: SET });
    expect(writes()).to.deep.equal(["PUT credentialSets/hub-set"]);
    expect(stage.fake.stored.size).to.equal(1);
  });

  it("are waited for while Azure is at work on them", async () => {
    stage.fake.behaviour.reads = 3;
    const { registry, outcome } = await stage.prepared(stage.registry([DOCKER_HUB]), 4);
    expect(outcome.ready).to.include({ done: false, reason: "Creating" });
    expect((await stage.prepared(registry)).outcome.ready).to.deep.equal({ done: true });
    expect(stage.fake.writes).to.have.length(1);
  });

  it("of a registry that is gone are gone", async () => {
    const { registry } = await stage.prepared(stage.registry([NAMED]));
    const moved = {
      ...registry,
      spec: { ...registry.spec, azure: { ...registry.spec.azure, registryName: "another0" } },
    } as CacheRegistryObject;
    await productFailure("PRODUCT_REGISTRY_NOT_FOUND", prepare(moved));
    expect(await stage.product.withdraw(moved, signal)).to.deep.equal({ done: true });
    expect(stage.fake.set("hub-set")).to.not.equal(undefined);
  });

  it("of the same name in another registry than the noted one are not deleted", async () => {
    stage.fake.put("credentialSets", "hub-set", { loginServer: "docker.io", authCredentials: AUTH });
    const remoteId = SET.replace("myRegistry", "formerRegistry");
    const registry = { ...stage.registry([]), status: { upstreams: [{ host: "docker.io", remoteId }] } };
    expect((await prepare(registry)).upstreams).to.deep.equal([]);
    expect(await stage.product.withdraw(registry, signal)).to.deep.equal({ done: true });
    expect(writes()).to.deep.equal([]);
  });
});
