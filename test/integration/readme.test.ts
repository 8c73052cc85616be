import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { established } from "../support/install.ts";

const ROOT = join(import.meta.dirname, "../..");
const README = readFileSync(join(ROOT, "README.md"), "utf8");
const BLOCKS = [...README.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, block = ""]) => block);

describe("the README", () => {
  const env = { ...process.env, ENTREPOT_CLUSTER: `readme-${process.pid}` };
  const cluster = (...args: readonly string[]) =>
    spawnSync(join(ROOT, "hack/cluster"), args, { cwd: ROOT, env, encoding: "utf8", timeout: 120_000 });

  const kubectl = async (args: readonly string[]) => {
    const { status, stdout, stderr } = cluster("exec", "--", "kubectl", ...args);
    if (status !== 0) throw new Error(stderr);
    return stdout;
  };

  before(function () {
    this.timeout(0);
    const { status, stderr } = cluster("up", "--no-node", "--bare");
    expect(status, stderr).to.equal(0);
  });

  after(function () {
    this.timeout(120_000);
    cluster("down");
  });

  it("names only targets that the Makefile has", () => {
    const { stdout } = spawnSync("make", ["help"], { cwd: ROOT, encoding: "utf8" });
    const named = [...README.matchAll(/`(?:KEEP=1 )?make ([a-z-]+)/g), ...README.matchAll(/^make ([a-z-]+)/gm)];
    expect(named.length).to.be.greaterThan(3);
    for (const [, target = ""] of named) expect(stdout).to.match(new RegExp(`^\\s+${target} `, "m"));
  });

  for (const [index, block] of BLOCKS.filter((text) => text.startsWith("kubectl")).entries()) {
    it(`has commands that work: ${block.split("\n")[0]?.slice(0, 60)} (${index + 1})`, async function () {
      this.timeout(120_000);
      const { status, stdout, stderr } = cluster("exec", "--", "bash", "-euo", "pipefail", "-c", block);
      expect(status, `${stdout}\n${stderr}`).to.equal(0);
      await established({ kubectl }); // who pastes the next block has waited a moment
    });
  }
});
