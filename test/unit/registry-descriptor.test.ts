import { expect } from "chai";
import fc from "fast-check";
import { descriptorOf, parseManifest } from "../../core/registry/descriptor.ts";
import { excerpt, parseOciError } from "../../core/registry/excerpt.ts";
import { isBundleType } from "../../core/registry/media-types.ts";

const DIGEST = `sha256:${"0".repeat(64)}`;
const GOOD = { mediaType: "a/b", digest: DIGEST, size: 3, annotations: { k: "v", n: 1 } };

describe("a manifest", () => {
  it("keeps well-formed descriptors and drops the others", () => {
    const layers = [
      GOOD,
      { ...GOOD, digest: "sha512:00" },
      { ...GOOD, size: -1 },
      { ...GOOD, size: 1e300 },
      { ...GOOD, mediaType: 7 },
      null,
      "x",
    ];
    const manifest = parseManifest(
      JSON.stringify({ schemaVersion: 2, layers, artifactType: "t", annotations: { a: "b" } }),
    );
    expect(manifest?.layers).to.have.length(1);
    expect([...(manifest?.layers[0]?.annotations ?? [])]).to.deep.equal([["k", "v"]]);
    expect(manifest?.artifactType).to.equal("t");
  });

  for (const text of ["", "{", "null", "[]", '"x"', "{}", '{"schemaVersion":1}', '{"schemaVersion":"2"}', "<html>"]) {
    it(`is not ${JSON.stringify(text)}`, () => expect(parseManifest(text)).to.equal(undefined));
  }

  it("never throws, whatever JSON it is made of", () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (layers, annotations) => {
        parseManifest(JSON.stringify({ schemaVersion: 2, layers, manifests: layers, annotations }));
        descriptorOf(layers);
      }),
    );
  });

  it("has annotations that cannot reach a prototype", () => {
    const manifest = parseManifest('{"schemaVersion":2,"annotations":{"__proto__":"x","constructor":"y"}}');
    expect(manifest?.annotations.get("__proto__")).to.equal("x");
    expect(manifest?.annotations.get("toString")).to.equal(undefined);
  });
});

// Controls, bidirectional overrides, separators, a zero-width joiner, a lone surrogate, an astral character, and harmless ones.
const ODD = [
  "\0",
  "\u001b",
  "\n",
  "\u0085",
  "\u202e",
  "\u2066",
  "\u2028",
  "\u2029",
  "\u200d",
  "\ufeff",
  "\ud800",
  "😀",
  "a",
  " ",
  "é",
];

describe("foreign text in messages", () => {
  it("is one printable line of bounded length", () => {
    expect(excerpt("a\r\nb\u001b[31mred\u202e\u2028x", 80)).to.equal("a b [31mred x");
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...ODD), maxLength: 400 }), (text) => {
        expect(excerpt(text, 50)).to.match(/^[^\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]{0,51}$/u);
      }),
    );
  });

  it("is taken from OCI error bodies alone", () => {
    expect(parseOciError('{"errors":[{"code":"NAME_UNKNOWN","message":"no\\nsuch","detail":{}}]}')).to.deep.equal({
      code: "NAME_UNKNOWN",
      message: "no such",
    });
    expect(parseOciError('{"errors":[{"code":"<script>","message":"x"}]}')).to.equal(undefined);
    expect(parseOciError("<html>secret</html>")).to.equal(undefined);
    expect(parseOciError("null")).to.equal(undefined);
    expect(parseOciError('{"errors":[]}')).to.equal(undefined);
  });
});

describe("the media type of a bundle", () => {
  for (const type of [
    "application/vnd.dev.sigstore.bundle.v0.3+json",
    "application/vnd.dev.sigstore.bundle+json;version=0.1",
    "application/vnd.dev.sigstore.bundle+json;version=0.2",
  ]) {
    it(`is ${type}`, () => expect(isBundleType(type)).to.equal(true));
  }
  for (const type of [
    "application/vnd.dev.sigstore.bundle",
    "application/vnd.dev.sigstore.bundle.v0.3+json+x",
    "xapplication/vnd.dev.sigstore.bundle.v0.3+json",
  ]) {
    it(`is not ${type}`, () => expect(isBundleType(type)).to.equal(false));
  }
});
