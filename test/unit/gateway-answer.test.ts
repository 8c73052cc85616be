import { expect } from "chai";
import fc from "fast-check";
import { judgeAnswer } from "../../core/gateway/answer.ts";
import { ociErrorBody, undeclared } from "../../core/gateway/errors.ts";
import { requestHeaders, responseHeaders } from "../../core/gateway/headers.ts";

const DIGEST = `sha256:${"0".repeat(64)}`;
const OTHER = `sha256:${"1".repeat(64)}`;
const scope = { rule: "nginx", source: "index.docker.io/library/nginx" };
const byTag = { kind: "manifest", reference: "1.27" } as const;
const byDigest = { kind: "manifest", reference: DIGEST } as const;
const blob = { kind: "blob", reference: DIGEST } as const;
const good = { "docker-content-digest": DIGEST };

function verdict(...args: Parameters<typeof judgeAnswer>): string {
  const judged = judgeAnswer(...args);
  return judged.kind === "error" ? `${judged.error.status} ${judged.error.code}` : judged.kind;
}

describe("the backend's answer", () => {
  const cases: [string, Parameters<typeof judgeAnswer>, string][] = [
    ["a manifest by tag", [200, good, byTag, scope], "content"],
    ["a manifest by digest", [200, good, byDigest, scope], "content"],
    ["a part of a blob", [206, good, blob, scope], "content"],
    ["not modified", [304, {}, byTag, scope], "headers"],
    ["another than the client's If-Match names", [412, {}, blob, scope], "headers"],
    ["an unsatisfiable range", [416, {}, blob, scope], "headers"],
    ["a page without a digest", [200, { "content-type": "text/html" }, byTag, scope], "502 UNKNOWN"],
    ["another digest than was asked for", [200, { "docker-content-digest": OTHER }, byDigest, scope], "502 UNKNOWN"],
    ["no digest at all", [200, { "docker-content-digest": "x" }, byTag, scope], "502 UNKNOWN"],
    ["encoded content", [200, { ...good, "content-encoding": "gzip" }, blob, scope], "502 UNKNOWN"],
    ["another success", [204, good, blob, scope], "502 UNKNOWN"],
    ["an unknown manifest", [404, {}, byTag, scope], "404 MANIFEST_UNKNOWN"],
    ["an unknown blob", [404, {}, blob, scope], "404 BLOB_UNKNOWN"],
    ["no tags", [404, {}, { kind: "tags" }, scope], "404 NAME_UNKNOWN"],
    ["unauthorised", [401, {}, byTag, scope], "403 DENIED"],
    ["forbidden", [403, {}, byTag, scope], "403 DENIED"],
    ["too many requests", [429, {}, byTag, scope], "429 TOOMANYREQUESTS"],
    ["a redirect", [307, { location: "http://elsewhere/" }, blob, scope], "502 UNKNOWN"],
    ["a redirect on the same host", [302, { location: "/v2/secret/blobs/x" }, blob, scope], "502 UNKNOWN"],
    ["a failure", [500, {}, byTag, scope], "502 UNKNOWN"],
  ];
  for (const [what, args, expected] of cases)
    it(`${what}: ${expected}`, () => expect(verdict(...args)).to.equal(expected));

  it("that is a 404 is no absence while the upstream cannot be asked", () => {
    const impaired = { ...scope, upstreamProblem: "dial tcp: no route to host" };
    const judged = judgeAnswer(404, {}, byTag, impaired);
    expect(judged).to.have.nested.property("error.status", 502);
    expect(judged)
      .to.have.nested.property("error.message")
      .that.includes("no route to host")
      .and.includes('CacheRule "nginx"');
  });

  it("as an error always names the rule and the upstream's repository", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 100, max: 599 }),
        fc.constantFrom(byTag, byDigest, blob, { kind: "tags" } as const),
        (status, wanted) => {
          const judged = judgeAnswer(status, {}, wanted, scope);
          return (
            judged.kind !== "error" ||
            (judged.error.message.includes("nginx") && judged.error.message.includes(scope.source))
          );
        },
      ),
    );
  });
});

describe("an undeclared name", () => {
  it("has this body", () => {
    expect(JSON.parse(ociErrorBody(undeclared("nginx", "main")))).to.deep.equal({
      errors: [
        {
          code: "NAME_UNKNOWN",
          message:
            'repository "nginx" is not declared in this cache: no accepted CacheRule of CacheRegistry "main" has a target that names it (see: kubectl get cacherules)',
        },
      ],
    });
  });
});

describe("headers", () => {
  it("of the client go on by an allow-list; credentials do not", () => {
    const sent = requestHeaders({
      authorization: "Basic c2VjcmV0",
      cookie: "a=b",
      connection: "x-secret",
      host: "cache",
      "x-forwarded-for": "1.2.3.4",
      "transfer-encoding": "chunked",
      range: "bytes=0-1",
      "if-none-match": '"x"',
      accept: "application/vnd.oci.image.manifest.v1+json",
    });
    expect(sent).to.deep.equal({
      range: "bytes=0-1",
      "if-none-match": '"x"',
      accept: "application/vnd.oci.image.manifest.v1+json",
      "accept-encoding": "identity",
      "user-agent": "entrepot-gateway",
    });
  });

  it("of a client that takes anything name the manifest types", () => {
    for (const accept of [undefined, "*/*", "text/html, */*;q=0.8", "application/*"]) {
      expect(requestHeaders({ accept })["accept"], accept).to.match(/^application\/vnd\.oci\.image\.index\.v1\+json, /);
    }
    expect(requestHeaders({ accept: "application/vnd.oci.image.index.v1+json" })["accept"]).to.not.include("docker");
  });

  it("of the backend come back by an allow-list", () => {
    const back = responseHeaders({
      connection: "keep-alive",
      "transfer-encoding": "chunked",
      "set-cookie": ["a=b"],
      "www-authenticate": "Bearer realm=elsewhere",
      location: "http://elsewhere/",
      server: "x",
      "content-length": "3",
      "docker-content-digest": DIGEST,
      etag: "e".repeat(5000),
    });
    expect(back).to.deep.equal({ "content-length": "3", "docker-content-digest": DIGEST });
  });
});
