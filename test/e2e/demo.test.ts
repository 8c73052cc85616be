import { join } from "node:path";
import { expect } from "chai";
import { type ClusterHandle, requireNode, sharedCluster } from "../support/cluster.ts";

describe("the demo", () => {
  let cluster: ClusterHandle;
  before(async function () {
    this.timeout(0);
    cluster = await sharedCluster();
    requireNode(this, cluster);
  });

  it("keeps its promises", async function () {
    this.timeout(600_000);
    const story = join(import.meta.dirname, "../../hack/demo/story.ts");
    const { code, stdout, stderr } = await cluster.run([process.execPath, story], { timeoutMs: 580_000 });
    expect(code, `${stdout}\n${stderr}`).to.equal(0);
    expect(stdout).to.include("Everything came out as promised.").and.not.include("✘");
    expect(stdout.match(/✔/g)).to.have.length(20);
  });
});
