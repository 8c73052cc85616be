import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect } from "chai";
import { systemClock } from "../../adapters/clock.ts";
import { openArtifactRegistry } from "../../adapters/products/artifactregistry.ts";
import { serviceAccountKey } from "../../adapters/products/artifactregistry-key.ts";
import { CallGate } from "../../adapters/products/gate.ts";
import { rpcError } from "../support/artifactregistry/fake.ts";
import {
  failure,
  keyFile,
  PARENT,
  raiseStage,
  SECRETS_NAMESPACE,
  type Stage,
  secret,
} from "../support/artifactregistry/stage.ts";
import { withEnvironment } from "../support/kms.ts";

const ROOT = join(import.meta.dirname, "../..");

describe("Signing in to Artifact Registry (contract fake, never run against Google; through Google's SDK)", function () {
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
    stage.setKey(keyFile());
    stage.fake.requests.length = 0;
  });
  afterEach(() => {
    stage.fake.fault = () => undefined;
    expect(stage.fake.deviations.splice(0), "deviations from the contract").to.deep.equal([]);
  });

  const prepare = () => stage.product.prepare(stage.registry(), [], stage.signal);

  it("works with a service account key, which signs its own tokens", async () => {
    expect(await prepare()).to.deep.equal({ ready: { done: true }, upstreams: [] });
    expect(stage.fake.requests).to.deep.equal([
      `GET /v1/${PARENT}/repositories?pageSize=1&$alt=json%3Benum-encoding=int`,
    ]);
  });

  it("says for upstreams with credentials that it can't tell of their health", async () => {
    const credentials = {
      secretManagerVersion: { username: "u", passwordSecretVersion: "projects/p/secrets/s/versions/1" },
    };
    const upstreams = [{ host: "index.docker.io", used: true, entry: { host: "docker.io", credentials } }];
    const outcome = await stage.product.prepare(stage.registry(), upstreams, stage.signal);
    expect(outcome.credentials?.status).to.equal("Unknown");
    expect(outcome.upstreams).to.deep.equal([{ host: "docker.io", health: "Unknown" }]);
  });

  it("fails with a key that was revoked, and works as soon as the Secret has a new one", async () => {
    stage.fake.fault = () => rpcError(401, "UNAUTHENTICATED");
    expect((await failure("PRODUCT_UNAUTHENTICATED", prepare())).reason).to.equal("SignInFailed");
    stage.fake.fault = () => undefined;
    stage.setKey(keyFile({ private_key_id: "renewed" }));
    expect((await prepare()).ready.done).to.equal(true);
  });

  const keys: readonly (readonly [string, Readonly<Record<string, string>> | undefined, string])[] = [
    ["no Secret", undefined, `Secret "google" does not exist in namespace ${SECRETS_NAMESPACE}`],
    ["a Secret without key.json", { "key.jason": "x" }, 'has no key "key.json"'],
    ["no JSON", { "key.json": "SECRET-BODY" }, "no service account key"],
    [
      "credentials that name a program",
      { "key.json": keyFile({ type: "external_account", credential_source: { executable: {} } }) },
      "external_account",
    ],
    [
      "a token_uri without TLS",
      { "key.json": keyFile({ token_uri: "http://oauth2.googleapis.com/token" }) },
      "token_uri",
    ],
    [
      "a foreign token_uri",
      { "key.json": keyFile({ token_uri: "https://oauth2.googleapis.com.evil.example/token" }) },
      "token_uri",
    ],
    ["a private key that is none", { "key.json": keyFile({ private_key: "SECRET-BODY" }) }, "private_key"],
    ["a cloud that is no domain", { "key.json": keyFile({ universe_domain: "x/y" }) }, "universe_domain"],
  ];
  for (const [what, data, text] of keys) {
    it(`refuses ${what} without a call, naming the Secret and not its content`, async () => {
      if (data === undefined) stage.secrets.clear();
      else stage.secrets.set(`${SECRETS_NAMESPACE}/google`, secret("google", data));
      const { message } = await failure("PRODUCT_UNAUTHENTICATED", prepare());
      expect(message).to.contain(text).and.contain(SECRETS_NAMESPACE).and.contain("google").and.contain("key.json");
      expect(stage.fake.requests).to.deep.equal([]);
    });
  }

  const gate = (deadlineMs = 10_000) => new CallGate({ clock: systemClock, deadlineMs });

  it("needs an endpoint for the key of another cloud, and an endpoint is a server and nothing more", async () => {
    const elsewhere = serviceAccountKey(keyFile({ universe_domain: "sovereign.example" }), "key");
    await failure("PRODUCT_REFUSED", openArtifactRegistry({ key: elsewhere }, gate(), stage.signal));
    const api = await openArtifactRegistry({ key: elsewhere, endpoint: stage.endpoint }, gate(), stage.signal);
    await api.check(PARENT, stage.signal);
    for (const endpoint of ["https://h/v1", "https://u:p@h", "http://h", "https://h?x=y", "h"])
      await failure("PRODUCT_REFUSED", openArtifactRegistry({ endpoint }, gate(), stage.signal));
  });

  for (const fault of ["hang", "drip"] as const) {
    it(`gives up a call that is not answered (${fault}) at its deadline`, async () => {
      const key = serviceAccountKey(keyFile(), "key");
      const api = await openArtifactRegistry({ key, endpoint: stage.endpoint }, gate(300), stage.signal);
      stage.fake.fault = () => fault;
      await failure("PRODUCT_TIMEOUT", api.check(PARENT, stage.signal));
    });
  }

  describe("with Application Default Credentials", () => {
    let folder: string;
    let restore: () => void = () => undefined;
    const environment = (credentials: string | undefined) =>
      withEnvironment({
        GOOGLE_APPLICATION_CREDENTIALS: credentials,
        METADATA_SERVER_DETECTION: "none",
        HOME: folder,
        GCE_METADATA_HOST: undefined,
        K_SERVICE: undefined,
      });
    const check = async () => {
      const api = await openArtifactRegistry({ endpoint: stage.endpoint }, gate(), stage.signal);
      await api.check(PARENT, stage.signal);
    };
    before(() => {
      folder = mkdtempSync(join(tmpdir(), "entrepot-gar-"));
    });
    afterEach(() => restore());
    after(() => rmSync(folder, { recursive: true, force: true }));

    it("works as it is, and what is read is bounded as with a key", async () => {
      writeFileSync(join(folder, "key.json"), keyFile());
      restore = environment(join(folder, "key.json"));
      await check();
      stage.fake.fault = () => ({ status: 200, body: "x".repeat(2 ** 21) });
      await failure("PRODUCT_MALFORMED", check());
    });

    it("says so where there are none", async () => {
      restore = environment(undefined);
      expect((await failure("PRODUCT_UNAUTHENTICATED", check())).message).to.contain("workload identity");
    });
  });

  it("loads the SDK only when a registry of the kind is used", async () => {
    const SDKS = ["@google-cloud/artifact-registry", "google-auth-library", "google-gax"];
    const loaded = async (use: boolean): Promise<readonly string[]> => {
      const script = `
        import { createRequire, registerHooks } from "node:module";
        const seen = new Set();
        registerHooks({ load: (url, context, next) => { seen.add(url); return next(url, context); } });
        await import(${JSON.stringify(join(ROOT, "operator/run.ts"))});
        const { ArtifactRegistryProduct } = await import(${JSON.stringify(join(ROOT, "operator/providers/artifactregistry.ts"))});
        const { systemClock } = await import(${JSON.stringify(join(ROOT, "adapters/clock.ts"))});
        const product = new ArtifactRegistryProduct({ namespace: "n", secrets: new Map(), clock: systemClock });
        const auth = { workloadIdentity: {} };
        const registry = { metadata: { name: "r" }, spec: { artifactRegistry: { project: "p", location: "l", endpoint: "https://localhost:1", auth } } };
        product.pullHost(registry);
        if (${use}) await product.prepare(registry, [], new AbortController().signal).catch(() => undefined);
        const files = [...seen, ...Object.keys(createRequire(import.meta.url).cache)];
        console.log(JSON.stringify(files.map((file) => /node_modules\\/((?:@[^/]+\\/)?[^/]+)/.exec(file)?.[1] ?? "")));
        process.exit(0);`;
      const env = { PATH: process.env["PATH"], METADATA_SERVER_DETECTION: "none" };
      const argv = ["--input-type=module", "--eval", script];
      const { stdout } = await promisify(execFile)(process.execPath, argv, { cwd: ROOT, env, maxBuffer: 2 ** 24 });
      const names = new Set(JSON.parse(stdout.trim().split("\n").at(-1) ?? "[]") as string[]);
      expect(names).to.include("undici"); // what is loaded is seen
      return SDKS.filter((name) => names.has(name));
    };
    expect(await loaded(false)).to.deep.equal([]);
    expect(await loaded(true)).to.deep.equal(SDKS);
  });
});
