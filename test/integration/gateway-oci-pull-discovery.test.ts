import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { expect } from "chai";
import { pushReferrer, SBOM_TYPE } from "../support/multi-arch.ts";
import { ociErrorOf } from "../support/oci-rows.ts";
import { acceptedRule, Cleanup, Distribution, GatewayProcess, OCI_INDEX, OCI_MANIFEST } from "./gateway-harness.ts";

const ZEROS = `sha256:${"0".repeat(64)}`;
const ONES = `sha256:${"1".repeat(64)}`;
const TAGS = ["1.0", "1.1", "A", "b", "latest"]; // "ASCIIbetical", as distribution sorts
const SIGNATURE_TYPE = "application/vnd.example.signature.v1";

interface Descriptor {
  readonly digest: string;
  readonly artifactType: string;
}

/** A registry that has the referrers API, two on a page; CNCF distribution has none. */
class FakeReferrers {
  readonly asked: string[] = [];
  readonly #all: readonly Descriptor[] = [SBOM_TYPE, SIGNATURE_TYPE, SBOM_TYPE].map((artifactType, index) => ({
    mediaType: OCI_MANIFEST,
    size: 2,
    digest: `sha256:${String(index + 2).repeat(64)}`,
    artifactType,
  }));

  serve(req: IncomingMessage, res: ServerResponse): void {
    this.asked.push(req.url ?? "");
    const url = new URL(req.url ?? "", "http://registry");
    const type = url.searchParams.get("artifactType");
    const subject = url.pathname === `/v2/acme/app/referrers/${ONES}`;
    const found = subject ? this.#all.filter(({ artifactType }) => type === null || artifactType === type) : [];
    const from = Number(url.searchParams.get("nextToken") ?? 0);
    const manifests = found.slice(from, from + 2);
    url.searchParams.set("nextToken", String(from + 2));
    const more = from + 2 < found.length;
    res.writeHead(200, {
      "content-type": OCI_INDEX,
      ...(type !== null && { "oci-filters-applied": "artifactType" }),
      ...(more && { link: `<${url.pathname}${url.search}>; rel="next"` }),
    });
    res.end(JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests }));
  }
}

/** The workflow category "Content Discovery" of the distribution specification v1.1.1. */
describe("The OCI distribution specification through the gateway: content discovery", () => {
  const cleanup = new Cleanup();
  let upstream: Distribution;
  let gateway: GatewayProcess;
  let subject: string;
  let artifact: string;
  const referrers = new FakeReferrers();

  before(async function () {
    this.timeout(0); // the first time on a machine distribution is built
    upstream = await Distribution.start(cleanup);
    const cache = await Distribution.start(cleanup, { upstream });
    for (const tag of TAGS) await upstream.pushImage("acme/tags", tag, Buffer.from("layer"));
    subject = (await upstream.pushImage("acme/app", "v1", Buffer.from("layer"))).digest;
    artifact = await pushReferrer(upstream, "acme/app", subject);
    const fake = createServer((req, res) => referrers.serve(req, res)).listen(0, "127.0.0.1");
    await once(fake, "listening");
    cleanup.add(() => fake.close());
    const host = new URL(upstream.origin).host;
    const withApi = `127.0.0.1:${(fake.address() as AddressInfo).port}`;
    const origins = { [host]: cache.origin, [withApi]: cache.origin };
    gateway = await GatewayProcess.start(cleanup, { registry: "main", origins });
    await gateway.setRules([
      acceptedRule("tags", `${host}/acme/tags`, "hub/tags"),
      acceptedRule("app", `${host}/acme/app`, "demo-app"),
      acceptedRule("referrers", `${withApi}/acme/app`, "referred"),
    ]);
  });
  after(() => cleanup.run());

  describe("Listing tags", () => {
    const lists: [string, string, readonly string[], boolean][] = [
      ['end-8a: "Assuming a repository is found, this request MUST return a 200 OK"', "", TAGS, false],
      ['end-8b: "the response MUST include <int> results"', "?n=2", ["1.0", "1.1"], true],
      ['"MAY return fewer than <int> results, but only when the total number is less"', "?n=100", TAGS, false],
      ['"When n is zero, this endpoint MUST return an empty list, and MUST NOT include a Link"', "?n=0", [], false],
      ['end-8b: "beginning non-inclusively with <tagname>"', "?n=2&last=1.1", ["A", "b"], true],
      ['"up to <int> tags after <tagname>", at the end', "?n=2&last=b", ["latest"], false],
      ['"When using the last query parameter, the n parameter is OPTIONAL."', "?last=A", ["b", "latest"], false],
      ["a last that is no tag has its place in the order", "?n=2&last=1.05", ["1.1", "A"], true],
      ["a last that is no tag has its place in the order, without n", "?last=1.05", TAGS.slice(1), false],
    ];
    for (const [spec, query, tags, more] of lists) {
      it(`${spec} (tags/list${query})`, async () => {
        const answer = await gateway.get(`/v2/hub/tags/tags/list${query}`);
        expect(answer.status).to.equal(200);
        expect(answer.headers.get("content-type")).to.equal("application/json");
        expect(JSON.parse(answer.body.toString())).to.deep.equal({ name: "hub/tags", tags });
        expect(answer.headers.has("link")).to.equal(more);
      });
    }

    it('"the Link header MUST be set according to RFC5988 with the Relation Type rel=next": it leads through all tags', async () => {
      const seen: string[] = [];
      for (let next: string | undefined = "/v2/hub/tags/tags/list?n=2"; next !== undefined; ) {
        const page = await gateway.get(next);
        seen.push(...(JSON.parse(page.body.toString()) as { tags: string[] }).tags);
        next = /^<([^>]+)>; rel="next"$/.exec(page.headers.get("link") ?? "")?.[1];
      }
      expect(seen).to.deep.equal(TAGS);
    });

    const refused: [string, string, number, string][] = [
      ["a number that is none", "/v2/hub/tags/tags/list?n=two", 400, "UNSUPPORTED"],
      ["a number below zero", "/v2/hub/tags/tags/list?n=-1", 400, "UNSUPPORTED"],
      ["a last that no tag can be", "/v2/hub/tags/tags/list?last=..%2F", 400, "UNSUPPORTED"],
      ["end-8a, 404 (code-9): no rule names the repository", "/v2/acme/tags/tags/list", 404, "NAME_UNKNOWN"],
    ];
    for (const [what, path, status, code] of refused) {
      it(`refuses ${what}`, async () => {
        const answer = await gateway.get(path);
        expect([answer.status, ociErrorOf(answer)]).to.deep.equal([status, code]);
      });
    }
  });

  describe("Listing referrers, where the upstream has no referrers API", () => {
    it('end-12a: "if the registry supports the referrers API, the registry MUST NOT return a 404 Not Found": lists the tag', async () => {
      // Always the same: clients remember for a repository whether it has the API.
      for (const [digest, referrers] of [
        [subject, [artifact]],
        [ZEROS, []],
      ] as const) {
        const answer = await gateway.get(`/v2/demo-app/referrers/${digest}`);
        expect(answer.status).to.equal(200);
        const { manifests } = JSON.parse(answer.body.toString()) as { manifests: Descriptor[] };
        expect(manifests.map((one) => one.digest)).to.deep.equal(referrers);
      }
    });

    it('"an image index pushed to a tag described by the referrers tag schema": serves tag and artifact', async () => {
      const tag = await gateway.get(`/v2/demo-app/manifests/${subject.replace(":", "-")}`, {
        headers: { accept: OCI_INDEX },
      });
      expect(tag.headers.get("content-type")).to.equal(OCI_INDEX);
      const { manifests } = JSON.parse(tag.body.toString()) as { manifests: Descriptor[] };
      expect(manifests.map(({ digest, artifactType }) => [digest, artifactType])).to.deep.equal([
        [artifact, SBOM_TYPE],
      ]);
      const found = await gateway.get(`/v2/demo-app/manifests/${artifact}`, { headers: { accept: OCI_MANIFEST } });
      expect(found.headers.get("docker-content-digest")).to.equal(artifact);
    });

    it('"If […] the tag schema does not return a valid image index, the client SHOULD assume there are no referrers"', async () => {
      const answer = await gateway.get(`/v2/demo-app/manifests/${ZEROS.replace(":", "-")}`);
      expect([answer.status, ociErrorOf(answer)]).to.deep.equal([404, "MANIFEST_UNKNOWN"]);
    });

    it('"If the request is invalid, such as a <digest> with an invalid syntax, a 400 Bad Request MUST be returned"', async () => {
      const answer = await gateway.get("/v2/demo-app/referrers/sha256:short");
      expect([answer.status, ociErrorOf(answer)]).to.deep.equal([400, "DIGEST_INVALID"]);
    });
  });

  describe("Listing referrers, where the upstream has the API, two on a page (a fake)", () => {
    const list = async (query = "", digest = ONES) => {
      const answer = await gateway.get(`/v2/referred/referrers/${digest}${query}`);
      const { manifests } = JSON.parse(answer.body.toString()) as { manifests: Descriptor[] };
      return { ...answer, types: manifests.map(({ artifactType }) => artifactType) };
    };

    it('end-12a: "The Content-Type header MUST be set to application/vnd.oci.image.index.v1+json", all on one page', async () => {
      const first = await list();
      expect(first.status).to.equal(200);
      expect(first.headers.get("content-type")).to.equal(OCI_INDEX);
      expect(first.headers.has("oci-filters-applied")).to.equal(false);
      expect(first.types).to.deep.equal([SBOM_TYPE, SIGNATURE_TYPE, SBOM_TYPE]);
      expect(first.headers.has("link")).to.equal(false);
    });

    it('end-12b: "the response MUST include a header OCI-Filters-Applied: artifactType"', async () => {
      const answer = await list(`?artifactType=${encodeURIComponent(SBOM_TYPE)}`);
      expect(answer.headers.get("oci-filters-applied")).to.equal("artifactType");
      expect(answer.types).to.deep.equal([SBOM_TYPE, SBOM_TYPE]);
    });

    it('"If a query results in no matching referrers, an empty manifest list MUST be returned."', async () => {
      const answer = await list("", ZEROS);
      expect([answer.status, answer.types]).to.deep.equal([200, []]);
    });

    it("sends on nothing but the digest", async () => {
      const other = `sha256:${"2".repeat(64)}`;
      await list("?artifactType=a%2Fb&ns=docker.io&x=y", other);
      expect(referrers.asked.at(-1)).to.equal(`/v2/acme/app/referrers/${other}`);
    });
  });
});
