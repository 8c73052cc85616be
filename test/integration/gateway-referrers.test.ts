import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { Cosign, type KeyPair } from "../support/cosign.ts";
import { pushReferrer, SBOM_TYPE } from "../support/multi-arch.ts";
import { ReferrersRegistry } from "../support/referrers-registry.ts";
import { pushTinyImage, putManifest } from "../support/registry.ts";
import { acceptedRule, Cleanup, Distribution, digestOf, GatewayProcess, OCI_INDEX } from "./gateway-harness.ts";

interface Listed {
  readonly digest: string;
  readonly artifactType: string;
}

interface Manifest {
  readonly artifactType: string;
  readonly layers: readonly { readonly digest: string }[];
}

const ONES = `sha256:${"1".repeat(64)}`;
const AWAY = /cannot be reached|did not answer/;

async function listed(gateway: GatewayProcess, repository: string, digest: string, query = "", method = "GET") {
  const answer = await gateway.get(`/v2/${repository}/referrers/${digest}${query}`, { method });
  const text = answer.body.toString();
  const { manifests = [] } = (text === "" ? {} : JSON.parse(text)) as { manifests?: Listed[] };
  return { ...answer, manifests, message: answer.errors[0]?.message ?? "" };
}

async function refused(verifying: Promise<string>): Promise<string> {
  return await verifying.then(
    () => "verified",
    (thrown: Error) => thrown.message,
  );
}

describe("Referrers through the gateway, of an upstream that has the API (go-containerregistry's registry)", () => {
  const cleanup = new Cleanup();
  let cosign: Cosign;
  let keys: KeyPair;
  let upstream: ReferrersRegistry;
  let gateway: GatewayProcess;
  let signed: string;
  let unsigned: string;

  before(async function () {
    this.timeout(0); // the first time on a machine cosign and the registries are built
    cosign = await Cosign.create();
    cleanup.add(() => cosign.dispose());
    keys = await cosign.generateKeyPair("referrers");
    writeFileSync(join(keys.key, "../referrers.pub"), keys.publicKey);
    upstream = await ReferrersRegistry.start();
    cleanup.add(() => upstream.stop());
    const proxy = await Distribution.start(cleanup, { upstream });
    signed = await pushTinyImage(upstream.store, "acme/app", "signed");
    unsigned = await pushTinyImage(upstream.store, "acme/app", "unsigned");
    await cosign.sign(`${upstream.host}/acme/app@${signed}`, keys, "bundle");
    gateway = await GatewayProcess.start(cleanup, { registry: "main", origins: { [upstream.host]: proxy.origin } });
    await gateway.setRules([acceptedRule("app", `${upstream.host}/acme/app`, "app")]);
  });
  after(() => cleanup.run());

  const verify = async (digest: string): Promise<string> => {
    const key = join(keys.key, "../referrers.pub");
    const image = `${new URL(gateway.origin).host}/app@${digest}`;
    const offline = ["--insecure-ignore-tlog=true", "--private-infrastructure=true", "--new-bundle-format=true"];
    return await cosign.run("verify", "--key", key, ...offline, image);
  };

  it("lists a signature for which there is no referrers tag, and its manifest and blobs are pulled", async () => {
    const tag = await fetch(`${upstream.origin}/v2/acme/app/manifests/${signed.replace(":", "-")}`);
    expect(tag.status, "control: the upstream has no referrers tag").to.equal(404);
    const answer = await listed(gateway, "app", signed);
    expect(answer.status).to.equal(200);
    expect(answer.headers.get("content-type")).to.equal(OCI_INDEX);
    expect(answer.headers.has("warning")).to.equal(false);
    expect(answer.manifests).to.have.length(1);
    const digest = answer.manifests[0]?.digest ?? "";
    const manifest = await gateway.get(`/v2/app/manifests/${digest}`);
    expect(digestOf(manifest.body)).to.equal(digest);
    const { artifactType, layers } = JSON.parse(manifest.body.toString()) as Manifest;
    expect(artifactType).to.match(/sigstore\.bundle/);
    for (const layer of layers)
      expect(digestOf((await gateway.get(`/v2/app/blobs/${layer.digest}`)).body)).to.equal(layer.digest);
    expect(layers).to.have.length(1);
  });

  it("filters by artifact type, and says so", async () => {
    const [bundle] = (await listed(gateway, "app", signed)).manifests;
    const same = await listed(
      gateway,
      "app",
      signed,
      `?artifactType=${encodeURIComponent(bundle?.artifactType ?? "")}`,
    );
    expect(same.headers.get("oci-filters-applied")).to.equal("artifactType");
    expect(same.manifests).to.deep.equal([bundle]);
    const other = await listed(gateway, "app", signed, `?artifactType=${encodeURIComponent(SBOM_TYPE)}`);
    expect([other.status, other.manifests]).to.deep.equal([200, []]);
    expect((await listed(gateway, "app", signed)).headers.has("oci-filters-applied")).to.equal(false);
  });

  it("answers HEAD with the headers of GET, and a digest without referrers with an empty list", async () => {
    const [get, head] = [await listed(gateway, "app", signed), await listed(gateway, "app", signed, "", "HEAD")];
    expect([head.status, head.body.length]).to.deep.equal([200, 0]);
    for (const name of ["content-type", "content-length"])
      expect(head.headers.get(name)).to.equal(get.headers.get(name));
    const none = await listed(gateway, "app", ONES);
    expect([none.status, none.body.toString()]).to.deep.equal([
      200,
      JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [] }),
    ]);
  });

  it("asks the upstream once for many who ask at once", async () => {
    const before = upstream.count(`referrers/${unsigned}`);
    await Promise.all(Array.from({ length: 20 }, async () => await listed(gateway, "app", unsigned)));
    expect(upstream.count(`referrers/${unsigned}`) - before).to.equal(1);
  });

  it("lets cosign verify what is signed, and nothing else", async () => {
    expect(await verify(signed)).to.include(signed);
    expect(await refused(verify(unsigned))).to.match(/no (?:matching )?(?:signatures|attestations|bundles)/i);
  });

  it("unites the API's list with the referrers tag", async () => {
    const digest = await pushTinyImage(upstream.store, "acme/app", "extra");
    const extra = {
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      digest,
      size: 2,
      artifactType: SBOM_TYPE,
    };
    const index = { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [extra] };
    const both = await pushTinyImage(upstream.store, "acme/app", "both");
    await cosign.sign(`${upstream.host}/acme/app@${both}`, keys, "bundle");
    await putManifest(upstream.store, "acme/app", both.replace(":", "-"), index, OCI_INDEX);
    const { manifests } = await listed(gateway, "app", both);
    expect(manifests).to.have.length(2);
    expect(manifests[1]).to.deep.equal(extra);
  });

  it("while the upstream is away: lists what it said before, with a warning, and says nothing of what it was not asked", async () => {
    const before = await listed(gateway, "app", signed);
    const never = await pushTinyImage(upstream.store, "acme/app", "never");
    await upstream.stop();
    await gateway.setRules([acceptedRule("app", `${upstream.host}/acme/app`, "app")]);
    const unknown = await listed(gateway, "app", never);
    expect([unknown.status, unknown.errors[0]?.code]).to.deep.equal([502, "UNKNOWN"]);
    expect(unknown.message).to.match(AWAY).and.include("remembers no list").and.include('CacheRule "app"');
    const fresh = (answer: { headers: Headers }): boolean => !answer.headers.has("warning");
    let after = await listed(gateway, "app", signed);
    for (const end = performance.now() + 10_000; fresh(after) && performance.now() < end; )
      after = await listed(gateway, "app", signed);
    expect([after.status, after.body.toString()]).to.deep.equal([200, before.body.toString()]);
    expect(after.headers.get("warning"))
      .to.match(AWAY)
      .and.match(/this is the list of 20\d\d-/);
    expect(await verify(signed), "its manifest and blobs are in the cache").to.include(signed);
    const filtered = await listed(gateway, "app", signed, "?artifactType=a%2Fb");
    expect(filtered.status, "an empty list from memory would claim that there is nothing").to.equal(502);
    const entry = gateway.logged("request").find(({ status, kind }) => status === 502 && kind === "referrers");
    expect(entry).to.include({ problem: "UPSTREAM_UNREACHABLE", rule: "app" });
    expect(await gateway.metrics()).to.match(/entrepot_gateway_problems_total\{[^}]*problem="UPSTREAM_UNREACHABLE"/);
  });
});

describe("Referrers through the gateway, of an upstream without the API (CNCF distribution)", () => {
  const cleanup = new Cleanup();
  after(() => cleanup.run());

  it("lists the referrers tag; while the upstream is away, too, by a gateway that remembers nothing", async function () {
    this.timeout(0); // the first time on a machine distribution is built
    const upstream = await Distribution.start(cleanup);
    const proxy = await Distribution.start(cleanup, { upstream });
    const host = new URL(upstream.origin).host;
    const { digest } = await upstream.pushImage("acme/app", "v1", Buffer.from("layer"));
    const sbom = await pushReferrer(upstream, "acme/app", digest);
    const start = async () => {
      const gateway = await GatewayProcess.start(cleanup, { registry: "main", origins: { [host]: proxy.origin } });
      await gateway.setRules([acceptedRule("app", `${host}/acme/app`, "app")]);
      return gateway;
    };
    const first = await listed(await start(), "app", digest);
    expect([first.status, first.manifests.map((one) => one.digest)]).to.deep.equal([200, [sbom]]);
    expect(first.headers.has("warning")).to.equal(false);
    await upstream.stop();
    const gateway = await start();
    const second = await listed(gateway, "app", digest);
    expect([second.status, second.body.toString()]).to.deep.equal([200, first.body.toString()]);
    expect(second.headers.get("warning")).to.match(AWAY).and.include("referrers tag in the cache");
    expect((await listed(gateway, "app", ONES)).status, "no tag in the cache says nothing").to.equal(502);
  });
});
