import { expect } from "chai";
import { ociConformanceSuite, parseJunit, runOciConformance, type Spec } from "../support/oci-conformance.ts";
import { acceptedRule, Cleanup, Distribution, GatewayProcess } from "./gateway-harness.ts";

describe("The conformance suite of the OCI distribution specification against the gateway", () => {
  const cleanup = new Cleanup();
  let env: Record<string, string>;
  let suite: string;

  before(async function () {
    this.timeout(0); // the first time on a machine distribution is built
    const found = ociConformanceSuite();
    if (found === undefined) {
      console.log("      skipped: OCI_CONFORMANCE does not name the suite's executable (docs/oci.md)");
      return this.skip();
    }
    suite = found;
    const upstream = await Distribution.start(cleanup);
    const cache = await Distribution.start(cleanup, { upstream });
    const image = await upstream.pushImage("acme/app", "v1", Buffer.from("layer"));
    for (const tag of ["test0", "test1", "test2", "test3"])
      await upstream.pushImage("acme/app", tag, Buffer.from("layer"));
    const host = new URL(upstream.origin).host;
    const gateway = await GatewayProcess.start(cleanup, {
      registry: "main",
      origins: { [host]: cache.origin },
    });
    await gateway.setRules([acceptedRule("app", `${host}/acme/app`, "demo-app")]);
    env = {
      OCI_ROOT_URL: gateway.origin,
      OCI_NAMESPACE: "demo-app",
      OCI_BLOB_DIGEST: image.config,
      OCI_MANIFEST_DIGEST: image.digest,
      OCI_TAG_NAME: "v1",
      OCI_TAG_LIST: "test0,test1,test2,test3",
    };
  });
  after(() => cleanup.run());

  const failed = (specs: readonly Spec[]): string[] =>
    specs.filter(({ status }) => status !== "passed").map(({ name }) => name);

  it("passes every specification of the workflow Pull", async () => {
    const specs = await runOciConformance(suite, { ...env, OCI_TEST_PULL: "1" });
    expect(failed(specs)).to.deep.equal([]);
    expect(specs.filter(({ name }) => name.startsWith("Pull Pull "))).to.have.length(12);
    expect(specs.filter(({ name }) => name.startsWith("Pull Error codes"))).to.have.length(1);
  });

  it("passes those of Content Discovery that ask for what is there; three want what the suite itself would push", async () => {
    const specs = await runOciConformance(suite, { ...env, OCI_TEST_CONTENT_DISCOVERY: "1" });
    const about = "Content Discovery Test content discovery endpoints ";
    expect(specs.filter(({ name }) => name.startsWith(`${about}(listing tags)`))).to.have.length(3);
    expect(specs.filter(({ name }) => name.startsWith(`${about}(listing references)`))).to.have.length(4);
    // Their referrers are made by the suite's set-up, at random, and nothing is pushed to a cache.
    expect(failed(specs)).to.deep.equal(
      ["existing blob", "existing blob with filter", "missing manifest"].map(
        (what) => `${about}(listing references) GET request to ${what} should yield 200`,
      ),
    );
  });

  it("control: the suite sees a repository that is not there", async () => {
    const specs = await runOciConformance(suite, { ...env, OCI_TEST_PULL: "1", OCI_NAMESPACE: "undeclared" });
    expect(failed(specs)).to.include("Pull Pull blobs GET request to existing blob URL should yield 200");
  });
});

describe("A JUnit report of Ginkgo", () => {
  it("is read without what was skipped", () => {
    const testcase = (name: string, status: string): string =>
      `<testcase name="OCI Distribution Conformance Tests ${name}" classname="x" status="${status}" time="1"></testcase>`;
    const report = `<testsuite>${testcase("Pull a", "passed")}${testcase("b", "skipped")}${testcase("c", "failed")}</testsuite>`;
    expect(parseJunit(report)).to.deep.equal([
      { name: "Pull a", status: "passed" },
      { name: "c", status: "failed" },
    ]);
  });
});
