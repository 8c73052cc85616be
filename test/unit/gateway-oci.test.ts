import { expect } from "chai";
import fc from "fast-check";
import { judgeAnswer } from "../../core/gateway/answer.ts";
import { requestHeaders } from "../../core/gateway/headers.ts";
import { renameTagsList, rewriteNextLink } from "../../core/gateway/pages.ts";
import { parseRegistryRequest } from "../../core/gateway/request.ts";

const SHA256 = `sha256:${"0".repeat(64)}`;
const OTHER = `sha256:${"1".repeat(64)}`;
const SHA512 = `sha512:${"0".repeat(128)}`;

describe("what the specification says and CNCF distribution does not do", () => {
  it("a Range is for GET, and in bytes (RFC 9110 section 14.2)", () => {
    const range = (value: string, method?: "GET" | "HEAD") => requestHeaders({ range: value }, method)["range"];
    expect(range("bytes=0-1")).to.equal("bytes=0-1");
    expect(range("Bytes=0-1", "GET")).to.equal("Bytes=0-1");
    expect(range("bytes=0-1", "HEAD")).to.equal(undefined);
    for (const value of ["items=0-1", "bytes", "", " bytes=0-1"]) expect(range(value), value).to.equal(undefined);
  });

  it("the canonical digest may be named for another algorithm's, and for no other of its own", () => {
    const scope = { rule: "app", source: "registry.local/app" };
    const judged = (asked: string, told: string): string =>
      judgeAnswer(200, { "docker-content-digest": told }, { kind: "blob", reference: asked }, scope).kind;
    expect(judged(SHA512, SHA256)).to.equal("content");
    expect(judged(SHA512, SHA512)).to.equal("content");
    expect(judged(SHA256, SHA256)).to.equal("content");
    expect(judged(SHA256, OTHER)).to.equal("error");
    expect(judged(SHA256, SHA512)).to.equal("error");
    expect(judged(SHA512, `sha512:${"1".repeat(128)}`)).to.equal("error");
  });

  it("the tags after `last` are those after it, whether the backend has cut the list or not", () => {
    const tag = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9.-]{0,3}$/);
    fc.assert(
      fc.property(fc.uniqueArray(tag, { maxLength: 12 }), tag, fc.boolean(), (all, last, cut) => {
        const sorted = all.sort();
        const wanted = sorted.filter((name) => name > last);
        const body = JSON.stringify({ name: "x", tags: cut ? wanted : sorted });
        expect(JSON.parse(renameTagsList(body, "y", last) ?? "")).to.deep.equal({ name: "y", tags: wanted });
      }),
    );
  });

  it("a list in another order than ours is cut only where `last` stands in it", () => {
    const body = '{"name":"x","tags":["a","B","c"]}'; // case-insensitive, as the specification's text has it
    expect(renameTagsList(body, "y", "a")).to.equal('{"name":"y","tags":["B","c"]}');
    expect(renameTagsList(body, "y", "b")).to.equal('{"name":"y","tags":["a","B","c"]}');
  });
});

describe("a page of referrers", () => {
  const parsed = (query: string) => parseRegistryRequest("GET", `/v2/app/referrers/${SHA256}${query}`);
  const sent = { kind: "referrers", repository: "app", reference: SHA256, query: "" } as const;
  const link = (query: string): string => `</v2/app/referrers/${SHA256}${query}>; rel="next"`;

  it("begins where the registry's link says", () => {
    expect(rewriteNextLink(link("?nextToken=abc%3D"), sent, "demo")).to.equal(
      `</v2/demo/referrers/${SHA256}?nextToken=abc%3D>; rel="next"`,
    );
    expect(
      rewriteNextLink(link("?artifactType=a%2Fb&last=x&n=5"), { ...sent, query: "artifactType=a%2Fb" }, "demo"),
    ).to.equal(`</v2/demo/referrers/${SHA256}?artifactType=a%2Fb&n=5&last=x>; rel="next"`);
  });

  it("is an error where the position is not understood: the link would lead to the same page for ever", () => {
    for (const query of ["", "?position=7", "?nextToken=%0d%0a"])
      expect(rewriteNextLink(link(query), sent, "demo"), query).to.equal(undefined);
  });

  it("takes no position that could be anything else", () => {
    for (const query of ["?nextToken=%0d%0aHost:x", "?last=%22", `?n=${"1".repeat(300)}`])
      expect(parsed(query).ok, query).to.equal(false);
    expect(parsed("?x=y")).to.deep.equal({ ok: true, request: sent });
  });
});
