import { expect } from "chai";
import fc from "fast-check";
import { RE2JS } from "re2js";
import { DomainError } from "../../core/errors.ts";
import { compileGlob, matchesReference } from "../../core/image/glob.ts";
import { parseReference } from "../../core/image/reference.ts";
import { cpuMs } from "../support/cpu-time.ts";

const DIGEST = "sha256:5504f2a95018e3d8a52d80d9e1a128c6ea337581808ff9fe96f5628ce2336350";

/**
 * policy-controller's own vectors: what each image is matched by (+), is not matched by (-), and where the glob is
 * refused (!).
 */
const VECTORS: Readonly<Record<string, string>> = {
  foo: "+index.docker.io/library/foo:latest +index.docker.io/library/foo:* +index.docker.io/library/* +index.docker.io/library/*:latest +index.docker.io/*/* +index.docker.io/** +index.docker.** +inde** +** +foo +foo* +foo** +*",
  "myuser/myapp":
    "+index.docker.io/myuser/myapp:latest +index.docker.io/myuser/myapp:* +index.docker.io/myuser/* +index.docker.io/myuser/*:latest +index.docker.io/*/* +index.docker.io/** +index.docker.** +inde** +** +myuser/myapp +myuser/myapp* +myuser/myapp** +*/*",
  "ghcr.io/foo/bar": "+ghcr.io/*/* +ghcr.io/**",
  "ghcr.io/foo": "-ghcr.io/*/* +ghcr.io/** +ghc** +** +*/** +ghcr.io/foo* +ghcr.io/foo**",
  "prefix-ghcr.io/foo": "-ghcr.io/foo",
  "ghcr.io/foo-suffix": "-ghcr.io/foo",
  "ghcrxio/foo": "-ghcr.io/**",
  "invalid-glob": "!.+ ![a-z]*",
  [`ghcr.io/foo@${DIGEST}`]: `+ghcr.io/foo@${DIGEST}`,
};

/** Where we decide otherwise than policy-controller, or it says nothing: [image, glob, matches]. */
const BEYOND: readonly (readonly [string, string, boolean])[] = [
  // Docker Hub in all its spellings, on both sides.
  ["nginx", "docker.io/**", true],
  ["nginx", "docker.io/nginx", true],
  ["nginx", "docker.io/library/nginx:latest", true],
  ["nginx:1", "docker.io/*", true],
  ["nginx:1", "docker.**", true],
  ["acme/app:1", "docker.io/*", false],
  ["acme/app:1", "docker.io/acme/*", true],
  ["acme/app:1", "registry-1.docker.io/acme/**", true],
  ["docker.io/library/nginx", "nginx", true],
  ["registry-1.docker.io/library/nginx:1", "index.docker.io/library/nginx:1", true],
  ["docker.io/nginx:1", "nginx:*", true],
  ["quay.io/nginx", "docker.io/**", false],
  ["docker.io.evil.example/nginx", "docker.io/**", false],
  ["ghcr.io/foo", "*/*", false],
  // A path on Docker Hub that looks like another registry is not that registry.
  ["docker.io/ghcr.io/foo", "ghcr.io/**", false],
  ["docker.io/localhost/foo", "localhost/**", false],
  ["docker.io/ghcr.io/foo", "index.docker.io/ghcr.io/foo:latest", true],
  // Tags are matched beside digests, which is what users of policy-controller miss (its issue 888).
  [`quay.io/jetstack/acmesolver:v1.9.1@${DIGEST}`, "quay.io/jetstack/acmesolver:*", true],
  [`ghcr.io/a/b:v1@${DIGEST}`, "ghcr.io/a/b:v1", true],
  [`ghcr.io/a/b:v2@${DIGEST}`, "ghcr.io/a/b:v1", false],
  [`ghcr.io/a/b:v1@${DIGEST}`, `ghcr.io/a/b@${DIGEST}`, true],
  [`ghcr.io/a/b:v1@${DIGEST}`, `ghcr.io/a/b:v1@${DIGEST}`, true],
  [`ghcr.io/a/b:v1@${DIGEST}`, `ghcr.io/a/b:v2@${DIGEST}`, false],
  [`ghcr.io/a/b@${DIGEST}`, "ghcr.io/a/b*", true],
  [`busybox@${DIGEST}`, "*", true],
  [`image@${DIGEST}`, "image*", true],
  ["ghcr.io/a/b:v1", "ghcr.io/a/b", false],
  ["ghcr.io/a/b", "ghcr.io/a/b:latest", true],
  ["ghcr.io/a/b:latest", "ghcr.io/a/b", true],
  [`nginx:v1@${DIGEST}`, `index.docker.io/library/nginx:v1@${DIGEST}`, true],
  [`nginx:v1@${DIGEST}`, `docker.io/library/nginx@${DIGEST}`, true],
  // Anchored on both ends, and one star never crosses a slash.
  ["ghcr.io/a/b/c:v1", "ghcr.io/a/*", false],
  ["ghcr.io/a/b/c:v1", "ghcr.io/a/**", true],
  ["ghcr.io/a/b/c:v1", "ghcr.io/*/*/c:*", true],
  ["registry.example:5000/a:v1", "registry.example:5000/*", true],
  ["registry.example:5000/a:v1", "registry.example/*", false],
];

describe("glob", () => {
  for (const [image, globs] of Object.entries(VECTORS)) {
    for (const vector of globs.split(" ")) {
      const glob = vector.slice(1);
      it(`${image} ${vector}`, () => {
        if (vector.startsWith("!")) expect(() => compileGlob(glob)).to.throw(DomainError, `invalid glob "${glob}"`);
        else expect(compileGlob(glob).matches(image)).to.equal(vector.startsWith("+"));
      });
    }
  }

  it("has all 42 of policy-controller's vectors", () => {
    const rows = Object.values(VECTORS).flatMap((globs) => globs.split(" "));
    expect(rows.length + 1).to.equal(42); // and the image that is none, below
  });

  it("refuses what is no image", () => {
    expect(() => compileGlob("**").matches("invalid&name")).to.throw(DomainError, "invalid&name");
  });

  for (const [image, glob, matches] of BEYOND) {
    it(`${image} ${matches ? "+" : "-"}${glob}`, () => expect(compileGlob(glob).matches(image)).to.equal(matches));
  }

  for (const glob of ["", "$FOO*", "a b", "a\n", "a?", "a\\", "{a}", "é"]) {
    it(`refuses ${JSON.stringify(glob)}`, () => expect(() => compileGlob(glob)).to.throw(DomainError, "invalid glob"));
  }

  const glob = fc.array(fc.constantFrom("*", "**", "/", "a", "b", ".", ":", "a/", "@"), {
    minLength: 1,
    maxLength: 12,
  });
  const text = fc.array(fc.constantFrom("a", "b", ".", "/", ":", "@", "x"), { maxLength: 16 });

  it("agrees with the regular expression that policy-controller makes of a glob", () => {
    fc.assert(
      fc.property(glob, text, (parts, letters) => {
        const pattern = parts.join("");
        fc.pre(pattern !== "*" && pattern !== "*/*");
        const regex = `^${pattern.replaceAll(".", "\\.").replaceAll("**", "\0").replaceAll("*", "[^/]*").replaceAll("\0", ".*")}$`;
        expect(compileGlob(pattern).matchesText(letters.join(""))).to.equal(
          RE2JS.compile(regex).matcher(letters.join("")).find(),
        );
      }),
      { numRuns: 1000 },
    );
  });

  const name = fc.constantFrom("nginx", "acme/app", "library/nginx", "a/b/c");
  const tag = fc.constantFrom("", ":latest", ":1", ":v1.2.3");

  it("decides alike for every spelling of an image on Docker Hub", () => {
    fc.assert(
      fc.property(glob, tag, (parts, version) => {
        const compiled = compileGlob(parts.join(""));
        const names = ["nginx", "library/nginx", "docker.io/nginx", "docker.io/library/nginx"];
        expect(new Set(names.map((image) => compiled.matches(image + version))).size).to.equal(1);
      }),
    );
  });

  it("still matches once a digest is added: what mutation decided, validation decides", () => {
    fc.assert(
      fc.property(glob, name, tag, (parts, image, version) => {
        const compiled = compileGlob(parts.join(""));
        fc.pre(matchesReference(compiled, parseReference(image + version)));
        expect(compiled.matches(`${image}${version}@${DIGEST}`)).to.equal(true);
      }),
    );
  });

  it("takes no longer for a pattern that would make a backtracking matcher explode", () => {
    const compiled = compileGlob(`${"**a*".repeat(60)}b`);
    const evil = () => compiled.matchesText("a".repeat(500));
    expect(evil()).to.equal(false);
    expect(cpuMs(evil)).to.be.lessThan(250);
  });
});
