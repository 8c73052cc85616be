import { expect } from "chai";
import { load } from "js-yaml";
import { parseMapping } from "../../core/cacherule/mapping.ts";
import {
  DISTRIBUTION_FORMAT,
  distributionCredentials,
  distributionSection,
  distributionShape,
  distributionUpstream,
} from "../../core/product/owndistribution.ts";

const SECTION = { remoteurl: "https://registry-1.docker.io" };
const BASE = `# Our registry
version: 0.1
log:
  fields: {service: registry}   # kept
storage:
  filesystem:
    rootdirectory: /var/lib/registry
  delete:
    enabled: yes
http:
  addr: :5000
  headers:
    X-Content-Type-Options: [nosniff]
`;

describe("what a CNCF distribution serves", () => {
  for (const [source, target] of [
    ["docker.io/*", "*"],
    ["registry.local:5000/*", "*"],
  ] as const) {
    it(`is ${source} to ${target}`, () =>
      expect(distributionShape(parseMapping({ source, target }))).to.equal(undefined));
  }
  for (const [source, target] of [
    ["docker.io/library/*", "*"],
    ["docker.io/*", "hub/*"],
    ["docker.io/library/nginx", "nginx"],
  ] as const) {
    it(`is not ${source} to ${target}`, () => {
      expect(distributionShape(parseMapping({ source, target }))).to.match(/write source docker\.io\/\* and target \*/);
    });
  }
  it("is no upstream with an authority of its own", () => {
    expect(distributionUpstream("ghcr.io", undefined)).to.equal(undefined);
    expect(distributionUpstream("ghcr.io", { host: "ghcr.io", caBundle: "PEM" })).to.match(/SSL_CERT_DIR/);
  });
  it("is read with credentials from the environment", () => {
    const upstream = { host: "index.docker.io", plainHTTP: false };
    expect(distributionSection(upstream)).to.deep.equal(SECTION);
    expect(distributionCredentials(upstream)).to.equal(undefined);
    expect(distributionCredentials({ ...upstream, credentials: { username: "u", password: "p" } })).to.deep.equal({
      REGISTRY_PROXY_USERNAME: "u",
      REGISTRY_PROXY_PASSWORD: "p",
    });
  });
});

describe("a distribution's configuration file", () => {
  it("keeps every byte of the rest when our part comes and goes", () => {
    const written = DISTRIBUTION_FORMAT.write(BASE, SECTION);
    expect(written).to.equal(`${BASE}proxy:\n  remoteurl: "https://registry-1.docker.io"\n`);
    expect(DISTRIBUTION_FORMAT.read(written)).to.deep.equal(SECTION);
    expect(DISTRIBUTION_FORMAT.write(written, undefined)).to.equal(BASE);
  });

  it("keeps what else is said of the proxy, with comments, wherever it stands", () => {
    const text = `proxy: # the cache\n    # a week is too long\n    ttl: 24h\n    remoteurl: http://old.local\n    cachewritetimeout: 1m\n\n# the end\nversion: 0.1\n`;
    const written = DISTRIBUTION_FORMAT.write(text, SECTION);
    expect(written).to.contain("# a week is too long").and.contain("# the cache");
    expect(load(written)).to.deep.equal({
      proxy: { ttl: "24h", cachewritetimeout: "1m", remoteurl: SECTION.remoteurl },
      version: 0.1,
    });
    expect(load(DISTRIBUTION_FORMAT.write(written, undefined))).to.deep.equal({
      proxy: { ttl: "24h", cachewritetimeout: "1m" },
      version: 0.1,
    });
  });

  it("replaces another address of ours", () => {
    const one = DISTRIBUTION_FORMAT.write(BASE, { remoteurl: "http://a.local" });
    expect(DISTRIBUTION_FORMAT.write(one, SECTION)).to.equal(DISTRIBUTION_FORMAT.write(BASE, SECTION));
  });

  const unusable: readonly [string, string, RegExp][] = [
    ["no YAML", "a: [", /not YAML/],
    ["a list", "- a\n", /not a mapping/],
    ["a proxy that is a word", "proxy: yes\n", /proxy is not a mapping/],
    ["a password", "proxy:\n  ttl: 1h\n  password: x\n", /has proxy.password: remove it/],
    ["a command for credentials", "proxy:\n  exec: {command: x}\n", /has proxy.exec: remove it/],
  ];
  for (const [name, text, message] of unusable) {
    it(`is refused with a reason: ${name}`, () => expect(() => DISTRIBUTION_FORMAT.read(text)).to.throw(message));
  }

  for (const text of [
    "proxy: {ttl: 1h}\n",
    '{"version": 0.1}\n',
    "proxy: &a\n  ttl: 1h\nother: *a\n",
    "x: |\n  text\nproxy: {}\n",
  ]) {
    it(`is written right or not at all: ${JSON.stringify(text)}`, () => {
      let written: string;
      try {
        written = DISTRIBUTION_FORMAT.write(text, SECTION);
      } catch (thrown) {
        expect(String(thrown)).to.match(/can't be changed in place|not YAML/);
        return;
      }
      expect(DISTRIBUTION_FORMAT.read(written)).to.deep.equal(SECTION);
    });
  }
});
