import { expect } from "chai";
import { eventually } from "../support/kube.ts";
import {
  acceptedRule,
  Cleanup,
  Distribution,
  digestOf,
  GatewayProcess,
  OCI_INDEX,
  OCI_MANIFEST,
} from "./gateway-harness.ts";
import { inClusterRegistry, Stage, servedRule, TtlProxy } from "./refresh-harness.ts";

const HOST = "upstream.test";
const SEMVER = { interval: "1h", tags: [{ semver: ">=1.0.0" }] };

/** Pulls as a node does, by the tag; throws unless every byte is what its digest says. */
async function pull(gateway: GatewayProcess, repository: string, tag: string): Promise<string> {
  const manifest = await gateway.get(`/v2/${repository}/manifests/${tag}`, {
    headers: { accept: `${OCI_MANIFEST}, ${OCI_INDEX}` },
  });
  if (manifest.status !== 200) throw new Error(`manifest ${tag}: ${manifest.status}`);
  const { config, layers } = JSON.parse(manifest.body.toString()) as {
    config: { digest: string };
    layers: { digest: string }[];
  };
  for (const { digest } of [config, ...layers]) {
    const blob = await gateway.get(`/v2/${repository}/blobs/${digest}`);
    if (blob.status !== 200 || digestOf(blob.body) !== digest) throw new Error(`blob ${digest}: ${blob.status}`);
  }
  return digestOf(manifest.body);
}

describe("refresh through the gateway and a real distribution", function () {
  this.timeout(120_000);
  const cleanup = new Cleanup();
  const perTest = new Cleanup();
  let upstream: Distribution;
  let gateway: GatewayProcess;

  before(async function () {
    this.timeout(0);
  });
  beforeEach(async () => {
    upstream = await Distribution.start(perTest);
    const proxy = await Distribution.start(perTest, { upstream });
    gateway = await GatewayProcess.start(perTest, { registry: "main", origins: { [HOST]: proxy.origin } });
    await gateway.setRules([acceptedRule("app", `${HOST}/team/app`, "app")]);
  });
  afterEach(() => perTest.run());
  after(() => cleanup.run());

  const stage = (refresh: Parameters<typeof servedRule>[0], options: ConstructorParameters<typeof Stage>[2] = {}) => {
    const made = new Stage(gateway.origin, servedRule(refresh), options);
    perTest.add(() => made.doors.close());
    return made;
  };
  const push = (tag: string, content = tag) => upstream.pushImage("team/app", tag, Buffer.from(content));
  /** Requests to the upstream's content since `from`: [lists and HEADs, GETs of manifests, requests for blobs]. */
  const asked = (from: number): readonly [number, number, number] => {
    const lines = upstream.requests.slice(from);
    const blobs = lines.filter((line) => line.includes("/blobs/")).length;
    const manifests = lines.filter((line) => line.includes('"GET /v2/team/app/manifests/')).length;
    return [lines.filter((line) => line.includes("/v2/team/app/")).length - blobs - manifests, manifests, blobs];
  };

  it("has a new tag in the cache before anyone asks for it: with the upstream off it is pulled", async () => {
    await push("1.0.0");
    const made = stage(SEMVER);
    await made.run();
    const { digest } = await push("1.1.0");
    await made.later();
    expect(made.tags).to.deep.equal(["app:1.1.0", "app:1.0.0"]);
    await upstream.stop();
    await eventually("it is pulled from the cache alone", () =>
      pull(gateway, "app", "1.1.0").then(
        (got) => got === digest,
        () => false,
      ),
    );
    expect(made.said("FetchedAhead")).to.include(`app:1.1.0 was fetched ahead: ${digest}`);
    expect(await made.telemetry.metrics()).to.include('entrepot_refresh_pulled_tags_total{reason="new"} 2');
  });

  it("costs no status write and no content of the upstream when nothing is new", async () => {
    await push("1.0.0");
    await push("1.1.0");
    const made = stage({ interval: "1m", tags: [{ glob: "1.*" }] });
    await made.run();
    expect(made.writes).to.have.length(1);
    const before = upstream.requests.length;
    for (let minute = 0; minute < 10; minute++) await made.later(70_000);
    expect(made.writes).to.have.length(1);
    expect(asked(before)).to.deep.equal([10 * 3, 0, 0]); // one list and a HEAD for each of two tags
    expect(made.said("RefreshFailing")).to.deep.equal([]);
  });

  it("does nothing before a look is due, however often it is called", async () => {
    await push("1.0.0");
    const made = stage(SEMVER);
    const wait = (await made.run()) ?? 0;
    expect(wait).to.be.within(0.9 * 3_600_000, 1.1 * 3_600_000);
    const before = upstream.requests.length;
    for (let i = 0; i < 20; i++) expect(await made.run()).to.equal(wait);
    expect(upstream.requests.length).to.equal(before);
  });

  it("fetches a tag again that moved", async () => {
    await push("edge", "one");
    const made = stage({ interval: "1h", tags: [{ glob: "edge" }] });
    await made.run();
    const { digest } = await push("edge", "two");
    await made.later();
    expect(made.cached?.tags?.map((one) => one.digest)).to.deep.equal([digest]);
    await upstream.stop();
    await eventually("the newer is in the cache", () =>
      pull(gateway, "app", "edge").then(
        (got) => got === digest,
        () => false,
      ),
    );
    expect(made.said("FetchedAhead").at(-1)).to.include("names another image upstream");
  });

  it("keeps to the newest versions of a range, and fetches nothing else", async () => {
    for (const tag of ["0.9.0", "1.0.0", "1.9.0", "1.10.0", "2.0.0", "latest"]) await push(tag);
    const before = upstream.requests.length;
    const made = stage({ interval: "1h", tags: [{ semver: "1.x" }], keep: 2 });
    await made.run();
    expect(made.tags).to.deep.equal(["app:1.10.0", "app:1.9.0"]);
    expect(asked(before)[1]).to.equal(2);
    await push("1.11.0");
    const next = upstream.requests.length;
    await made.later();
    expect(asked(next)[1]).to.equal(1);
    // The registry keeps 1.9.0 for 168 hours more, and so it is listed until then.
    expect(made.tags).to.deep.equal(["app:1.11.0", "app:1.10.0", "app:1.9.0"]);
    await made.later(169 * 3_600_000);
    expect(made.tags).to.deep.equal(["app:1.11.0", "app:1.10.0"]);
  });

  it("pulls every platform of an index, and shared layers once", async () => {
    const one = await push("amd64", "shared");
    const two = await push("arm64", "shared");
    const sizes = [one, two].map(({ digest }) => ({ mediaType: OCI_MANIFEST, digest, size: 500 }));
    await upstream.pushManifest(
      "team/app",
      "multi",
      { schemaVersion: 2, mediaType: OCI_INDEX, manifests: sizes },
      OCI_INDEX,
    );
    const made = stage({ interval: "1h", tags: [{ glob: "multi" }] });
    await made.run();
    expect(made.tags).to.deep.equal(["app:multi"]);
    const bytes = made.cached?.tags?.[0]?.bytes;
    expect(await made.telemetry.metrics()).to.include(`entrepot_refresh_pulled_bytes_total ${bytes}\n`);
    await upstream.stop();
    await eventually("both are there", async () => {
      const got = await Promise.all([one, two].map(({ digest }) => pull(gateway, "app", digest).catch(() => "")));
      return got[0] === one.digest && got[1] === two.digest;
    });
  });

  it("keeps what it knows when the upstream is gone, and says so once it lasts", async () => {
    await push("1.0.0");
    const made = stage(SEMVER);
    await made.run();
    await upstream.stop();
    const known = made.cached;
    await made.later(); // the proxy lists what it has: nothing moves
    expect(made.cached).to.deep.equal(known);
    const conditions = [
      { type: "UpstreamReachable", status: "False", message: "upstream upstream.test: it refuses the connection" },
    ];
    made.rule = {
      ...servedRule(SEMVER, { conditions }),
      status: { ...servedRule(SEMVER, { conditions }).status, cached: known },
    } as typeof made.rule;
    await made.later();
    expect(made.said("RefreshFailing")).to.deep.equal([]);
    await made.later();
    expect(made.said("RefreshFailing")).to.deep.equal([
      "refreshing fails, what is cached stays: upstream upstream.test: it refuses the connection",
    ]);
    expect(made.cached).to.deep.equal(known);
    expect(made.writes).to.have.length(1);
    await upstream.run();
    made.rule = { ...servedRule(SEMVER), status: { ...servedRule(SEMVER).status, cached: known } } as typeof made.rule;
    const { digest } = await push("1.2.0");
    await made.run(); // at once, since the obstacle is gone
    expect(made.cached?.tags?.[0]?.digest).to.equal(digest);
  });

  it("after a restart waits its share of the interval, and fetches nothing that it has", async () => {
    await push("1.0.0");
    const made = stage(SEMVER);
    await made.run();
    made.restart();
    const before = upstream.requests.length;
    const wait = (await made.run()) ?? 0;
    expect(wait).to.be.within(1, 3_600_000);
    expect(upstream.requests.length).to.equal(before);
    await made.later(wait);
    expect(asked(before)).to.deep.equal([2, 0, 0]);
    expect(made.writes).to.have.length(1);
  });

  it("without tags follows nothing of a cache that does not tell what was pulled, and says so", async () => {
    await push("1.0.0");
    const made = stage({ interval: "1h" });
    await made.run();
    expect(made.tags).to.deep.equal([]);
    expect(made.said("RefreshLimited").join()).to.include("write them in spec.refresh.tags");
    await made.later();
    expect(made.said("RefreshLimited")).to.have.length(1);
  });

  it("writes status later when the API server does not answer", async () => {
    await push("1.0.0");
    const made = stage(SEMVER);
    made.refuseWrites = 1;
    expect(await made.run().catch((thrown: unknown) => String(thrown))).to.include("no API server");
    expect(made.tags).to.deep.equal([]);
    await made.run();
    expect(made.tags).to.deep.equal(["app:1.0.0"]);
    expect(made.said("FetchedAhead")).to.have.length(1);
  });

  it("forgets a rule whose spec.refresh is taken away, and its status.cached", async () => {
    await push("1.0.0");
    const made = stage(SEMVER);
    await made.run();
    const { refresh: _gone, ...spec } = made.rule.spec;
    made.rule = { ...made.rule, spec };
    expect(await made.run()).to.equal(undefined);
    expect(made.cached).to.equal(undefined);
    await made.run();
    expect(made.writes).to.have.length(2);
  });
});

describe("refresh and the registry's ttl", function () {
  this.timeout(120_000);
  const cleanup = new Cleanup();
  after(() => cleanup.run());

  it("what is followed is fetched again when it expires, what is not is dropped by distribution", async () => {
    const upstream = await Distribution.start(cleanup);
    const proxy = await TtlProxy.start(cleanup, upstream.origin, "15s");
    const gateway = await GatewayProcess.start(cleanup, { registry: "main", origins: { [HOST]: proxy.origin } });
    await gateway.setRules([acceptedRule("app", `${HOST}/team/app`, "app")]);
    for (const tag of ["1.0.0", "2.0.0"]) await upstream.pushImage("team/app", tag, Buffer.from(tag));
    const registry = inClusterRegistry("15s");
    const made = new Stage(gateway.origin, servedRule({ interval: "1h", tags: [{ glob: "*" }] }), { registry });
    cleanup.add(() => made.doors.close());
    expect(await made.run()).to.equal(60_000); // at the expiry, but no sooner than a minute
    expect(made.tags).to.deep.equal(["app:2.0.0", "app:1.0.0"]);
    made.rule = { ...made.rule, spec: { ...made.rule.spec, refresh: { interval: "1h", tags: [{ semver: ">=2" }] } } };
    await eventually(
      "distribution drops configuration and layer of both",
      () => (proxy.log.match(/Deleting blob/gi) ?? []).length >= 4 || undefined,
      90_000,
    );
    await made.later();
    expect(made.tags).to.deep.equal(["app:2.0.0"]);
    expect(await made.telemetry.metrics()).to.include('pulled_tags_total{reason="expired"} 1');
    await upstream.stop();
    expect(await pull(gateway, "app", "2.0.0")).to.equal(made.cached?.tags?.[0]?.digest);
    const gone = await pull(gateway, "app", "1.0.0").catch((thrown: unknown) => String(thrown));
    expect(gone).to.match(/manifest 1\.0\.0: (404|50[0-9])/);
  });
});
