import { expect } from "chai";
import { readOperatorConfig } from "../../operator/config.ts";
import { challengesOf, realmMayHaveCredentials, tokenUrl } from "../../operator/incluster/challenge.ts";
import { UpstreamHealthCache } from "../../operator/incluster/upstream-health.ts";
import type { UpstreamHealth } from "../../operator/incluster/upstream-probe.ts";
import { FakeClock, settle } from "../support/fake-clock.ts";

describe("challenges", () => {
  it("are read from the header", () => {
    expect(
      challengesOf('Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="a:b,c"'),
    ).to.deep.equal([
      {
        scheme: "bearer",
        params: new Map([
          ["realm", "https://auth.docker.io/token"],
          ["service", "registry.docker.io"],
          ["scope", "a:b,c"],
        ]),
      },
    ]);
    expect(challengesOf(["Basic realm=x", 'Bearer realm="a\\"b"'])).to.deep.equal([
      { scheme: "basic", params: new Map([["realm", "x"]]) },
      { scheme: "bearer", params: new Map([["realm", 'a"b']]) },
    ]);
    expect(challengesOf(undefined)).to.deep.equal([]);
    expect(challengesOf("")).to.deep.equal([]);
  });

  it("name a token service only by an HTTP address", () => {
    const at = (realm?: string) =>
      tokenUrl({
        scheme: "bearer",
        params: new Map(realm === undefined ? [] : Object.entries({ realm, service: "s p" })),
      });
    expect(at("https://a.example/token?x=1")).to.equal("https://a.example/token?x=1&service=s+p");
    for (const bad of [undefined, "", "token", "file:///etc/passwd", "ftp://x"])
      expect(at(bad), bad).to.equal(undefined);
  });

  const realms: readonly [registry: string, realm: string, allowed: boolean][] = [
    ["https://registry-1.docker.io/v2/", "https://auth.docker.io/token", true],
    ["https://ghcr.io/v2/", "https://ghcr.io/token", true],
    ["https://registry.gitlab.com/v2/", "https://gitlab.com/jwt/auth", true],
    ["http://127.0.0.1:5000/v2/", "http://127.0.0.1:5000/token", true],
    ["http://127.0.0.1:5000/v2/", "http://127.0.0.1:5001/token", false],
    ["https://ghcr.io/v2/", "https://ghcr.io.evil.example/token", false],
    ["https://ghcr.io/v2/", "http://ghcr.io/token", false],
    ["https://a.co.uk/v2/", "https://b.co.uk/token", false],
    ["https://10.0.0.1/v2/", "https://10.0.0.2/token", false],
    ["https://localhost/v2/", "https://localhost:8443/token", false],
  ];
  for (const [registry, realm, allowed] of realms) {
    it(`${allowed ? "lead" : "do not lead"} credentials of ${registry} to ${realm}`, () => {
      expect(realmMayHaveCredentials(registry, realm)).to.equal(allowed);
    });
  }
});

describe("the health of upstreams", () => {
  const upstream = { host: "ghcr.io", plainHTTP: false };
  const good: UpstreamHealth = { kind: "reachable", credentials: "untried" };
  const down: UpstreamHealth = { kind: "unreachable", message: "down" };

  function cache(answers: UpstreamHealth[]) {
    const clock = new FakeClock();
    const changed: string[] = [];
    let probes = 0;
    const health = new UpstreamHealthCache({
      probe: async () => answers[Math.min(probes++, answers.length - 1)] ?? down,
      healthyMs: 60_000,
      unhealthyMs: 5_000,
      clock,
      signal: new AbortController().signal,
      onChange: ({ host }) => changed.push(host),
    });
    return { health, clock, changed, probes: () => probes };
  }

  it("is asked once for everyone", async () => {
    const { health, probes } = cache([good]);
    const all = await Promise.all(Array.from({ length: 100 }, () => health.check(upstream)));
    expect(new Set(all)).to.deep.equal(new Set([good]));
    expect(probes()).to.equal(1);
  });

  it("is asked anew for other credentials", async () => {
    const { health, probes } = cache([good]);
    await health.check(upstream);
    await health.check({ ...upstream, credentials: { username: "u", password: "p" } });
    await health.check({ ...upstream, credentials: { username: "u", password: "p2" } });
    expect(probes()).to.equal(3);
  });

  it("is asked again after its interval, given out meanwhile, and a change is told", async () => {
    const { health, clock, changed, probes } = cache([good, down, down]);
    await health.check(upstream);
    await clock.advance(59_000);
    await health.check(upstream);
    expect(probes()).to.equal(1);
    await clock.advance(2_000);
    expect(await health.check(upstream)).to.equal(good); // nobody waits
    await settle();
    expect(changed).to.deep.equal(["ghcr.io"]);
    expect(await health.check(upstream)).to.equal(down);
    await clock.advance(6_000);
    await health.check(upstream);
    await settle();
    expect(probes()).to.equal(3);
    expect(changed).to.have.length(1); // the same again is no change
  });
});

describe("the operator's configuration", () => {
  it("has defaults for everything but the Pod", () => {
    expect(readOperatorConfig({ POD_NAME: "operator-1" })).to.include({
      namespace: "cosign-system",
      statusPort: 9090,
      distributionImage: "docker.io/library/registry:3.1.2",
      healthyMs: 60_000,
      rotateSealKeysSeconds: 30 * 86_400,
    });
  });

  it("names everything that is wrong at once", () => {
    const env = { SYSTEM_NAMESPACE: "No", STATUS_PORT: "x", HEALTHY_INTERVAL: "0s", SEAL_KEY_RETENTION: "1h" };
    expect(() => readOperatorConfig(env)).to.throw(
      /SYSTEM_NAMESPACE.*POD_NAME.*STATUS_PORT.*HEALTHY_INTERVAL.*SEAL_KEY_RETENTION/,
    );
  });
});
