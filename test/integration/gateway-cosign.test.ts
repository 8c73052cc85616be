import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { Cosign, type KeyPair, type SignatureForm } from "../support/cosign.ts";
import { acceptedRule, Cleanup, Distribution, GatewayProcess } from "./gateway-harness.ts";

describe("cosign through the gateway", () => {
  const cleanup = new Cleanup();
  let cosign: Cosign;
  let keys: KeyPair;
  let upstream: Distribution;
  let cache: string;
  let gateway: GatewayProcess;

  before(async function () {
    this.timeout(0); // the first time on a machine cosign is built
    cosign = await Cosign.create();
    cleanup.add(() => cosign.dispose());
    keys = await cosign.generateKeyPair("gateway");
    writeFileSync(join(keys.key, "../gateway.pub"), keys.publicKey);
    upstream = await Distribution.start(cleanup);
    const proxy = await Distribution.start(cleanup, { upstream });
    gateway = await GatewayProcess.start(cleanup, {
      registry: "main",
      origins: { "registry.local:5000": proxy.origin },
    });
    await gateway.setRules([acceptedRule("apps", "registry.local:5000/acme/*", "hub/*")]);
    cache = `${new URL(gateway.origin).host}/hub`;
  });
  after(() => cleanup.run());

  async function verify(image: string, ...flags: string[]): Promise<string> {
    const key = join(keys.key, "../gateway.pub");
    return await cosign.run(
      "verify",
      "--key",
      key,
      "--insecure-ignore-tlog=true",
      "--private-infrastructure=true",
      ...flags,
      image,
    );
  }

  const forms: [SignatureForm, string[]][] = [
    ["classic", ["--new-bundle-format=false"]],
    ["bundle", ["--new-bundle-format=true"]],
    ["referrer", ["--new-bundle-format=false", "--experimental-oci11=true"]],
  ];
  for (const [form, flags] of forms) {
    it(`verifies a signature of the form ${form}`, async () => {
      const { digest } = await upstream.pushImage(`acme/${form}`, "v1", Buffer.from(form));
      const address = `${new URL(upstream.origin).host}/acme/${form}@${digest}`;
      await cosign.sign(address, keys, form);
      expect(await verify(`${cache}/${form}@${digest}`, ...flags)).to.include(digest);
    });
  }

  it("refuses an image without a signature", async () => {
    const { digest } = await upstream.pushImage("acme/unsigned", "v1", Buffer.from("unsigned"));
    const refused = await verify(`${cache}/unsigned@${digest}`, "--new-bundle-format=false").then(
      () => "verified",
      (thrown: Error) => thrown.message,
    );
    expect(refused).to.match(/no signatures found/);
  });

  it("does not take an outage of the upstream for the absence of a signature", async () => {
    const { digest } = await upstream.pushImage("acme/outage", "v1", Buffer.from("outage"));
    await upstream.stop();
    const condition = { type: "UpstreamReachable", status: "False", message: "connection refused" };
    await gateway.setRules([acceptedRule("apps", "registry.local:5000/acme/*", "hub/*", [condition])]);
    const refused = await verify(`${cache}/outage@${digest}`, "--new-bundle-format=false").then(
      () => "verified",
      (thrown: Error) => thrown.message,
    );
    expect(refused)
      .to.match(/upstream cannot be asked/)
      .and.not.match(/no signatures found/);
  });
});
