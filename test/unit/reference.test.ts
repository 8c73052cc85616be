import { expect } from "chai";
import fc from "fast-check";
import { DomainError } from "../../core/errors.ts";
import { canonicalName, isPlainHttpHost, parseReference, pinned } from "../../core/image/reference.ts";

const DIGEST = `sha256:${"a".repeat(64)}` as const;

const NAMES: readonly (readonly [written: string, canonical: string])[] = [
  ["nginx", "index.docker.io/library/nginx:latest"],
  ["nginx:1", "index.docker.io/library/nginx:1"],
  ["docker.io/nginx", "index.docker.io/library/nginx:latest"],
  ["registry-1.docker.io/bitnami/redis:7", "index.docker.io/bitnami/redis:7"],
  ["bitnami/redis", "index.docker.io/bitnami/redis:latest"],
  ["ghcr.io/a/b/c:v1", "ghcr.io/a/b/c:v1"],
  ["GHCR.io/a/b", "ghcr.io/a/b:latest"],
  ["Registry/a", "registry/a:latest"],
  ["localhost/a", "localhost/a:latest"],
  ["localhost:5000/a:v1", "localhost:5000/a:v1"],
  ["[::1]:5000/a", "[::1]:5000/a:latest"],
  [`nginx:1@${DIGEST}`, `index.docker.io/library/nginx@${DIGEST}`],
  [`ghcr.io/a/b@${DIGEST}`, `ghcr.io/a/b@${DIGEST}`],
];

const INVALID = [
  "",
  "Nginx",
  "nginx:",
  "nginx:-bad",
  "ghcr.io/",
  "ghcr.io//a",
  "ghcr.io/a b",
  "a/../b",
  "https://ghcr.io/a",
  "nginx@sha256:abc",
  `nginx@sha512:${"a".repeat(128)}`,
  `nginx@${DIGEST}@${DIGEST}`,
  "host:port/a",
  `${"a".repeat(300)}`,
];

describe("image references", () => {
  for (const [written, canonical] of NAMES) {
    it(`${written} is ${canonical}`, () => expect(canonicalName(parseReference(written))).to.equal(canonical));
  }

  for (const text of INVALID) {
    it(`refuses ${JSON.stringify(text.slice(0, 40))}`, () => {
      expect(() => parseReference(text))
        .to.throw(DomainError)
        .with.property("code", "REFERENCE_INVALID");
    });
  }

  it("adds a digest to what was written, and to nothing that has one", () => {
    expect(pinned(parseReference("nginx:1"), DIGEST)).to.equal(`nginx:1@${DIGEST}`);
    expect(pinned(parseReference(`nginx@${DIGEST}`), `sha256:${"b".repeat(64)}`)).to.equal(`nginx@${DIGEST}`);
  });

  it("reads what it wrote the same way again", () => {
    const part = fc.stringMatching(/^[a-z0-9]{1,8}(?:[._-][a-z0-9]{1,4})?$/);
    fc.assert(
      fc.property(
        fc.stringMatching(/^[a-z0-9]{1,8}$/),
        fc.array(part, { minLength: 1, maxLength: 3 }),
        fc.option(part),
        (host, path, tag) => {
          const canonical = canonicalName(
            parseReference(`${host}.io/${path.join("/")}${tag === null ? "" : `:${tag}`}`),
          );
          expect(canonicalName(parseReference(canonical))).to.equal(canonical);
        },
      ),
    );
  });

  it("throws nothing but its own error, whatever it is given", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 80 }).map((bytes) => Buffer.from(bytes).toString("latin1")),
        (text) => {
          try {
            parseReference(text);
          } catch (thrown) {
            expect(thrown).to.be.instanceOf(DomainError);
          }
        },
      ),
    );
  });

  it("knows plain HTTP registries by their names alone", () => {
    const plain = [
      "localhost",
      "localhost:5000",
      "registry.local:5000",
      "10.0.0.1:5000",
      "192.168.1.1",
      "172.16.0.1",
      "127.0.0.1:1",
    ];
    const secure = ["ghcr.io", "localhost.io", "172.32.0.1", "11.0.0.1", "10.evil.com", "registry.local.evil.com"];
    expect(plain.filter((host) => !isPlainHttpHost(host))).to.deep.equal([]);
    expect(secure.filter(isPlainHttpHost)).to.deep.equal([]);
  });
});
