import { expect } from "chai";
import fc from "fast-check";
import { load } from "js-yaml";
import { distributionConfig } from "../../core/cacheregistry/distribution.ts";
import type { Upstream } from "../../core/cacheregistry/types.ts";
import { isPlainHttp, upstreamUrl } from "../../core/cacheregistry/upstream.ts";

const HUB: Upstream = { host: "index.docker.io", plainHTTP: false };

describe("upstream addresses", () => {
  const cases = [
    { host: "index.docker.io", plainHTTP: false, url: "https://registry-1.docker.io" },
    { host: "ghcr.io", plainHTTP: false, url: "https://ghcr.io" },
    { host: "registry.local:5000", plainHTTP: true, url: "http://registry.local:5000" },
  ];
  for (const { url, ...upstream } of cases) {
    it(`${upstream.host} is ${url}`, () => expect(upstreamUrl(upstream)).to.equal(url));
  }
  it("speaks plain HTTP to names that can have no certificate, unless told otherwise", () => {
    expect(isPlainHttp({ host: "registry.local:5000" })).to.equal(true);
    expect(isPlainHttp({ host: "registry.local:5000", plainHTTP: false })).to.equal(false);
    expect(isPlainHttp({ host: "ghcr.io" })).to.equal(false);
    expect(isPlainHttp({ host: "ghcr.io", plainHTTP: true })).to.equal(true);
  });
});

interface ProxyConfig {
  readonly version: string;
  readonly storage: Readonly<Record<string, object>>;
  readonly proxy: object;
}

describe("the proxy's configuration", () => {
  const read = (text: string) => load(text) as ProxyConfig;

  it("is what distribution needs to proxy, expire and never redirect", () => {
    const config = read(distributionConfig({ ...HUB, credentials: { username: "u", password: "p" } }, { ttl: "24h" }));
    expect(config.proxy).to.deep.equal({
      remoteurl: "https://registry-1.docker.io",
      username: "u",
      password: "p",
      ttl: "24h",
    });
    expect(config.storage["delete"]).to.deep.equal({ enabled: true });
    expect(config.storage["redirect"]).to.deep.equal({ disable: true });
    expect(config.version).to.equal("0.1");
  });

  it("has no credentials for an anonymous upstream", () => {
    expect(read(distributionConfig(HUB)).proxy).to.deep.equal({ remoteurl: "https://registry-1.docker.io" });
  });

  it("holds any credentials as data, never as YAML", () => {
    const nasty = fc.oneof(
      fc.string({ unit: "binary-ascii" }),
      fc.constantFrom(
        '"',
        "'",
        "\n",
        "a: b",
        "- x",
        "#c",
        "$HOME",
        "!!binary x",
        "\u2028",
        "\u0085\u00a0\ufeff",
        "пароль",
        "\u{1f511}",
        "yes",
        "0123",
        "~",
        "{a: 1}",
        "\\",
        '"\nproxy: {remoteurl: "http://evil"}',
      ),
    );
    fc.assert(
      fc.property(nasty, nasty, (username, password) => {
        const text = distributionConfig({ ...HUB, credentials: { username, password } });
        expect(text).to.match(/^[\n\x20-\x7e]*$/);
        const { proxy } = read(text);
        expect(proxy).to.deep.equal({ remoteurl: "https://registry-1.docker.io", username, password });
      }),
      { numRuns: 50 },
    );
  });
});
