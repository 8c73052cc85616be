import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect } from "chai";

const ROOT = join(import.meta.dirname, "../..");
const SDKS = ["@azure/arm-containerregistry", "@azure/identity"];

/** The packages of node_modules that a process loads which imports the operator, makes the product, and has it do `act`. */
async function packagesLoaded(act: string): Promise<ReadonlySet<string>> {
  const script = `
    import { createRequire, registerHooks } from "node:module";
    const seen = new Set();
    registerHooks({ load: (url, context, next) => { seen.add(url); return next(url, context); } });
    await import(${JSON.stringify(join(ROOT, "operator/run.ts"))});
    const { AzureProduct } = await import(${JSON.stringify(join(ROOT, "operator/providers/azure.ts"))});
    const { systemClock: clock } = await import(${JSON.stringify(join(ROOT, "adapters/clock.ts"))});
    const { silentLog: log } = await import(${JSON.stringify(join(ROOT, "adapters/telemetry/log.ts"))});
    const product = new AzureProduct({ namespace: "n", secrets: new Map(), client: {}, clock, log });
    const azure = { subscriptionId: "s", resourceGroup: "g", registryName: "registry", endpoint: "https://localhost:1", auth: { workloadIdentity: {} } };
    const registry = { metadata: { name: "r" }, spec: { azure } };
    ${act}
    const files = [...seen, ...Object.keys(createRequire(import.meta.url).cache)];
    console.log(JSON.stringify(files.map((file) => /node_modules\\/((?:@[^/]+\\/)?[^/]+)/.exec(file)?.[1] ?? "")));
    process.exit(0);
  `;
  const env = { PATH: process.env["PATH"] };
  const argv = ["--input-type=module", "--eval", script];
  const { stdout } = await promisify(execFile)(process.execPath, argv, { cwd: ROOT, env, maxBuffer: 16 * 1024 * 1024 });
  return new Set(JSON.parse(stdout.trim().split("\n").at(-1) ?? "[]") as string[]);
}

describe("Azure's SDK for registries", function () {
  this.timeout(120_000);

  it("is not loaded by an operator without a registry on Azure", async () => {
    const loaded = await packagesLoaded("product.pullHost(registry); product.identity(registry);");
    expect(loaded).to.include("undici"); // what is loaded is seen
    expect(SDKS.filter((sdk) => loaded.has(sdk))).to.deep.equal([]);
  });

  it("is loaded when the first of them is looked at", async () => {
    const loaded = await packagesLoaded(
      "await product.prepare(registry, [], AbortSignal.timeout(9000)).catch(() => 0);",
    );
    expect(SDKS.filter((sdk) => loaded.has(sdk))).to.deep.equal(SDKS);
  });
});
