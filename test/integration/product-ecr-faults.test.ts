import { expect } from "chai";
import type { ProductErrorCode } from "../../adapters/products/errors.ts";
import type { Reason } from "../../crds/index.ts";
import { type Fault, LEAK } from "../support/ecr/fake.ts";
import { EcrHarness, ecrRegistry, ecrRequest, KEYS, productFailure } from "../support/ecr/harness.ts";
import { withFakeEcr } from "../support/ecr/suite.ts";
import { withEnvironment } from "../support/kms.ts";

type Case = readonly [type: string, status: number, code: ProductErrorCode, reason: Reason, words: string];

const CREATE: readonly Case[] = [
  ["LimitExceededException", 400, "PRODUCT_REFUSED", "LimitExceeded", "50 rules"],
  ["PullThroughCacheRuleAlreadyExistsException", 400, "PRODUCT_BUSY", "Updating", "meanwhile"],
  ["UnsupportedUpstreamRegistryException", 400, "PRODUCT_REFUSED", "UnsupportedUpstream", "another registry"],
  ["SecretNotFoundException", 400, "PRODUCT_UNAVAILABLE", "SecretNotFound", "secretsManagerArn"],
  ["UnableToAccessSecretException", 400, "PRODUCT_UNAVAILABLE", "Unhealthy", "secretsmanager:GetSecretValue"],
  ["UnableToDecryptSecretValueException", 400, "PRODUCT_UNAVAILABLE", "Unhealthy", "kms:Decrypt"],
  ["ValidationException", 400, "PRODUCT_REFUSED", "InvalidSpec", "docs/providers/ecr.md"],
  ["InvalidParameterException", 400, "PRODUCT_REFUSED", "InvalidSpec", "docs/providers/ecr.md"],
  ["ServerException", 500, "PRODUCT_UNAVAILABLE", "RemoteError", "failed"],
  ["AccessDeniedException", 400, "PRODUCT_FORBIDDEN", "SignInFailed", "ecr:CreatePullThroughCacheRule"],
  ["ThrottlingException", 400, "PRODUCT_THROTTLED", "Throttled", "too many"],
  ["ExpiredTokenException", 400, "PRODUCT_UNAUTHENTICATED", "SignInFailed", "expired"],
  ["UnrecognizedClientException", 400, "PRODUCT_UNAUTHENTICATED", "SignInFailed", "access key"],
  ["InvalidSignatureException", 400, "PRODUCT_UNAUTHENTICATED", "SignInFailed", "clocks"],
  ["UnknownOperationException", 400, "PRODUCT_REFUSED", "RemoteError", "spec.ecr.region"],
];

describe("Amazon ECR's failures (contract fake by botocore's model, through AWS's SDK, never run against AWS)", function () {
  this.timeout(120_000);
  const suite = withFakeEcr();
  const request = (of = ecrRegistry({}, { endpoint: suite.fake.endpoint })) =>
    ecrRequest({ source: "docker.io/*", target: "hub/*" }, of);
  const create = async (of = request()) => await suite.harness.product.create(of, suite.harness.signal);
  const failWith = (fault: Fault, when = /^CreatePull/): void => {
    suite.fake.fault = (operation) => (when.test(operation) ? fault : undefined);
  };

  for (const [type, status, code, reason, words] of CREATE) {
    it(`are ${code} with the reason ${reason} for ${type}, without ECR's text`, async () => {
      failWith({ kind: "error", type, status });
      const failure = await productFailure(code, create());
      expect(failure.reason).to.equal(reason);
      expect(failure.message).to.contain(words).and.not.contain(LEAK);
      expect(suite.fake.operations.filter((name) => name.startsWith("CreatePull"))).to.have.length(1); // once
    });
  }

  it("of throttling keep everybody away for as long as Retry-After says", async () => {
    failWith({ kind: "error", type: "ThrottlingException", headers: { "retry-after": "30" } }, /./);
    expect((await productFailure("PRODUCT_THROTTLED", suite.harness.observe(request()))).retryAfterMs).to.equal(30_000);
    const { length } = suite.fake.calls;
    const other = ecrRequest({ source: "quay.io/*", target: "quay/*" }, request().registry, "other");
    const refused = await productFailure("PRODUCT_THROTTLED", suite.harness.observe(other));
    expect(refused.retryAfterMs).to.be.within(1, 30_000);
    expect(suite.fake.calls).to.have.length(length);
    suite.fake.fault = () => undefined;
    suite.harness.aheadMs += 31_000;
    expect(await suite.harness.observe(other)).to.equal(undefined);
  });

  it("of a lost answer to a creation make no second rule and no stranger of ours", async () => {
    failWith({ kind: "cut", done: true });
    const lost = await productFailure("PRODUCT_UNAVAILABLE", suite.harness.step(request()));
    expect(lost.message).to.match(/ECONNRESET|EPIPE|UND_ERR/);
    expect([...suite.fake.state.rules.keys()]).to.deep.equal(["hub"]);
    suite.fake.fault = () => undefined;
    const { length } = suite.fake.writes;
    expect(await suite.harness.step(request())).to.deep.equal({ do: "nothing", adopted: false });
    expect(suite.fake.writes).to.have.length(length);
  });

  it("of a creation that never arrived are made good", async () => {
    failWith({ kind: "cut", done: false });
    await productFailure("PRODUCT_UNAVAILABLE", suite.harness.step(request()));
    suite.fake.fault = () => undefined;
    expect((await suite.harness.step(request())).do).to.equal("create");
    expect((await suite.harness.step(request())).do).to.equal("nothing");
  });

  for (const kind of ["hang", "stall"] as const) {
    it(`of an answer that never ${kind === "hang" ? "comes" : "ends"} end when the caller does`, async () => {
      failWith({ kind }, /./);
      const stop = new AbortController();
      const asked = suite.harness.product.observe(request(), stop.signal).catch((thrown: unknown) => thrown);
      setTimeout(() => stop.abort(new Error("gone")), 200);
      expect(await asked).to.equal(stop.signal.reason);
    });
  }

  const garbage: readonly (readonly [string, string | Buffer, number])[] = [
    ["no JSON", `<html>${LEAK}</html>`, 200],
    ["no list of rules", JSON.stringify({ message: LEAK }), 200],
    ["a date that is none", JSON.stringify({ pullThroughCacheRules: [{ createdAt: LEAK }] }), 200],
    ["two mebibytes", JSON.stringify({ pullThroughCacheRules: [], nextToken: "x".repeat(2 * 1024 * 1024) }), 200],
  ];
  for (const [what, body, status] of garbage) {
    it(`of an answer that is ${what} are PRODUCT_MALFORMED, and nothing is written`, async () => {
      failWith({ kind: "body", body, status }, /./);
      const { message } = await productFailure("PRODUCT_MALFORMED", suite.harness.step(request()));
      expect(message).to.not.contain(LEAK);
      expect(suite.fake.writes).to.deep.equal([]);
    });
  }

  it("of an HTML page from a proxy are told by its status", async () => {
    failWith({ kind: "body", body: `<html>${LEAK}</html>`, status: 503 }, /./);
    const { message } = await productFailure("PRODUCT_UNAVAILABLE", suite.harness.observe(request()));
    expect(message).to.contain("503").and.not.contain(LEAK);
  });

  it("of signing in name what is wrong, and end when the Secret is mended", async () => {
    const wrong = { ...KEYS, secretAccessKey: "of-another-user" };
    suite.harness.sign(wrong);
    const { message } = await productFailure("PRODUCT_UNAUTHENTICATED", suite.harness.observe(request()));
    expect(message).to.contain("InvalidSignatureException").and.not.contain(wrong.secretAccessKey);
    suite.harness.sign(KEYS);
    expect(await suite.harness.observe(request())).to.equal(undefined);
    const session = { ...KEYS, sessionToken: "a-session" };
    suite.fake.keys = session;
    await productFailure("PRODUCT_UNAUTHENTICATED", suite.harness.observe(request()));
    suite.harness.sign(session);
    expect(await suite.harness.observe(request())).to.equal(undefined);
  });

  it("of a Secret that is missing, or lacks a key, name it and ask AWS nothing", async () => {
    const before = suite.fake.calls.length;
    const keyless = new EcrHarness({ ...KEYS, secretAccessKey: "" });
    const lacking = await productFailure("PRODUCT_UNAUTHENTICATED", keyless.observe(request()));
    expect(lacking.message).to.contain('"aws"').and.contain("sys").and.contain('"secretAccessKey"');
    keyless.secrets.clear();
    const missing = await productFailure("PRODUCT_UNAUTHENTICATED", keyless.observe(request()));
    expect(missing.message).to.contain('Secret "aws" does not exist in namespace sys');
    expect(missing.reason).to.equal("SecretNotFound");
    expect(suite.fake.calls).to.have.length(before);
  });

  it("of the default chain without an identity, and of an endpoint that is not there, say what to do", async () => {
    const none = { AWS_EC2_METADATA_DISABLED: "true", AWS_CONFIG_FILE: "/nonexistent" };
    const file = { AWS_SHARED_CREDENTIALS_FILE: "/nonexistent", AWS_ACCESS_KEY_ID: undefined, HOME: "/nonexistent" };
    const restore = withEnvironment({ ...none, ...file });
    try {
      const chain = ecrRegistry({}, { endpoint: suite.fake.endpoint, auth: { serviceAccount: {} } });
      const unsigned = await productFailure("PRODUCT_UNAUTHENTICATED", suite.harness.observe(request(chain)));
      expect(unsigned.message).to.contain("IRSA or EKS Pod Identity");
      const elsewhere = ecrRegistry({}, { endpoint: "https://localhost:1" });
      const gone = await productFailure("PRODUCT_UNAVAILABLE", suite.harness.observe(request(elsewhere)));
      expect(gone.message).to.contain("ECONNREFUSED").and.contain("spec.ecr.endpoint");
    } finally {
      restore();
    }
  });
});
