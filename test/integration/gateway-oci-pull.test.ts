import { createHash, randomBytes } from "node:crypto";
import { expect } from "chai";
import { eventually } from "../support/kube.ts";
import { DOCKER, DOCKER_LIST, DOCKER_MANIFEST, type MultiArch, pushMultiArch } from "../support/multi-arch.ts";
import { ociErrorOf, type Row, serveRows } from "../support/oci-rows.ts";
import {
  acceptedRule,
  Cleanup,
  Distribution,
  digestOf,
  GatewayProcess,
  OCI_INDEX,
  OCI_MANIFEST,
} from "./gateway-harness.ts";

const ZEROS = `sha256:${"0".repeat(64)}`;
const ALL = [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST].join(", ");
const layer = randomBytes(10_000);
const other = Buffer.from("content known by its SHA-512");
const empty = Buffer.alloc(0);
const SHA512 = `sha512:${createHash("sha512").update(other).digest("hex")}`;

/** The workflow category "Pull" of the distribution specification v1.1.1, row by row: each names the sentence that it holds. */
describe("The OCI distribution specification through the gateway: pull", () => {
  const cleanup = new Cleanup();
  let gateway: GatewayProcess;
  let oci: MultiArch;
  let docker: MultiArch;
  let image: Awaited<ReturnType<Distribution["pushImage"]>>;

  before(async function () {
    this.timeout(0); // the first time on a machine distribution is built
    const upstream = await Distribution.start(cleanup, { auth: true });
    const cache = await Distribution.start(cleanup, { upstream });
    image = await upstream.pushImage("acme/app", "v1", layer);
    oci = await pushMultiArch(upstream, "acme/app", "multi");
    docker = await pushMultiArch(upstream, "acme/app", "docker", DOCKER);
    await upstream.pushBlob("acme/app", other, SHA512);
    await upstream.pushBlob("acme/app", empty);
    await upstream.pushImage("acme/app", "cold", Buffer.from("0123456789"));
    gateway = await GatewayProcess.start(cleanup, {
      registry: "main",
      origins: { "registry.local:5000": cache.origin },
    });
    await gateway.setRules([acceptedRule("app", "registry.local:5000/acme/app", "demo-app")]);
    await gateway.get(`/v2/demo-app/blobs/${image.layer}`);
    await eventually("the blob is in the cache", async () => {
      const ranged = await gateway.get(`/v2/demo-app/blobs/${image.layer}`, { headers: { range: "bytes=0-0" } });
      return ranged.status === 206;
    });
  });
  after(() => cleanup.run());

  const manifest = (reference: string): string => `/v2/demo-app/manifests/${reference}`;
  const blob = (digest: string): string => `/v2/demo-app/blobs/${digest}`;
  const ranged = (spec: string, range: string, want: Partial<Row>): Row => ({
    spec,
    path: () => blob(image.layer),
    headers: { range },
    ...want,
  });

  const support: Row[] = [
    {
      spec: 'end-1: "If the response is 200 OK, then the registry implements this specification."',
      path: () => "/v2/",
      status: 200,
    },
  ];

  const accepts: [string, string, string, () => string][] = [
    ["an OCI index", OCI_INDEX, "multi", () => oci.digest],
    ["an OCI index among all types", ALL, "multi", () => oci.digest],
    ["an OCI index, with weights", `${OCI_MANIFEST};q=0.5, ${OCI_INDEX};q=0.9`, "multi", () => oci.digest],
    ["an OCI index, to anything", "*/*", "multi", () => oci.digest],
    ["an OCI manifest", OCI_MANIFEST, "v1", () => image.digest],
    ["an OCI manifest among all types", ALL, "v1", () => image.digest],
    ["an OCI manifest, to anything", "application/*", "v1", () => image.digest],
    ["a Docker manifest list", DOCKER_LIST, "docker", () => docker.digest],
    ["a Docker manifest list among all types", ALL, "docker", () => docker.digest],
  ];
  const types: Readonly<Record<string, string>> = { multi: OCI_INDEX, v1: OCI_MANIFEST, docker: DOCKER_LIST };

  const manifests: Row[] = [
    ...accepts.flatMap(([what, accept, tag, digest]): Row[] => {
      const answer = { headers: { accept }, status: 200, type: types[tag] ?? "", digest };
      const spec = `end-3: "A GET request to an existing manifest URL MUST provide the expected manifest, with a response code that MUST be 200 OK."`;
      return [
        { spec: `${spec} ${what}, by tag`, path: () => manifest(tag), ...answer },
        { spec: `${spec} ${what}, by digest`, path: () => manifest(digest()), ...answer },
        {
          spec: `end-3: "A HEAD request to an existing blob or manifest URL MUST return 200 OK." ${what}`,
          method: "HEAD",
          path: () => manifest(tag),
          sameAsGet: true,
          ...answer,
        },
      ];
    }),
    {
      spec: 'end-3: "<reference> MUST be either (a) the digest of the manifest or (b) a tag": a part of an index, by digest',
      path: () => manifest(oci.parts.arm64.digest),
      headers: { accept: OCI_MANIFEST },
      status: 200,
      type: OCI_MANIFEST,
      digest: () => oci.parts.arm64.digest,
    },
    {
      spec: 'end-3: "<reference> MUST be either (a) the digest of the manifest or (b) a tag": a part of a Docker list, by digest',
      path: () => manifest(docker.parts.amd64.digest),
      headers: { accept: DOCKER_MANIFEST },
      status: 200,
      type: DOCKER_MANIFEST,
      digest: () => docker.parts.amd64.digest,
    },
    {
      spec: '"The client SHOULD include an Accept header": one that does not',
      path: () => manifest("multi"),
      status: 200,
      type: OCI_INDEX,
      digest: () => oci.digest,
    },
    ...["GET", "HEAD"].flatMap((method): Row[] => [
      {
        spec: '"If the manifest is not found in the repository, the response code MUST be 404 Not Found." (code-7), by tag',
        method,
        path: () => manifest("nosuch"),
        status: 404,
        error: "MANIFEST_UNKNOWN",
      },
      {
        spec: '"If the manifest is not found in the repository, the response code MUST be 404 Not Found." (code-7), by digest',
        method,
        path: () => manifest(ZEROS),
        status: 404,
        error: "MANIFEST_UNKNOWN",
      },
    ]),
    {
      spec: '"<reference> as a tag MUST be at most 128 characters in length": 129',
      path: () => manifest("t".repeat(129)),
      status: 404,
      error: "MANIFEST_UNKNOWN",
    },
    {
      spec: '"The <reference> MUST NOT be in any other format": half a digest',
      path: () => manifest("sha256:totallywrong"),
      status: 400,
      error: "DIGEST_INVALID",
    },
    {
      spec: '"<name> MUST match the following regular expression" (code-8)',
      path: () => "/v2/Demo-App/manifests/v1",
      status: 400,
      error: "NAME_INVALID",
    },
    {
      spec: 'code-9 "repository name not known to registry": no rule names it',
      path: () => "/v2/acme/app/manifests/v1",
      status: 404,
      error: "NAME_UNKNOWN",
    },
  ];

  const SUPPORTS_RANGE = 'end-2: "A registry SHOULD support the Range request header in accordance with RFC 9110."';
  const blobs: Row[] = [
    {
      spec: 'end-2: "A GET request to an existing blob URL MUST provide the expected blob, with a response code that MUST be 200 OK."',
      path: () => blob(image.layer),
      status: 200,
      digest: () => image.layer,
      body: () => layer,
    },
    {
      spec: 'end-2: "A successful response SHOULD contain the size in bytes of the uploaded blob in the header Content-Length."',
      method: "HEAD",
      path: () => blob(image.layer),
      status: 200,
      sameAsGet: true,
      digest: () => image.layer,
    },
    ...["GET", "HEAD", "GET"].map(
      (method): Row => ({
        spec: '"The Docker-Content-Digest header, if present on the response, returns the canonical digest of the uploaded blob which MAY differ from the provided digest.": SHA-512',
        method,
        path: () => blob(SHA512),
        status: 200,
        ...(method === "GET" && { body: () => other }),
      }),
    ),
    ...["HEAD", "GET", "HEAD"].map(
      (method): Row => ({
        spec: 'end-2: "A HEAD request to an existing blob or manifest URL MUST return 200 OK.": a blob of no bytes',
        method,
        path: () => blob(digestOf(empty)),
        status: 200,
        digest: () => digestOf(empty),
        ...(method === "HEAD" && { sameAsGet: true }),
      }),
    ),
    ...["GET", "HEAD"].map(
      (method): Row => ({
        spec: '"If the blob is not found in the repository, the response code MUST be 404 Not Found." (code-1)',
        method,
        path: () => blob(ZEROS),
        status: 404,
        error: "BLOB_UNKNOWN",
      }),
    ),
    {
      spec: 'code-4 "DIGEST_INVALID": a digest that none can be',
      path: () => blob("md5:d41d8cd98f00b204e9800998ecf8427e"),
      status: 400,
      error: "DIGEST_INVALID",
    },
    ranged(SUPPORTS_RANGE, "bytes=1000-1999", {
      status: 206,
      range: "bytes 1000-1999/10000",
      body: () => layer.subarray(1000, 2000),
    }),
    ranged(`${SUPPORTS_RANGE} From a position on`, "bytes=9990-", {
      status: 206,
      range: "bytes 9990-9999/10000",
      body: () => layer.subarray(9990),
    }),
    ranged(`${SUPPORTS_RANGE} The last bytes`, "bytes=-10", {
      status: 206,
      range: "bytes 9990-9999/10000",
      body: () => layer.subarray(9990),
    }),
    ranged(`${SUPPORTS_RANGE} Past the end`, "bytes=9990-20000", {
      status: 206,
      range: "bytes 9990-9999/10000",
      body: () => layer.subarray(9990),
    }),
    ranged(`${SUPPORTS_RANGE} Section 15.5.17, 416: nothing of the range exists`, "bytes=10000-", {
      status: 416,
      range: "bytes */10000",
    }),
    ranged(`${SUPPORTS_RANGE} Section 14.2: unknown units MUST be ignored`, "items=0-1", {
      status: 200,
      body: () => layer,
    }),
    ranged(`${SUPPORTS_RANGE} Section 14.2: on HEAD it MUST be ignored`, "bytes=0-1", {
      method: "HEAD",
      status: 200,
      sameAsGet: true,
    }),
    {
      ...ranged(`${SUPPORTS_RANGE} Section 13.1.5, If-Range: of other content the whole`, "bytes=0-1", {}),
      headers: { range: "bytes=0-1", "if-range": `"${ZEROS}"` },
      status: 200,
      body: () => layer,
    },
    {
      spec: `${SUPPORTS_RANGE} Section 13.1.2, If-None-Match: what the client has is not sent`,
      path: () => blob(image.layer),
      headersLater: () => ({ "if-none-match": `"${image.layer}"` }),
      status: 304,
      body: () => Buffer.alloc(0),
    },
    ...["GET", "HEAD"].flatMap((method): Row[] => [
      {
        spec: `${SUPPORTS_RANGE} Section 13.1.1, If-Match: of other content nothing`,
        method,
        path: () => blob(image.layer),
        headers: { "if-match": `"${ZEROS}"` },
        status: 412,
        body: () => Buffer.alloc(0),
      },
      {
        spec: `${SUPPORTS_RANGE} Section 13.1.1, If-Match: of the same content all`,
        method,
        path: () => blob(image.layer),
        headersLater: () => ({ "if-match": `"${image.layer}"` }),
        status: 200,
        digest: () => image.layer,
      },
      {
        spec: `${SUPPORTS_RANGE} Section 13.1.4, If-Unmodified-Since: without a date of its own it MUST be ignored`,
        method,
        path: () => blob(image.layer),
        headers: { "if-unmodified-since": "Thu, 01 Jan 1970 00:00:00 GMT" },
        status: 200,
        digest: () => image.layer,
      },
    ]),
  ];

  serveRows("Determining support", support, () => gateway);
  serveRows("Pulling manifests", manifests, () => gateway);
  serveRows("Pulling blobs", blobs, () => gateway);

  it("answers a range of a blob that is not cached yet with the whole: RFC 9110 section 14.2, it MAY be ignored", async () => {
    const digest = `sha256:${createHash("sha256").update("0123456789").digest("hex")}`;
    const answer = await gateway.get(blob(digest), { headers: { range: "bytes=2-3" } });
    expect([200, 206]).to.include(answer.status);
    expect(answer.body.toString()).to.equal(answer.status === 200 ? "0123456789" : "23");
  });

  const writes: [string, string, () => string][] = [
    ["end-4a", "POST", () => "/v2/demo-app/blobs/uploads/"],
    ["end-4b", "POST", () => `/v2/demo-app/blobs/uploads/?digest=${image.layer}`],
    ["end-5", "PATCH", () => "/v2/demo-app/blobs/uploads/1"],
    ["end-6", "PUT", () => `/v2/demo-app/blobs/uploads/1?digest=${image.layer}`],
    ["end-7", "PUT", () => manifest("v9")],
    ["end-9", "DELETE", () => manifest("v1")],
    ["end-10", "DELETE", () => blob(image.layer)],
    ["end-11", "POST", () => `/v2/demo-app/blobs/uploads/?mount=${image.layer}&from=other`],
  ];
  for (const [end, method, path] of writes) {
    it(`${end}: refuses ${method} with code-13 "the operation is unsupported"`, async () => {
      const answer = await gateway.get(path(), { method });
      expect([answer.status, ociErrorOf(answer)]).to.deep.equal([405, "UNSUPPORTED"]);
      expect(answer.headers.get("allow")).to.equal("GET, HEAD");
      expect((await gateway.get(manifest("v1"))).status, "control: nothing is gone").to.equal(200);
    });
  }

  it("end-13: has no uploads to ask about", async () => {
    expect((await gateway.get("/v2/demo-app/blobs/uploads/1")).status).to.equal(404);
  });
});
