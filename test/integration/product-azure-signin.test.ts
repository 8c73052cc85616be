import { expect } from "chai";
import type { CacheRegistryObject } from "../../crds/index.ts";
import { AzureStage, productFailure, ruleRequest } from "../support/azure/harness.ts";
import { json, SECRET, TENANT, tokenReply } from "../support/azure/replies.ts";
import { withEnvironment } from "../support/kms.ts";

const { signal } = new AbortController();
const BODY = "secret body";

describe("Signing in to Azure for its registries (contract fake, never run against Azure)", function () {
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
  const entra = (status: number, error: string, description: string): void => {
    const usual = stage.fake.behaviour.login;
    stage.fake.behaviour.login = (request) =>
      request.path.includes("openid-configuration")
        ? usual(request)
        : json(status, { error, error_description: description });
  };

  it("fails with a client secret that has expired, and works again with another one", async () => {
    entra(401, "invalid_client", `AADSTS7000222: The provided client secret keys are expired. ${BODY} ${SECRET}`);
    const thrown = await productFailure("PRODUCT_UNAUTHENTICATED", observe());
    expect(thrown.message).to.contain("AADSTS7000222");
    expect(thrown.reason).to.equal("SignInFailed");
    stage.fake.behaviour.login = (request) => tokenReply(request, stage.fake.url);
    stage.signIn({ tenantId: TENANT, clientId: "00000000-0000-0000-0000-000000000002", clientSecret: "another" });
    expect(await observe()).to.equal(undefined);
    expect(stage.fake.received.findLast(({ path }) => path.includes("/oauth2/"))?.text).to.contain(
      "client_secret=another",
    );
  });

  it("tells an Entra ID that is down from credentials that are wrong", async () => {
    entra(503, "temporarily_unavailable", BODY);
    expect((await productFailure("PRODUCT_UNAVAILABLE", observe())).message).to.contain("503");
  });

  it("asks for a token for the endpoint, with one slash", async () => {
    await observe();
    const token = stage.fake.received.find(({ path, method }) => path.includes("/oauth2/") && method === "POST");
    expect(new URLSearchParams(token?.text).get("scope")).to.contain(`${stage.fake.url}/.default`);
  });

  it("names the Secret and the key that is missing", async () => {
    stage.signIn({ tenantId: TENANT, clientId: "x" });
    expect((await productFailure("PRODUCT_UNAUTHENTICATED", observe())).message).to.contain(
      'Secret "azure" in namespace cosign-system has no key "clientSecret"',
    );
    stage.secrets.clear();
    expect((await productFailure("PRODUCT_UNAUTHENTICATED", observe())).message).to.contain(
      'Secret "azure" does not exist in namespace cosign-system',
    );
    stage.signIn({ tenantId: "not a tenant", clientId: "x", clientSecret: "y" });
    expect((await productFailure("PRODUCT_UNAUTHENTICATED", observe())).message).to.contain("malformed");
    expect(stage.fake.received).to.deep.equal([]);
  });

  it("takes the workload identity of its Pod, or says that it has none", async () => {
    const auth = { workloadIdentity: { tenantId: TENANT } };
    const registry = stage.registry();
    const azure = { ...registry.spec.azure, auth } as NonNullable<CacheRegistryObject["spec"]["azure"]>;
    const request = ruleRequest({ ...registry, spec: { ...registry.spec, azure } });
    const none = { AZURE_FEDERATED_TOKEN_FILE: undefined, AZURE_CLIENT_ID: undefined, AZURE_TENANT_ID: undefined };
    const restore = withEnvironment(none);
    try {
      expect((await productFailure("PRODUCT_UNAUTHENTICATED", observe(request))).message).to.contain(
        "no workload identity",
      );
      const given = withEnvironment({
        AZURE_FEDERATED_TOKEN_FILE: import.meta.filename,
        AZURE_CLIENT_ID: "the-client",
      });
      stage.restarted();
      expect(await observe(request)).to.equal(undefined);
      given();
      const token = stage.fake.received.find(({ path, method }) => path.includes("/oauth2/") && method === "POST");
      expect(new URLSearchParams(token?.text).get("client_id")).to.equal("the-client");
      expect(token?.text).to.contain("client_assertion=");
    } finally {
      restore();
    }
  });
});
