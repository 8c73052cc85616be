import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect } from "chai";
import { sharedCluster } from "../support/cluster.ts";

describe("the demo where no node can run", () => {
  before(async function () {
    this.timeout(0);
    await (await sharedCluster()).cosign(); // the build, if this is the first run, is not what is timed here
  });

  it("keeps its promises with the product as processes, and says what it leaves out", function () {
    this.timeout(180_000);
    const { KUBECONFIG: _theirs, ...env } = process.env;
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [join(import.meta.dirname, "../../hack/demo/main.ts"), "--no-node"],
      { encoding: "utf8", env: { ...env, ENTREPOT_CLUSTER: `demo-${process.pid}` }, timeout: 170_000 },
    );
    expect(status, `${stdout}\n${stderr}`).to.equal(0);
    expect(stdout).to.include("Everything came out as promised.").and.not.include("✘");
    expect(stdout).to.include("left out: the kubelet").and.include("left out: Pods that run");
  });
});
