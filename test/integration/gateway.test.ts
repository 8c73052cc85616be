import { randomBytes } from "node:crypto";
import { expect } from "chai";
import { eventually } from "../support/kube.ts";
import {
  acceptedRule,
  Cleanup,
  Distribution,
  digestOf,
  GatewayProcess,
  OCI_INDEX,
  OCI_MANIFEST,
} from "./gateway-harness.ts";

describe("The gateway in front of CNCF distribution", () => {
  const cleanup = new Cleanup();
  const layer = randomBytes(300_000);
  let upstream: Distribution;
  let cache: Distribution;
  let gateway: GatewayProcess;
  let image: Awaited<ReturnType<Distribution["pushImage"]>>;

  before(async function () {
    this.timeout(0); // the first time on a machine distribution is built
    upstream = await Distribution.start(cleanup, { auth: true });
    cache = await Distribution.start(cleanup, { upstream });
    image = await upstream.pushImage("acme/app", "v1", layer);
    for (const tag of ["a1", "a2", "a3"]) await upstream.pushImage("acme/tags", tag, Buffer.from("layer"));
    await upstream.pushImage("acme/secret", "v1", Buffer.from("secret"));
    gateway = await GatewayProcess.start(cleanup, {
      registry: "main",
      origins: { "registry.local:5000": cache.origin },
    });
    await gateway.setRules([
      acceptedRule("app", "registry.local:5000/acme/app", "demo-app"),
      acceptedRule("tags", "registry.local:5000/acme/tags", "hub/tags"),
      acceptedRule("family", "registry.local:5000/family/*", "family/*"),
    ]);
  });
  after(() => cleanup.run());

  it("answers the ping of every client", async () => {
    for (const path of ["/v2/", "/v2"]) {
      const answer = await gateway.get(path);
      expect(answer.status).to.equal(200);
      expect(answer.headers.get("docker-distribution-api-version")).to.equal("registry/2.0");
    }
  });

  it("serves a manifest by tag and by digest, to GET and HEAD", async () => {
    const byTag = await gateway.get("/v2/demo-app/manifests/v1", { headers: { accept: OCI_MANIFEST } });
    expect(byTag.status).to.equal(200);
    expect(byTag.headers.get("docker-content-digest")).to.equal(image.digest);
    expect(byTag.headers.get("content-type")).to.equal(OCI_MANIFEST);
    expect(digestOf(byTag.body)).to.equal(image.digest);
    const byDigest = await gateway.get(`/v2/demo-app/manifests/${image.digest}`, { headers: { accept: OCI_MANIFEST } });
    expect(byDigest.body.equals(byTag.body)).to.equal(true);
    const head = await gateway.get("/v2/demo-app/manifests/v1", { method: "HEAD", headers: { accept: OCI_MANIFEST } });
    expect(head.status).to.equal(200);
    expect(head.headers.get("docker-content-digest")).to.equal(image.digest);
    expect(Number(head.headers.get("content-length"))).to.equal(byTag.body.length);
    expect(head.body).to.have.length(0);
  });

  it("serves a manifest to a client that takes anything", async () => {
    const answer = await gateway.get("/v2/demo-app/manifests/v1", { headers: { accept: "*/*" } });
    expect(answer.status, answer.body.toString()).to.equal(200);
    const direct = await fetch(`${cache.origin}/v2/acme/app/manifests/v1`, { headers: { accept: "*/*" } });
    expect(direct.status, "control: distribution itself refuses").to.equal(404);
  });

  it("answers 304 to a client that has the manifest", async () => {
    const headers = { accept: OCI_MANIFEST, "if-none-match": `"${image.digest}"` };
    const answer = await gateway.get("/v2/demo-app/manifests/v1", { headers });
    expect(answer.status).to.equal(304);
    expect(answer.body).to.have.length(0);
  });

  it("serves blobs whole, in ranges, and to HEAD", async () => {
    const cold = await gateway.get(`/v2/demo-app/blobs/${image.layer}`);
    expect(cold.status).to.equal(200);
    expect(cold.body.equals(layer)).to.equal(true);
    const range = await eventually("the blob is in the cache", async () => {
      const answer = await gateway.get(`/v2/demo-app/blobs/${image.layer}`, { headers: { range: "bytes=1000-1999" } });
      return answer.status === 206 && answer;
    });
    expect(range.headers.get("content-range")).to.equal(`bytes 1000-1999/${layer.length}`);
    expect(range.body.equals(layer.subarray(1000, 2000))).to.equal(true);
    const beyond = await gateway.get(`/v2/demo-app/blobs/${image.layer}`, { headers: { range: "bytes=999999-" } });
    expect(beyond.status).to.equal(416);
    expect(beyond.headers.get("content-range")).to.equal(`bytes */${layer.length}`);
    const head = await gateway.get(`/v2/demo-app/blobs/${image.layer}`, { method: "HEAD" });
    expect(head.status).to.equal(200);
    expect(Number(head.headers.get("content-length"))).to.equal(layer.length);
  });

  it("lists tags under the cache's name, page by page", async () => {
    const all = await gateway.get("/v2/hub/tags/tags/list");
    expect(JSON.parse(all.body.toString())).to.deep.equal({ name: "hub/tags", tags: ["a1", "a2", "a3"] });
    const seen: string[] = [];
    for (let next: string | undefined = "/v2/hub/tags/tags/list?n=2"; next !== undefined; ) {
      const page = await gateway.get(next);
      expect(page.status).to.equal(200);
      const list = JSON.parse(page.body.toString()) as { name: string; tags: string[] };
      expect(list.name).to.equal("hub/tags");
      seen.push(...list.tags);
      const link = page.headers.get("link");
      next = link === null ? undefined : /^<(\/v2\/hub\/tags\/tags\/list\?[^>]*)>; rel="next"$/.exec(link)?.[1];
      if (link !== null) expect(next, link).to.be.a("string");
    }
    expect(seen).to.deep.equal(["a1", "a2", "a3"]);
  });

  it("never says that nothing refers to an image whose upstream it can't ask, and serves the fallback tag", async () => {
    const answer = await gateway.get(`/v2/demo-app/referrers/${image.digest}`);
    expect(answer.status).to.equal(502);
    expect(answer.errors[0]?.message).to.include("is not known");
    const tag = image.digest.replace(":", "-");
    const missing = await gateway.get(`/v2/demo-app/manifests/${tag}`, { headers: { accept: OCI_INDEX } });
    expect(missing.status).to.equal(404);
    expect(missing.errors[0]?.code).to.equal("MANIFEST_UNKNOWN");
    const index = {
      schemaVersion: 2,
      mediaType: OCI_INDEX,
      manifests: [{ mediaType: OCI_MANIFEST, digest: image.digest, size: 1 }],
    };
    await upstream.pushManifest("acme/app", tag, { ...index, manifests: [] }, OCI_INDEX);
    const present = await gateway.get(`/v2/demo-app/manifests/${tag}`, { headers: { accept: OCI_INDEX } });
    expect(present.status, present.body.toString()).to.equal(200);
    expect(present.headers.get("content-type")).to.equal(OCI_INDEX);
  });

  it("refuses every name that no rule declares, without asking anybody", async () => {
    const before = cache.requests.length;
    const refused = ["acme/app", "acme/secret", "demo-app2", "demo-app/x", "library/nginx"];
    for (const repository of refused) {
      for (const path of [`manifests/v1`, `blobs/${image.layer}`, "tags/list", `referrers/${image.digest}`]) {
        const answer = await gateway.get(`/v2/${repository}/${path}`);
        expect(answer.status).to.equal(404);
        expect(answer.headers.get("content-type")).to.equal("application/json");
        expect(JSON.parse(answer.body.toString())).to.deep.equal({
          errors: [
            {
              code: "NAME_UNKNOWN",
              message: `repository "${repository}" is not declared in this cache: no accepted CacheRule of CacheRegistry "main" has a target that names it (see: kubectl get cacherules)`,
            },
          ],
        });
      }
    }
    await gateway.get("/v2/demo-app/manifests/v1");
    await eventually("the control reaches the backend", () => cache.requests.length > before);
    expect(cache.requests.slice(before).every((line) => line.includes("acme/app/manifests/v1"))).to.equal(true);
  });

  it("serves a blob of one repository under no other name", async () => {
    const answer = await gateway.get(`/v2/hub/tags/blobs/${image.layer}`);
    expect(answer.status).to.equal(404);
    expect(answer.errors[0]?.code).to.equal("BLOB_UNKNOWN");
  });

  it("refuses writing", async () => {
    for (const method of ["POST", "PUT", "PATCH", "DELETE"]) {
      const answer = await gateway.get("/v2/demo-app/manifests/v1", { method });
      expect(answer.status).to.equal(405);
      expect(answer.headers.get("allow")).to.equal("GET, HEAD");
      expect(answer.errors[0]?.code).to.equal("UNSUPPORTED");
    }
  });

  it("says what is missing upstream by kind, with the rule's name", async () => {
    const tag = await gateway.get("/v2/demo-app/manifests/nosuch");
    expect([tag.status, tag.errors[0]?.code]).to.deep.equal([404, "MANIFEST_UNKNOWN"]);
    expect(tag.errors[0]?.message).to.include('CacheRule "app"').and.include("registry.local:5000/acme/app");
    const zeros = `sha256:${"0".repeat(64)}`;
    expect((await gateway.get(`/v2/demo-app/manifests/${zeros}`)).status).to.equal(404);
    expect((await gateway.get(`/v2/demo-app/blobs/${zeros}`)).errors[0]?.code).to.equal("BLOB_UNKNOWN");
    expect((await gateway.get("/v2/family/nosuch/tags/list")).status).to.equal(404);
  });

  it("counts and logs each request under its rule", async () => {
    const text = await gateway.metrics();
    expect(text).to.match(/entrepot_gateway_requests_total\{rule="app",kind="manifest",code="2xx"\} [1-9]/);
    expect(text).to.match(/entrepot_gateway_requests_total\{rule="_undeclared",kind="manifest",code="4xx"\} 5/);
    const bytes = Number(/entrepot_gateway_response_bytes_total\{rule="app",kind="blob"\} ([0-9]+)/.exec(text)?.[1]);
    expect(bytes).to.be.greaterThanOrEqual(layer.length + 1000);
    expect(text).to.not.include("secret");
    const entry = gateway.logged("request").find((line) => line["status"] === 206);
    expect(entry).to.include({ rule: "app", kind: "blob", method: "GET", bytes: 1000 });
  });

  it("says on its page what it serves and that the backend answers", async () => {
    const page = (await (await fetch(`${gateway.status}/-/rules`)).json()) as { rules: Record<string, object> };
    expect(page).to.deep.include({ registry: "main", synced: true, refused: {} });
    expect(page.rules["app"]).to.deep.equal({
      uid: "uid-app",
      generation: 1,
      target: "demo-app",
      backend: cache.origin,
      backendReady: true,
    });
    expect(Object.keys(page.rules).sort()).to.deep.equal(["app", "family", "tags"]);
  });

  it("stops serving a rule that is gone, and forgets its counts", async () => {
    const rules = [acceptedRule("app", "registry.local:5000/acme/app", "demo-app")];
    expect((await gateway.get("/v2/hub/tags/tags/list")).status).to.equal(200);
    await gateway.setRules(rules);
    expect((await gateway.get("/v2/hub/tags/tags/list")).errors[0]?.code).to.equal("NAME_UNKNOWN");
    expect((await gateway.get("/v2/demo-app/manifests/v1")).status).to.equal(200);
    expect(await gateway.metrics()).to.not.include('rule="tags"');
  });
});
