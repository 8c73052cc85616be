// The hosts.toml that `kubectl entrepot render containerd` writes, read by a real containerd.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { writeHostsFiles } from "../../cli/render-files.ts";
import { containerdFiles } from "../../core/render/containerd.ts";
import { selectRules } from "../../core/render/rules.ts";
import { ContainerdPull } from "../support/containerd-pull.ts";
import { eventually } from "../support/kube.ts";
import { MAIN_REGISTRY, namedRule } from "../support/named-rules.ts";
import { Cleanup, Distribution, digestOf, GatewayProcess } from "./gateway-harness.ts";

describe("containerd with the rendered hosts.toml", () => {
  const cleanup = new Cleanup();
  const layers = { cached: Buffer.from("cached"), undeclared: Buffer.from("undeclared"), exact: Buffer.from("exact") };
  let containerd: ContainerdPull;
  let upstream: Distribution;
  let gateway: GatewayProcess;
  let hosts: string;
  let image: { digest: string; layer: string };
  const at = (name: string): string => `localhost:${upstream.port}/${name}`;

  before(async function () {
    this.timeout(0); // the first time on a machine distribution is built
    const started = await ContainerdPull.start();
    if (started === undefined) {
      console.log("      skipped: this machine has no containerd, and root to run it, to pull with");
      return this.skip();
    }
    containerd = started;
    cleanup.add(() => containerd.stop());
    upstream = await Distribution.start(cleanup);
    const cache = await Distribution.start(cleanup, { upstream });
    image = await upstream.pushImage("acme/app", "v1", layers.cached);
    await upstream.pushImage("other/app", "v1", layers.undeclared);
    await upstream.pushImage("tools/jq", "v1", layers.exact);
    const host = `localhost:${upstream.port}`;
    gateway = await GatewayProcess.start(cleanup, { registry: "main", origins: { [host]: cache.origin } });
    const rules = [
      namedRule(`${host}/acme/*`, "hub/acme/*", { host: new URL(gateway.origin).host }),
      namedRule(`${host}/tools/jq`, "hub/tools/jq", { host: new URL(gateway.origin).host }),
    ];
    await gateway.setRules(rules);
    hosts = mkdtempSync(join(tmpdir(), "entrepot-hosts-"));
    cleanup.add(() => rmSync(hosts, { recursive: true, force: true }));
    const files = containerdFiles(selectRules(rules, [MAIN_REGISTRY]), [MAIN_REGISTRY]);
    expect(files.notExpressed).to.deep.equal([]);
    const said = await writeHostsFiles(hosts, files);
    expect(said).to.equal(`wrote ${join(hosts, `localhost_${upstream.port}_`, "hosts.toml")}`);
  });
  after(() => cleanup.run());
  beforeEach(() => containerd.empty());

  const asked = (): number => upstream.requests.filter((line) => line.includes("containerd/")).length;

  it("pulls the upstream's name through the gateway", async () => {
    expect(await containerd.fetch(at("acme/app:v1"), hosts)).to.include.members([image.digest, image.layer]);
    expect(digestOf(containerd.read(image.layer))).to.equal(digestOf(layers.cached));
    await containerd.fetch(at("tools/jq:v1"), hosts);
    expect(asked()).to.equal(0);
  });

  it("pulls what no rule names from the upstream", async () => {
    await containerd.fetch(at("other/app:v1"), hosts);
    expect(asked()).to.be.above(0);
  });

  it("pulls a cached image while the upstream is switched off, which it can't without the file", async () => {
    const blob = `/v2/hub/acme/app/blobs/${image.layer}`;
    await eventually("the cache has stored the layer", async () => {
      const answer = await gateway.get(blob, { headers: { range: "bytes=0-0" } });
      return answer.status === 206; // as it answers only from its own storage
    });
    await upstream.stop();
    expect(await containerd.fetch(at("acme/app:v1"), hosts)).to.include(image.layer);
    await containerd.empty();
    expect(await containerd.fails(at("acme/app:v1"))).to.include("connection refused");
    await upstream.run();
  });
});
