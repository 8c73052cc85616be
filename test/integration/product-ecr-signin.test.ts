import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect } from "chai";
import { ecrRegistry, ecrRequest, KEYS, productFailure } from "../support/ecr/harness.ts";
import { withFakeEcr } from "../support/ecr/suite.ts";
import { FakeHttps } from "../support/fake-https.ts";
import { withEnvironment } from "../support/kms.ts";

const ROOT = join(import.meta.dirname, "../..");
const ROLE = "arn:aws:iam::111122223333:role/entrepot";
const ASSUMED = {
  accessKeyId: "ASIAEXAMPLEEXAMPLE",
  secretAccessKey: "assumed-secret",
  sessionToken: "assumed-session",
};

/** The answer of AssumeRole as the STS API reference shows it. */
const assumeRole = (
  expiration: string,
): string => `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <AssumeRoleResult><Credentials>
    <AccessKeyId>${ASSUMED.accessKeyId}</AccessKeyId>
    <SecretAccessKey>${ASSUMED.secretAccessKey}</SecretAccessKey>
    <SessionToken>${ASSUMED.sessionToken}</SessionToken>
    <Expiration>${expiration}</Expiration>
  </Credentials></AssumeRoleResult>
</AssumeRoleResponse>`;

describe("Signing in to Amazon ECR (contract fake, through AWS's SDK, never run against AWS)", function () {
  this.timeout(120_000);
  const suite = withFakeEcr();
  let sts: FakeHttps;
  let restore: () => void = () => undefined;

  before(async () => {
    sts = new FakeHttps(suite.fake.identity);
    await sts.start();
    restore = withEnvironment({
      AWS_ACCESS_KEY_ID: KEYS.accessKeyId,
      AWS_SECRET_ACCESS_KEY: KEYS.secretAccessKey,
      AWS_SESSION_TOKEN: undefined,
      AWS_CONFIG_FILE: "/nonexistent",
      AWS_SHARED_CREDENTIALS_FILE: "/nonexistent",
      AWS_EC2_METADATA_DISABLED: "true",
      AWS_ENDPOINT_URL_STS: `https://${sts.host}`,
    });
  });
  beforeEach(() => {
    sts.received.length = 0;
  });
  after(async () => {
    restore();
    await sts?.stop();
  });

  const request = (auth: NonNullable<ReturnType<typeof ecrRegistry>["spec"]["ecr"]>["auth"]) =>
    ecrRequest({ source: "quay.io/*", target: "quay/*" }, ecrRegistry({}, { endpoint: suite.fake.endpoint, auth }));

  it("is by the SDK's default chain for a ServiceAccount", async () => {
    expect(await suite.harness.observe(request({ serviceAccount: {} }))).to.equal(undefined);
    expect(suite.fake.operations).to.deep.equal(["DescribePullThroughCacheRules"]);
  });

  it("is by a role that the operator's own identity assumes, once", async () => {
    suite.fake.keys = ASSUMED;
    const body = assumeRole(new Date(Date.now() + 3_600_000).toISOString());
    sts.answer = () => ({ status: 200, headers: { "content-type": "text/xml" }, body });
    for (let pass = 0; pass < 3; pass++)
      expect(await suite.harness.observe(request({ roleArn: ROLE }))).to.equal(undefined);
    expect(sts.received).to.have.length(1);
    const asked = new URLSearchParams(sts.received[0]?.body);
    expect([asked.get("Action"), asked.get("RoleArn")]).to.deep.equal(["AssumeRole", ROLE]);
    expect(sts.received[0]?.headers.authorization).to.contain(`${KEYS.accessKeyId}/`).and.contain("/eu-west-1/sts/");
  });

  it("by a role that may not be assumed names it, and nothing of the answer", async () => {
    const error =
      "<ErrorResponse><Error><Code>AccessDenied</Code><Message>leaked-7d1f</Message></Error></ErrorResponse>";
    sts.answer = () => ({ status: 403, headers: { "content-type": "text/xml" }, body: error });
    const { message } = await productFailure(
      "PRODUCT_UNAUTHENTICATED",
      suite.harness.observe(request({ roleArn: ROLE })),
    );
    expect(message).to.contain(ROLE).and.contain("AccessDenied").and.contain("trust policy").and.not.contain("leaked");
    expect(suite.fake.calls).to.deep.equal([]);
    expect(sts.received).to.have.length(1);
  });

  it("by a role ends when the caller does, even if nobody answers", async () => {
    sts.answer = () => ({ hang: true });
    const stop = new AbortController();
    const asked = suite.harness.product.observe(request({ roleArn: ROLE }), stop.signal);
    const thrown = asked.catch((reason: unknown) => reason);
    setTimeout(() => stop.abort(new Error("gone")), 200);
    const begun = performance.now();
    expect(await thrown).to.equal(stop.signal.reason);
    expect(performance.now() - begun).to.be.below(10_000); // and not when the call to STS is given up
  });
});

/** The packages of AWS that a process loads which runs `script` after it imported what the operator runs. */
async function loadedBy(script: string): Promise<readonly string[]> {
  const whole = `
    import { createRequire, registerHooks } from "node:module";
    const seen = new Set();
    registerHooks({ load: (url, context, next) => { seen.add(url); return next(url, context); } });
    await import(${JSON.stringify(join(ROOT, "operator/run.ts"))});
    const { EcrProduct } = await import(${JSON.stringify(join(ROOT, "operator/providers/ecr.ts"))});
    const clock = { monotonicMs: () => 0, sleep: async () => {}, now: () => new Date() };
    const data = { accessKeyId: "eA==", secretAccessKey: "eA==" };
    const product = new EcrProduct({ namespace: "sys", secrets: { get: () => ({ data }) }, clock });
    ${script}
    const files = [...seen, ...Object.keys(createRequire(import.meta.url).cache)];
    console.log(JSON.stringify(files.map((file) => /node_modules\\/((?:@[^/]+\\/)?[^/]+)/.exec(file)?.[1] ?? "")));
    process.exit(0);
  `;
  const argv = ["--input-type=module", "--eval", whole];
  const env = { PATH: process.env["PATH"], AWS_EC2_METADATA_DISABLED: "true" };
  const { stdout } = await promisify(execFile)(process.execPath, argv, { cwd: ROOT, env, maxBuffer: 16 * 1024 * 1024 });
  const loaded = new Set(JSON.parse(stdout.trim().split("\n").at(-1) ?? "[]") as string[]);
  expect(loaded.has("undici")).to.equal(true); // what is loaded is seen
  return [...loaded].filter((name) => name.startsWith("@aws-sdk/client-"));
}

describe("AWS's SDK for ECR", function () {
  this.timeout(120_000);

  it("is not loaded by an operator that has no registry of ECR, and is by one that has", async () => {
    expect(await loadedBy("")).to.deep.equal([]);
    const ecr = {
      region: "eu-west-1",
      accountId: "111122223333",
      endpoint: "https://localhost:1",
      auth: { secretRef: { name: "aws" } },
    };
    const registry = JSON.stringify({ metadata: { name: "prod" }, spec: { ecr } });
    const asked = `await product.prepare(${registry}, [], new AbortController().signal).catch(() => undefined);`;
    expect(await loadedBy(asked)).to.deep.equal(["@aws-sdk/client-ecr"]);
  });
});
