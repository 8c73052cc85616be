import { expect } from "chai";
import type { Fields } from "../../core/json.ts";
import { type Fault, rpcError } from "../support/artifactregistry/fake.ts";
import { failure, PARENT, raiseStage, rule, type Stage } from "../support/artifactregistry/stage.ts";

const HUB = `${PARENT}/repositories/hub`;
const VERSION = "projects/acme-cache/secrets/hub/versions/3";
const detail = (type: string, fields: Fields): Fields => ({
  "@type": `type.googleapis.com/google.rpc.${type}`,
  ...fields,
});

describe("Artifact Registry in trouble (contract fake, never run against Google; through Google's SDK)", function () {
  this.timeout(120_000);
  let stage: Stage;
  let end: () => Promise<void> = () => Promise.resolve();

  before(async function () {
    const raised = await raiseStage();
    if (raised === undefined) return this.skip();
    ({ stage, end } = raised);
  });
  after(async () => await end());
  beforeEach(() => {
    stage.upstreams = [];
    stage.fake.repositories.clear();
    stage.fake.requests.length = 0;
  });
  afterEach(() => {
    Object.assign(stage.fake, { fault: () => undefined, distort: (answer: Fields) => answer, stuck: false });
    stage.fake.refusedUsers.clear();
    stage.fake.unreachable.clear();
    stage.skip(15 * 60_000); // whatever a failed test left throttled
    expect(stage.fake.deviations.splice(0), "deviations from the contract").to.deep.equal([]);
  });

  const observe = () => stage.product.observe(stage.request(), stage.signal);
  const create = (asked = rule()) => stage.product.create(stage.request(asked), stage.signal);
  const onVerb = (verb: string, fault: Fault) => {
    stage.fake.fault = (line) => (line.startsWith(verb) ? fault : undefined);
  };

  it("is left alone by everybody for as long as it wants", async () => {
    const throttled: Fault = { ...rpcError(429, "RESOURCE_EXHAUSTED"), headers: { "retry-after": "70" } };
    onVerb("GET", throttled);
    expect((await failure("PRODUCT_THROTTLED", observe())).retryAfterMs).to.equal(70_000);
    const other = stage.request(rule({ source: "ghcr.io/*", target: "ghcr/*" }));
    for (const call of [stage.product.create(other, stage.signal), stage.product.observe(other, stage.signal)])
      expect((await failure("PRODUCT_THROTTLED", call)).retryAfterMs).to.be.within(60_000, 70_000);
    expect(stage.fake.requests).to.have.length(1);
    stage.fake.fault = () => undefined;
    stage.skip(70_001);
    expect(await observe()).to.equal(undefined);
  });

  it("is left alone for the time in google.rpc.RetryInfo", async () => {
    onVerb("GET", rpcError(429, "RESOURCE_EXHAUSTED", "SECRET-BODY", [detail("RetryInfo", { retryDelay: "12.5s" })]));
    const { retryAfterMs, reason } = await failure("PRODUCT_THROTTLED", observe());
    expect([retryAfterMs, reason]).to.deep.equal([12_500, "Throttled"]);
    stage.skip(13_000);
  });

  it("lost its answer to a create: the next look finds the repository to be ours, and no second one is made", async () => {
    onVerb("POST", "lose the answer");
    await failure("PRODUCT_UNAVAILABLE", create());
    stage.fake.fault = () => undefined;
    expect(await stage.step(stage.request(), { remoteId: HUB })).to.deep.equal({ do: "nothing", adopted: false });
    expect(stage.fake.writes).to.have.length(1);
  });

  it("is stuck while it creates: nobody waits for long, and asking again makes no second repository", async () => {
    stage.fake.stuck = true;
    await create();
    expect(stage.fake.requests.filter((line) => line.includes("/operations/"))).to.have.length(3);
    onVerb("GET", rpcError(404, "NOT_FOUND")); // not shown yet
    expect(await stage.step(stage.request(), { remoteId: HUB })).to.deep.equal({ do: "create", drift: [] });
    await failure("PRODUCT_BUSY", create());
    expect(stage.fake.repositories.size).to.equal(1);
  });

  it("is stuck while it deletes: that is said, and deleting goes on", async () => {
    await create();
    const found = await observe();
    if (found === undefined) throw new Error("it is there");
    stage.fake.stuck = true;
    const remove = () => stage.product.remove(stage.request(), found, true, stage.signal);
    expect(await remove()).to.include({ done: false, reason: "Deleting" });
    stage.fake.stuck = false;
    expect(await remove()).to.deep.equal({ done: true });
  });

  it("says what an operation failed with, whatever details it has", async () => {
    const details = [detail("RetryInfo", { retryDelay: "1s" }), { "@type": "type.googleapis.com/not.known.Type" }];
    const error = { code: 9, message: "Failed to validate remote upstream: SECRET-BODY", details };
    const operation = { name: `${PARENT}/operations/1`, done: true, error };
    stage.fake.fault = (line) =>
      line.includes("/operations/") ? { status: 200, body: JSON.stringify(operation) } : undefined;
    const { message, reason } = await failure("PRODUCT_REFUSED", create());
    expect(message).to.contain(`create ${HUB}`).and.contain("FAILED_PRECONDITION");
    expect(reason).to.equal("UpstreamUnreachable");
  });

  it("answers with lower-cased enums, and no drift is seen", async () => {
    await create(
      rule({ options: { artifactRegistry: { cleanupPolicies: [{ id: "a", action: "Delete", olderThan: "1h" }] } } }),
    );
    stage.fake.distort = (answer) =>
      JSON.parse(
        JSON.stringify(answer).replaceAll(/"(DOCKER|DOCKER_HUB|REMOTE_REPOSITORY|DELETE|ANY)"/g, (name) =>
          name.toLowerCase(),
        ),
      ) as Fields;
    const asked = rule({
      options: { artifactRegistry: { cleanupPolicies: [{ id: "a", action: "Delete", olderThan: "60m" }] } },
    });
    expect((await stage.product.observe(stage.request(asked), stage.signal))?.differences).to.deep.equal([]);
  });

  it("answers with the format in lower case: another's of another format is still not taken for ours", async () => {
    await create();
    stage.fake.distort = (answer) => ({ ...answer, format: "maven" });
    expect((await observe())?.differences).to.deep.equal([{ field: "format", correctable: false }]);
  });

  it("was faster than we: a repository that appears before ours is created is never overwritten", async () => {
    stage.fake.repositories.set(HUB, { name: HUB, format: "DOCKER", mode: "STANDARD_REPOSITORY" });
    await failure("PRODUCT_BUSY", create());
    expect(stage.fake.repositories.get(HUB)).to.have.property("mode", "STANDARD_REPOSITORY");
  });

  it("had the repository replaced between a look and its correction: the new one is not touched", async () => {
    await create();
    const found = await observe();
    if (found === undefined) throw new Error("it is there");
    stage.fake.repositories.set(HUB, {
      ...stage.fake.repositories.get(HUB),
      createTime: "2026-06-01T00:00:00Z",
      description: "x",
    });
    const asked = rule({ options: { artifactRegistry: { description: "y" } } });
    await failure("PRODUCT_BUSY", stage.product.update(stage.request(asked), found, stage.signal));
    expect(stage.fake.writes).to.have.length(1);
  });

  it("can't read the upstream with the credentials, and says what to do", async () => {
    const credentials = { secretManagerVersion: { username: "expired", passwordSecretVersion: VERSION } };
    stage.upstreams = [{ host: "docker.io", credentials }];
    stage.fake.refusedUsers.add("expired");
    const refused = await failure("PRODUCT_REFUSED", create());
    expect(refused.reason).to.equal("CredentialsUnhealthy");
    expect(refused.message).to.contain("roles/secretmanager.secretAccessor");
    stage.fake.refusedUsers.clear();
    stage.fake.unreachable.add("https://quay.example");
    const unreachable = await failure("PRODUCT_REFUSED", create(rule({ source: "quay.example/*", target: "q/*" })));
    expect(unreachable.reason).to.equal("UpstreamUnreachable");
  });

  const refusals = [
    [403, "PERMISSION_DENIED", "PRODUCT_FORBIDDEN", "artifactregistry.repositories.get"],
    [401, "UNAUTHENTICATED", "PRODUCT_UNAUTHENTICATED", "clock"],
    [400, "INVALID_ARGUMENT", "PRODUCT_REFUSED", "INVALID_ARGUMENT"],
    [409, "ABORTED", "PRODUCT_BUSY", "another operation"],
    [500, "INTERNAL", "PRODUCT_UNAVAILABLE", "INTERNAL"],
    [503, "UNAVAILABLE", "PRODUCT_UNAVAILABLE", "UNAVAILABLE"],
    [504, "DEADLINE_EXCEEDED", "PRODUCT_TIMEOUT", "DEADLINE_EXCEEDED"],
  ] as const;
  for (const [status, name, code, text] of refusals) {
    it(`says ${code} for ${name}, and nothing of its body`, async () => {
      onVerb("GET", rpcError(status, name));
      expect((await failure(code, observe())).message).to.contain(text);
    });
  }

  it("names the permission that it misses, if that is a plain word, and a disabled API", async () => {
    const info = (reason: string, permission: string) =>
      rpcError(403, "PERMISSION_DENIED", "SECRET-BODY", [
        detail("ErrorInfo", { reason, domain: "iam.googleapis.com", metadata: { permission } }),
      ]);
    onVerb("GET", info("IAM_PERMISSION_DENIED", "cloudkms.cryptoKeys.get"));
    expect((await failure("PRODUCT_FORBIDDEN", observe())).message).to.contain("needs cloudkms.cryptoKeys.get in");
    onVerb("GET", info("IAM_PERMISSION_DENIED", "<script> SECRET-BODY"));
    expect((await failure("PRODUCT_FORBIDDEN", observe())).message).to.contain("artifactregistry.repositories.get");
    onVerb("GET", info("SERVICE_DISABLED", ""));
    expect((await failure("PRODUCT_FORBIDDEN", observe())).message).to.contain(
      "enable artifactregistry.googleapis.com",
    );
  });

  const bodies: readonly (readonly [string, Fault, "PRODUCT_MALFORMED" | "PRODUCT_UNAVAILABLE"])[] = [
    ["garbage", { status: 200, body: "SECRET-BODY" }, "PRODUCT_MALFORMED"],
    ["an array", { status: 200, body: "[]" }, "PRODUCT_MALFORMED"],
    ["an empty object", { status: 200, body: "{}" }, "PRODUCT_MALFORMED"],
    [
      "another repository",
      { status: 200, body: JSON.stringify({ name: `${PARENT}/repositories/x` }) },
      "PRODUCT_MALFORMED",
    ],
    ["fields of other types", { status: 200, body: JSON.stringify({ name: HUB, createTime: 5 }) }, "PRODUCT_MALFORMED"],
    [
      "two MiB",
      { status: 200, body: JSON.stringify({ name: HUB, description: "x".repeat(2 ** 21) }) },
      "PRODUCT_MALFORMED",
    ],
    ["two MiB of refusal", { status: 403, body: "x".repeat(2 ** 21) }, "PRODUCT_MALFORMED"],
    ["a proxy's page for what is not there", { status: 404, body: "<html>SECRET-BODY" }, "PRODUCT_MALFORMED"],
    ["a proxy's page for what is down", { status: 502, body: "<html>SECRET-BODY" }, "PRODUCT_UNAVAILABLE"],
  ];
  for (const [what, fault, code] of bodies) {
    it(`gives ${what}: ${code}, and nothing is made or taken for gone`, async () => {
      onVerb("GET", fault);
      await failure(code, observe());
      expect(stage.fake.requests).to.have.length(1);
    });
  }

  it("redirects: the token goes nowhere else", async () => {
    const there: Fault = { status: 307, headers: { location: `${stage.endpoint}/v1/${HUB}` }, body: "" };
    stage.fake.fault = () => (stage.fake.requests.length === 1 ? there : undefined);
    await failure("PRODUCT_UNAVAILABLE", observe());
    expect(stage.fake.requests).to.have.length(1);
  });

  for (const fault of ["hang", "drip"] as const) {
    it(`does not answer (${fault}): the operator can stop all the same`, async () => {
      onVerb("GET", fault);
      const stop = new AbortController();
      const observing = stage.product.observe(stage.request(), stop.signal);
      while (stage.fake.requests.length === 0) await new Promise((resolve) => setImmediate(resolve));
      stop.abort(new Error("stopping"));
      expect(await observing.catch((thrown: unknown) => (thrown as Error).message)).to.equal("stopping");
    });
  }
});
