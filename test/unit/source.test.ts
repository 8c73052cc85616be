import { expect } from "chai";
import { parseSource, parseTarget } from "../../core/cacherule/source.ts";
import { DomainError } from "../../core/errors.ts";

function refusal(read: (text: string) => unknown, text: string): DomainError {
  try {
    read(text);
  } catch (thrown) {
    if (thrown instanceof DomainError) return thrown as DomainError<string>;
    throw thrown;
  }
  throw new Error(`"${text}" was accepted`);
}

describe("a rule's source", () => {
  const HUB = "index.docker.io";
  const accepted: [string, { host: string; path: string; wildcard: boolean }][] = [
    ["docker.io/library/nginx", { host: HUB, path: "library/nginx", wildcard: false }],
    ["docker.io/nginx", { host: HUB, path: "library/nginx", wildcard: false }],
    ["index.docker.io/nginx", { host: HUB, path: "library/nginx", wildcard: false }],
    [
      "registry-1.docker.io/lgmorand/demoappprometheus",
      { host: HUB, path: "lgmorand/demoappprometheus", wildcard: false },
    ],
    ["docker.io/library/*", { host: HUB, path: "library", wildcard: true }],
    ["docker.io/acme/*", { host: HUB, path: "acme", wildcard: true }],
    ["docker.io/*", { host: HUB, path: "", wildcard: true }],
    ["quay.io/a/b/c", { host: "quay.io", path: "a/b/c", wildcard: false }],
    ["registry.local:5000/app", { host: "registry.local:5000", path: "app", wildcard: false }],
    ["localhost/app", { host: "localhost", path: "app", wildcard: false }],
    ["[::1]:5000/app/*", { host: "[::1]:5000", path: "app", wildcard: true }],
    ["127.0.0.1:5000/*", { host: "127.0.0.1:5000", path: "", wildcard: true }],
  ];
  for (const [text, pattern] of accepted) it(`reads ${text}`, () => expect(parseSource(text)).to.deep.equal(pattern));

  const refused: [string, RegExp][] = [
    ["", /it is empty/],
    ["nginx", /must start with the registry's host/],
    ["library/nginx", /must start with the registry's host/],
    ["docker.io", /names a registry alone; write docker\.io\/\*/],
    ["https://docker.io/library/nginx", /leave out the scheme/],
    ["Docker.io/library/nginx", /lower case/],
    ["docker.io/Library/nginx", /lower case/],
    ["docker.io/library/nginx:1.27", /leave out the tag/],
    ["docker.io/library/nginx:1.27/*", /repository must be/],
    [`docker.io/library/nginx@sha256:${"a".repeat(64)}`, /leave out the digest/],
    ["docker.io/library/", /trailing slash/],
    ["/docker.io/library", /leading slash/],
    ["docker.io//nginx", /empty path component/],
    ["docker.io/*/nginx", /wildcard/],
    ["docker.io/library/ng*", /wildcard/],
    ["docker.io/**", /wildcard/],
    ["*", /registry's host|wildcard/],
    ["docker.io/library/ nginx", /white space/],
    ["docker.io/library/nginx\n", /white space/],
    ["docker.io/../nginx", /repository must be/],
    ["docker.io/./nginx", /repository must be/],
    ["docker.io/_nginx", /repository must be/],
    ["docker.io/a%2fb", /repository must be/],
    ["docker.io/library/nginx?x=1", /repository must be/],
    ["-a.io/x", /no registry host/],
    ["quay.io:99999/x", /99999 is no port number/],
    ["quay.io:0/x", /0 is no port number/],
    [`quay.io/${"a".repeat(256)}`, /repository must be/],
  ];
  for (const [text, why] of refused) {
    it(`refuses ${JSON.stringify(text.slice(0, 50))}`, () => {
      const error = refusal(parseSource, text);
      expect(error.code).to.equal("SOURCE_INVALID");
      expect(error.terminal).to.equal(true);
      expect(error.message).to.match(why);
      expect(error.message.length).to.be.lessThan(450);
    });
  }
});

describe("a rule's target", () => {
  const accepted: [string, { path: string; wildcard: boolean }][] = [
    ["demo-prometheus", { path: "demo-prometheus", wildcard: false }],
    ["hub/library/nginx", { path: "hub/library/nginx", wildcard: false }],
    ["hub/*", { path: "hub", wildcard: true }],
    ["docker.io/*", { path: "docker.io", wildcard: true }],
    ["*", { path: "", wildcard: true }],
    ["manifests/blobs", { path: "manifests/blobs", wildcard: false }],
  ];
  for (const [text, pattern] of accepted) it(`reads ${text}`, () => expect(parseTarget(text)).to.deep.equal(pattern));

  const refused: [string, RegExp][] = [
    ["", /it is empty/],
    ["Hub/nginx", /lower case/],
    ["hub/nginx:1", /leave out the tag/],
    ["hub/nginx@sha256:0", /leave out the digest/],
    ["hub/*/nginx", /wildcard/],
    ["*/nginx", /wildcard/],
    ["**", /wildcard/],
    ["/hub", /leading slash/],
    ["hub/", /trailing slash/],
    ["hub//nginx", /empty path component/],
    ["../hub", /repository must be/],
    ["_catalog", /repository must be/],
    ["localhost:5000/hub", /repository must be/],
    ["https://cache/hub", /leave out the scheme/],
  ];
  for (const [text, why] of refused) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      const error = refusal(parseTarget, text);
      expect(error.code).to.equal("TARGET_INVALID");
      expect(error.message).to.match(why);
    });
  }
});
