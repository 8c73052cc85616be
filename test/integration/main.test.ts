import { spawn } from "node:child_process";
import { join } from "node:path";
import { expect } from "chai";

const MAIN = join(import.meta.dirname, "../../main.ts");

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

async function entrepot(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ended> {
  const child = spawn(process.execPath, [MAIN, ...args], { env: { PATH: process.env["PATH"], ...env } });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  return await new Promise((resolve, reject) => {
    child.on("error", reject).on("close", (code) => resolve({ code, stdout, stderr }));
  });
}

describe("The program", () => {
  it("says its version", async () => {
    const { code, stdout } = await entrepot(["--version"]);
    expect(stdout).to.match(/^entrepot \d+\.\d+\.\d+\S*\n$/);
    expect(code).to.equal(0);
  });

  for (const args of [[], ["serve"], ["constructor"], ["--help"]]) {
    it(`answers ${JSON.stringify(args)} with its usage, on stderr, and exit code 2`, async () => {
      expect(await entrepot(args)).to.eql({
        code: 2,
        stdout: "",
        stderr: "Usage: entrepot operator | webhook | gateway | --version\n",
      });
    });
  }

  it("ends with exit code 1 and the reason, as one line of JSON, when a part cannot start", async () => {
    const env = { KUBECONFIG: join(import.meta.dirname, "no-such-kubeconfig"), REGISTRY_NAME: "a" };
    const { code, stderr } = await entrepot(["gateway"], env);
    expect(code).to.equal(1);
    expect(JSON.parse(stderr)).to.deep.include({ level: 60, msg: "failed, ending" });
    expect(stderr).to.contain("no-such-kubeconfig");
  });
}).timeout(20_000);
