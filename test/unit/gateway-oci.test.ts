import { expect } from "chai";
import fc from "fast-check";
import { judgeAnswer } from "../../core/gateway/answer.ts";
import { blobHeadRequest, blobHeadResponse } from "../../core/gateway/blob-head.ts";
import { requestHeaders } from "../../core/gateway/headers.ts";
import { renameTagsList, rewriteNextLink, startOf } from "../../core/gateway/pages.ts";
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
        expect(JSON.parse(renameTagsList(body, "y", { last, isWhole: true }) ?? "")).to.deep.equal({
          name: "y",
          tags: wanted,
        });
      }),
    );
  });

  it("a whole list in another order than ours is cut only where `last` stands in it", () => {
    const body = '{"name":"x","tags":["a","B","c"]}'; // case-insensitive, as the specification's text has it
    expect(renameTagsList(body, "y", { last: "a", isWhole: true })).to.equal('{"name":"y","tags":["B","c"]}');
    expect(renameTagsList(body, "y", { last: "b", isWhole: true })).to.equal('{"name":"y","tags":["a","B","c"]}');
  });

  it("a page of the upstream's is passed on as it is, in whatever order its tags are", () => {
    const pages: [string, string[]][] = [
      ["a", ["B"]],
      ["v9", ["v10", "v11"]],
      ["1.9", ["1.10", "1.11"]],
      ["b", ["C", "D"]],
    ];
    for (const [last, tags] of pages) {
      const body = JSON.stringify({ name: "y", tags });
      expect(renameTagsList(body, "y", startOf({ query: `n=${tags.length}&last=${last}` })), last).to.equal(body);
    }
    expect(startOf({ query: "n=0&last=a" })).to.deep.equal({ last: "a", isWhole: false });
    expect(startOf({ query: "last=a" })).to.deep.equal({ last: "a", isWhole: true });
    expect(startOf({ query: "n=1" })).to.equal(undefined);
    expect(renameTagsList('{"name":"y","tags":["B"]}', "y", startOf({ query: "last=a" })), "control").to.equal(
      '{"name":"y","tags":[]}',
    );
  });

  it("a page that has `last` in it is of an upstream that does not heed it, and is cut there", () => {
    const body = '{"name":"y","tags":["v2","V3","v1"]}';
    expect(renameTagsList(body, "y", startOf({ query: "n=100&last=V3" }))).to.equal('{"name":"y","tags":["v1"]}');
  });
});

describe("HEAD of a blob", () => {
  it("asks for its first byte, under the client's conditions but for its range", () => {
    const asked = blobHeadRequest({ range: "bytes=5-9", "if-range": '"x"', "if-match": '"y"', "if-none-match": '"z"' });
    expect(asked).to.include({ range: "bytes=0-0", "if-match": '"y"', "if-none-match": '"z"' });
    expect(asked).to.not.have.property("if-range");
  });

  it("is as long as the whole, whether all came or a part", () => {
    const headers = { etag: "x", "docker-content-digest": SHA256 };
    const told = { ...headers, "content-length": "10000" };
    const part = { ...headers, "content-length": "1", "content-range": "bytes 0-0/10000" };
    expect(blobHeadResponse(200, told)).to.deep.equal(told);
    expect(blobHeadResponse(206, part)).to.deep.equal(told);
    for (const range of [undefined, "bytes 0-0/*", "bytes 1-1/5", "items 0-0/5", "bytes 0-0/0", "bytes 0-0/1e3"])
      expect(blobHeadResponse(206, { ...part, "content-range": range }), range).to.equal(undefined);
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
