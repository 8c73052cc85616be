import { expect } from "chai";
import { isOurs } from "../../core/product/step.ts";
import type { CacheRegistryObject } from "../../crds/index.ts";
import { AzureStage, productFailure, ruleRequest, stepOf, upstreamsOf } from "../support/azure/harness.ts";
import { failure, json, REGISTRY_ID } from "../support/azure/replies.ts";

const { signal } = new AbortController();
const BODY = "secret body";

describe("Azure Container Registry when things go wrong (contract fake, never run against Azure)", function () {
  this.timeout(120_000);
  let stage: AzureStage;

  before(async function () {
    stage = AzureStage.here(this);
    await stage.fake.start();
  });
  beforeEach(() => stage.reset());
  afterEach(() => expect(stage.fake.deviations).to.deep.equal([]));
  after(async () => await stage?.fake.stop());

  const observe = async (request = ruleRequest(stage.registry())) => await stage.product.observe(request, signal);
  const create = async (request = ruleRequest(stage.registry())) => await stage.product.create(request, signal);
  const answering = (status: number, code: string, more: object = {}): void => {
    stage.fake.behaviour.fault = () => failure(status, code, BODY, more);
  };

  it("lets nobody through while Azure wants to be left alone", async () => {
    stage.fake.behaviour.fault = () => ({
      ...failure(429, "TooManyRequests", BODY),
      headers: { "retry-after": "120" },
    });
    const first = await productFailure("PRODUCT_THROTTLED", observe());
    expect(first).to.include({ retryAfterMs: 120_000, reason: "Throttled" });
    stage.fake.behaviour.fault = () => undefined;
    const requests = stage.fake.received.length;
    const other = ruleRequest(stage.registry(), { name: "another-rule" });
    const refused = await Promise.all(
      [observe(other), create(other), stage.product.prepare(other.registry, [], signal)].map((call) =>
        productFailure("PRODUCT_THROTTLED", call),
      ),
    );
    for (const { retryAfterMs } of refused) expect(retryAfterMs).to.be.within(100_000, 120_000);
    expect(stage.fake.received.length).to.equal(requests);
  });

  it("finds the rule whose creation was never confirmed, and makes no second one", async () => {
    const request = ruleRequest(stage.registry(), {}, { remoteId: `${REGISTRY_ID}/cacheRules/demo-rule` });
    stage.fake.behaviour.fault = ({ method }) => (method === "PUT" ? { status: 0, cut: true } : undefined);
    const { message } = await productFailure("PRODUCT_UNAVAILABLE", create(request));
    expect(message).to.match(
      /cannot talk to Azure to create cache rule "demo-rule" in registry "myRegistry" \(ECONNRESET\)|broke off/,
    );
    stage.restarted();
    expect(await stepOf(stage.product, request)).to.deep.equal({ do: "nothing", adopted: false });
    expect(stage.fake.writes).to.deep.equal(["PUT cacheRules/demo-rule"]);
  });

  it("takes no notice of the URL of an operation, however long", async () => {
    stage.fake.behaviour.pollUrlLength = 8 * 1024;
    await create();
    expect(await observe()).to.include({ state: "settled" });
  });

  it("takes an operation that hangs for one that failed, after half an hour", async () => {
    stage.fake.behaviour.reads = 100;
    await create();
    expect(await observe()).to.include({ state: "changing" });
    const [stored] = stage.fake.stored.values();
    if (stored !== undefined) stored.modifiedAt = new Date(Date.now() - 31 * 60_000).toISOString();
    const found = await observe();
    expect(found).to.include({ state: "failed" });
    expect(found?.problem).to.contain("it has been Creating since");
    expect(found !== undefined && isOurs(found, { remoteId: found.id })).to.equal(true);
  });

  for (const [status, code, nested, wanted, reason, words] of [
    [
      400,
      "BadRequest",
      "EnforceDockerAuthentication",
      "PRODUCT_REFUSED",
      "UnsupportedUpstream",
      "with credentials only",
    ],
    [
      409,
      "Conflict",
      "TargetRepositoryAlreadyPresentInRegistry",
      "PRODUCT_REFUSED",
      "RepositoryExists",
      "choose another target",
    ],
    [
      400,
      "BadRequest",
      "TargetRepositoryPrefixMatchesExistingRegistries",
      "PRODUCT_REFUSED",
      "RepositoryExists",
      "below the target",
    ],
    [400, "BadRequest", "CacheRulesLimitReached", "PRODUCT_REFUSED", "LimitExceeded", "limit"],
    [409, "ScopeLocked", undefined, "PRODUCT_REFUSED", "RemoteError", "remove the lock"],
    [400, "InvalidRequest", undefined, "PRODUCT_REFUSED", "RemoteError", "InvalidRequest"],
    [409, "Conflict", "OperationInProgress", "PRODUCT_BUSY", "Updating", "under way"],
    [
      401,
      "ExpiredAuthenticationToken",
      undefined,
      "PRODUCT_UNAUTHENTICATED",
      "SignInFailed",
      "ExpiredAuthenticationToken",
    ],
    [
      403,
      "AuthorizationFailed",
      undefined,
      "PRODUCT_FORBIDDEN",
      "SignInFailed",
      "read, write and delete on cacheRules",
    ],
    [404, "ResourceGroupNotFound", undefined, "PRODUCT_REGISTRY_NOT_FOUND", "RegistryNotFound", "check subscriptionId"],
    [500, "InternalServerError", undefined, "PRODUCT_UNAVAILABLE", "RemoteError", "500"],
    [503, "ServerBusy", undefined, "PRODUCT_UNAVAILABLE", "RemoteError", "503"],
  ] as const) {
    it(`says ${wanted}, ${reason}, for HTTP status ${status} with ${nested ?? code}, and nothing of the body`, async () => {
      for (const more of [{ innererror: { code: nested } }, { details: [{ code: nested, message: BODY }] }]) {
        answering(status, code, nested === undefined ? {} : more);
        const thrown = await productFailure(wanted, create());
        expect(thrown.reason).to.equal(reason);
        expect(thrown.message).to.contain(words).and.contain(`HTTP status ${status}`);
        stage.restarted();
      }
    });
  }

  it("is refused what stands in the way in the registry, by its own words", async () => {
    stage.fake.repositories.add("hub/nginx");
    expect((await productFailure("PRODUCT_REFUSED", create())).reason).to.equal("RepositoryExists");
    const wildcard = ruleRequest(stage.registry(), { source: "quay.io/a/*", target: "hub/*" });
    expect((await productFailure("PRODUCT_REFUSED", create(wildcard))).reason).to.equal("RepositoryExists");
    const anonymous = ruleRequest(stage.registry([]), { target: "x" });
    expect((await productFailure("PRODUCT_REFUSED", create(anonymous))).reason).to.equal("UnsupportedUpstream");
    expect(stage.fake.stored.size).to.equal(0);
  });

  for (const [title, text, type] of [
    ["a web page", `<html>${BODY}</html>`, "text/html"],
    ["half of a JSON", `{"id": "${BODY}`, "application/json"],
    ["null", "null", "application/json"],
    ["a rule without a source", JSON.stringify({ id: BODY, name: "demo-rule", properties: {} }), "application/json"],
    [
      "another rule",
      JSON.stringify({ name: BODY, properties: { sourceRepository: "a.io/a", targetRepository: "a" } }),
      "application/json",
    ],
  ] as const) {
    it(`takes ${title} for no rule, and for no missing rule either`, async () => {
      stage.fake.behaviour.fault = () => ({ status: 200, headers: { "content-type": type }, text });
      await productFailure("PRODUCT_MALFORMED", observe());
      await productFailure("PRODUCT_MALFORMED", stage.product.prepare(stage.registry(), [], signal));
    });
  }

  it("does not read an answer without end", async () => {
    const text = Buffer.alloc(9 * 1024 * 1024, " ");
    stage.fake.behaviour.fault = () => ({ status: 200, headers: { "content-type": "application/json" }, text });
    expect((await productFailure("PRODUCT_MALFORMED", observe())).message).to.contain("longer than");
  });

  it("does not wait for an answer longer than its caller, nor follow it", async () => {
    stage.fake.behaviour.fault = () => ({ status: 200, stall: true });
    const giveUp = AbortSignal.timeout(300);
    const thrown = await stage.product.observe(ruleRequest(stage.registry()), giveUp).catch((error: unknown) => error);
    expect(thrown).to.equal(giveUp.reason);
  });

  it("sends its token nowhere else: not after a redirect, not to the next page", async () => {
    for (const status of [301, 302, 307, 308]) {
      stage.fake.behaviour.fault = () => ({ status, headers: { location: `${stage.fake.url}/elsewhere` } });
      await productFailure("PRODUCT_MALFORMED", observe());
    }
    for (const nextLink of [
      "https://127.0.0.1:1/subscriptions/x",
      `${stage.fake.url.replace("localhost", "127.0.0.1")}/elsewhere`,
    ]) {
      stage.fake.behaviour.fault = () => json(200, { value: [], nextLink });
      const prepared = stage.product.prepare(stage.registry(), [], signal);
      const { message } = await productFailure("PRODUCT_MALFORMED", prepared);
      expect(message).to.contain("another host; nothing was sent there");
    }
    expect(stage.fake.received.filter(({ path }) => path === "/elsewhere")).to.deep.equal([]);
  });

  it("reads all pages, but not pages without end", async () => {
    for (let at = 0; at < 25; at++)
      stage.fake.put("credentialSets", `some-set-${at}`, { loginServer: "ghcr.io", authCredentials: [] });
    stage.fake.behaviour.pageSize = 10;
    const registry = stage.registry([{ host: "ghcr.io", credentials: { credentialSetName: "some-set-24" } }]);
    const { upstreams } = await stage.product.prepare(registry, upstreamsOf(registry), signal);
    expect(upstreams[0]).to.not.include({ reason: "SecretNotFound" });
    const nextLink = `${stage.fake.url}${REGISTRY_ID}/credentialSets?api-version=2025-11-01`;
    stage.fake.behaviour.fault = () => json(200, { value: [], nextLink });
    expect((await productFailure("PRODUCT_MALFORMED", stage.product.prepare(registry, [], signal))).message).to.contain(
      "no end",
    );
  });

  it("tells a registry that is not there from a rule that is not there", async () => {
    expect(await observe()).to.equal(undefined);
    const registry = stage.registry();
    const azure = { ...registry.spec.azure, registryName: "another0" } as NonNullable<
      CacheRegistryObject["spec"]["azure"]
    >;
    const request = ruleRequest({ ...registry, spec: { ...registry.spec, azure } });
    expect((await productFailure("PRODUCT_REGISTRY_NOT_FOUND", observe(request))).message).to.contain("another0");
  });

  it("says that Azure can't be reached", async () => {
    const registry = stage.registry();
    const azure = { ...registry.spec.azure, endpoint: "https://localhost:1" } as NonNullable<
      CacheRegistryObject["spec"]["azure"]
    >;
    const request = ruleRequest({ ...registry, spec: { ...registry.spec, azure } });
    expect((await productFailure("PRODUCT_UNAVAILABLE", observe(request))).message).to.contain("ECONNREFUSED");
  });
});
