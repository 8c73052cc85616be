import { expect } from "chai";
import fc from "fast-check";
import { renameTagsList, rewriteNextLink } from "../../core/gateway/pages.ts";
import { formatRegistryPath, isRepositoryName, parseRegistryRequest } from "../../core/gateway/request.ts";

const D256 = `sha256:${"0".repeat(64)}`;
const D512 = `sha512:${"f".repeat(128)}`;

describe("a request to the gateway", () => {
  const accepted: [string, object][] = [
    ["/v2/", { kind: "ping" }],
    ["/v2", { kind: "ping" }],
    ["/v2/nginx/manifests/1.27", { kind: "manifest", repository: "nginx", reference: "1.27" }],
    [`/v2/hub/nginx/manifests/${D256}`, { kind: "manifest", repository: "hub/nginx", reference: D256 }],
    [`/v2/hub/nginx/manifests/${D512}`, { kind: "manifest", repository: "hub/nginx", reference: D512 }],
    ["/v2/nginx/manifests/1.27?ns=docker.io", { kind: "manifest", repository: "nginx", reference: "1.27" }],
    [
      `/v2/nginx/manifests/sha256-${"0".repeat(64)}`,
      { kind: "manifest", repository: "nginx", reference: `sha256-${"0".repeat(64)}` },
    ],
    [`/v2/nginx/blobs/${D256}`, { kind: "blob", repository: "nginx", reference: D256 }],
    ["/v2/nginx/tags/list", { kind: "tags", repository: "nginx", query: "" }],
    ["/v2/nginx/tags/list?n=10&last=1.2&x=y", { kind: "tags", repository: "nginx", query: "n=10&last=1.2" }],
    [`/v2/nginx/referrers/${D256}`, { kind: "referrers", repository: "nginx", reference: D256, query: "" }],
    [
      `/v2/nginx/referrers/${D256}?artifactType=application%2Fvnd.dev.cosign.artifact.sig.v1%2Bjson`,
      {
        kind: "referrers",
        repository: "nginx",
        reference: D256,
        query: "artifactType=application%2Fvnd.dev.cosign.artifact.sig.v1%2Bjson",
      },
    ],
    ["/v2/a/manifests/b/manifests/c", { kind: "manifest", repository: "a/manifests/b", reference: "c" }],
    ["/v2/manifests/tags/list", { kind: "tags", repository: "manifests", query: "" }],
    ["/v2/tags/manifests/list", { kind: "manifest", repository: "tags", reference: "list" }],
  ];
  for (const [target, request] of accepted) {
    it(`reads ${target.slice(0, 60)}`, () => {
      for (const method of ["GET", "HEAD"])
        expect(parseRegistryRequest(method, target)).to.deep.equal({ ok: true, request });
    });
  }

  const refused: [string, number, string][] = [
    ["", 404, "UNSUPPORTED"],
    ["/", 404, "UNSUPPORTED"],
    ["*", 404, "UNSUPPORTED"],
    ["/v1/", 404, "UNSUPPORTED"],
    ["//v2/", 404, "UNSUPPORTED"],
    ["/v2//", 404, "UNSUPPORTED"],
    ["http://elsewhere/v2/", 404, "UNSUPPORTED"],
    ["/v2/_catalog", 404, "UNSUPPORTED"],
    ["/v2/nginx", 404, "UNSUPPORTED"],
    ["/v2/manifests/x", 404, "UNSUPPORTED"],
    ["/v2/nginx/tags", 404, "UNSUPPORTED"],
    ["/v2/nginx/tags/x", 404, "UNSUPPORTED"],
    ["/v2/nginx/manifests/1/", 404, "UNSUPPORTED"],
    ["/v2/nginx/blobs/uploads/", 404, "UNSUPPORTED"],
    ["/v2/nginx/blobs/uploads", 400, "DIGEST_INVALID"],
    ["/v2//manifests/x", 400, "NAME_INVALID"],
    ["/v2/Nginx/manifests/1", 400, "NAME_INVALID"],
    ["/v2/../etc/manifests/1", 400, "NAME_INVALID"],
    ["/v2/nginx/../secret/manifests/1", 400, "NAME_INVALID"],
    ["/v2/./nginx/manifests/1", 400, "NAME_INVALID"],
    ["/v2/nginx//x/manifests/1", 400, "NAME_INVALID"],
    ["/v2/hub%2fsecret/manifests/1", 400, "NAME_INVALID"],
    ["/v2/hub%2Fsecret/manifests/1", 400, "NAME_INVALID"],
    ["/v2/hub\\secret/manifests/1", 400, "NAME_INVALID"],
    ["/v2/hub;x=y/manifests/1", 400, "NAME_INVALID"],
    ["/v2/hub\u0000/manifests/1", 400, "NAME_INVALID"],
    ["/v2/hub#/manifests/1", 400, "NAME_INVALID"],
    [`/v2/${"a".repeat(256)}/manifests/1`, 400, "NAME_INVALID"],
    [`/v2/${"a".repeat(1100)}/manifests/1`, 414, "NAME_INVALID"],
    ["/v2/nginx/manifests/..", 404, "MANIFEST_UNKNOWN"],
    ["/v2/nginx/manifests/%2e%2e", 404, "MANIFEST_UNKNOWN"],
    ["/v2/nginx/manifests/", 404, "MANIFEST_UNKNOWN"],
    [`/v2/nginx/manifests/${"a".repeat(129)}`, 404, "MANIFEST_UNKNOWN"],
    ["/v2/nginx/manifests/sha256:0", 400, "DIGEST_INVALID"],
    [`/v2/nginx/manifests/sha256:${"A".repeat(64)}`, 400, "DIGEST_INVALID"],
    [`/v2/nginx/manifests/md5:${"0".repeat(32)}`, 400, "DIGEST_INVALID"],
    [`/v2/nginx/blobs/${D256}0`, 400, "DIGEST_INVALID"],
    ["/v2/nginx/tags/list?n=x", 400, "UNSUPPORTED"],
    ["/v2/nginx/tags/list?n=-1", 400, "UNSUPPORTED"],
    ["/v2/nginx/tags/list?last=%0d%0a", 400, "UNSUPPORTED"],
    [`/v2/nginx/referrers/${D256}?artifactType=x`, 400, "UNSUPPORTED"],
  ];
  for (const [target, status, code] of refused) {
    it(`refuses ${JSON.stringify(target.slice(0, 60))}`, () => {
      const parsed = parseRegistryRequest("GET", target);
      expect(parsed.ok).to.equal(false);
      if (!parsed.ok) expect(parsed.error).to.include({ status, code });
    });
  }

  it("refuses every method but GET and HEAD", () => {
    for (const method of ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "get", "", "X".repeat(500)]) {
      const parsed = parseRegistryRequest(method, "/v2/nginx/manifests/1");
      expect(parsed.ok ? parsed : parsed.error).to.include({ status: 405, code: "UNSUPPORTED" });
    }
  });

  it("sends on exactly what it matched, whatever comes (fuzz)", () => {
    const hostile = fc.constantFrom(
      "/",
      "//",
      "..",
      ".",
      "%2e",
      "%2f",
      "%00",
      "\\",
      "?",
      "#",
      ":",
      "@",
      "manifests",
      "blobs",
      "tags",
      "list",
      "v2",
      D256,
      "A",
      " ",
      "\r\n",
      "é",
    );
    const target = fc.oneof(
      fc.string({ unit: "grapheme", maxLength: 80 }),
      fc.array(hostile, { maxLength: 14 }).map((parts) => `/v2/${parts.join("")}`),
      fc
        .array(fc.oneof(hostile, fc.constantFrom("nginx", "hub")), { maxLength: 8 })
        .map((parts) => `/v2/${parts.join("/")}/manifests/latest`),
    );
    fc.assert(
      fc.property(target, (text) => {
        const parsed = parseRegistryRequest("GET", text);
        if (!parsed.ok) return parsed.error.status >= 400 && parsed.error.status < 500;
        if (parsed.request.kind === "ping")
          return text === "/v2/" || text === "/v2" || text.startsWith("/v2/?") || text.startsWith("/v2?");
        const path = formatRegistryPath(parsed.request, parsed.request.repository);
        // What a URL parser makes of the path is the path itself: nothing in it can be resolved, decoded or cleaned into another.
        return (
          isRepositoryName(parsed.request.repository) &&
          path.split("?")[0] === text.split("?")[0] &&
          new URL(path, "http://backend").pathname === path.split("?")[0]
        );
      }),
      { numRuns: 3000 },
    );
  });
});

describe("the pages of a list", () => {
  const sent = { kind: "tags", repository: "library/nginx", query: "n=2" } as const;

  it("have their next link under the cache's name, relative", () => {
    for (const prefix of ["", "http://backend:5000", "https://backend"]) {
      const link = `<${prefix}/v2/library/nginx/tags/list?last=1.2&n=2>; rel="next"`;
      expect(rewriteNextLink(link, sent, "hub/nginx")).to.equal('</v2/hub/nginx/tags/list?n=2&last=1.2>; rel="next"');
    }
  });

  for (const link of [
    '</v2/library/secret/tags/list?last=1.2&n=2>; rel="next"',
    '</v2/library/nginx/manifests/latest>; rel="next"',
    '</v2/library/nginx/tags/list?last=1.2&n=2>; rel="prev"',
    '</v2/library/nginx/../secret/tags/list>; rel="next"',
    "garbage",
    "",
  ]) {
    it(`refuse ${JSON.stringify(link)}`, () => expect(rewriteNextLink(link, sent, "hub/nginx")).to.equal(undefined));
  }

  it("carry the cache's name in the body", () => {
    expect(renameTagsList('{"name":"library/nginx","tags":["a","b"],"x":1}', "hub/nginx")).to.equal(
      '{"name":"hub/nginx","tags":["a","b"]}',
    );
    expect(renameTagsList('{"name":"library/nginx","tags":null}', "hub/nginx")).to.equal(
      '{"name":"hub/nginx","tags":[]}',
    );
    for (const body of ["", "<html>", "[]", "null", '{"tags":"a"}', '{"tags":[1]}'])
      expect(renameTagsList(body, "x"), body).to.equal(undefined);
  });
});
