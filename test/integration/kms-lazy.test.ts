import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect } from "chai";

const ROOT = join(import.meta.dirname, "../..");

/**
 * The packages of node_modules that a process loads which imports the operator and asks for the key at `uri` (which fails): ES modules by a
 * hook of the loader, CommonJS by its cache.
 */
async function packagesLoaded(uri: string | undefined): Promise<ReadonlySet<string>> {
  const script = `
    import { createRequire, registerHooks } from "node:module";
    const seen = new Set();
    registerHooks({ load: (url, context, next) => { seen.add(url); return next(url, context); } });
    await import(${JSON.stringify(join(ROOT, "operator/run.ts"))});
    const { createKms } = await import(${JSON.stringify(join(ROOT, "adapters/kms/client.ts"))});
    const fetch = createKms({ aws: { region: "r" }, azure: {}, google: {} }, 3000);
    const uri = ${JSON.stringify(uri ?? null)};
    if (uri !== null) await fetch(uri, new AbortController().signal).catch(() => undefined);
    const files = [...seen, ...Object.keys(createRequire(import.meta.url).cache)];
    console.log(JSON.stringify(files.map((file) => /node_modules\\/((?:@[^/]+\\/)?[^/]+)/.exec(file)?.[1] ?? "")));
    process.exit(0);
  `;
  const argv = ["--input-type=module", "--eval", script];
  const env = { PATH: process.env["PATH"], AWS_EC2_METADATA_DISABLED: "true", METADATA_SERVER_DETECTION: "none" };
  const { stdout } = await promisify(execFile)(process.execPath, argv, { cwd: ROOT, env, maxBuffer: 16 * 1024 * 1024 });
  return new Set(JSON.parse(stdout.trim().split("\n").at(-1) ?? "[]") as string[]);
}

const SDKS = ["@aws-sdk/client-kms", "@azure/identity", "@azure/keyvault-keys", "@google-cloud/kms"];

describe("The vendors' SDKs", function () {
  this.timeout(120_000);

  it("are not loaded by an operator that no policy gives a KMS key, nor by a key of Vault", async () => {
    for (const uri of [undefined, "hashivault://key"]) {
      const loaded = await packagesLoaded(uri);
      expect(loaded).to.include("undici"); // what is loaded is seen
      expect(SDKS.filter((sdk) => loaded.has(sdk))).to.deep.equal([]);
    }
  });

  it("are loaded each for its own keys alone", async () => {
    const host = "localhost:1";
    const aws = await packagesLoaded(`awskms://${host}/alias/x`);
    expect(SDKS.filter((sdk) => aws.has(sdk))).to.deep.equal(["@aws-sdk/client-kms"]);
    const azure = await packagesLoaded(`azurekms://${host}/x`);
    expect(SDKS.filter((sdk) => azure.has(sdk))).to.deep.equal(["@azure/identity", "@azure/keyvault-keys"]);
  });
});
