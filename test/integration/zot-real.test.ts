import { readFileSync, writeFileSync } from "node:fs";
import { expect } from "chai";
import { parseMapping, toCache } from "../../core/cacherule/mapping.ts";
import type { CacheRuleObject } from "../../crds/index.ts";
import { pushTinyImage, startRegistry, type TestRegistry } from "../support/registry.ts";
import { ruleOf, SIGNAL } from "./product-rendered-harness.ts";
import { OwnZot, requireZot } from "./zot-real-harness.ts";

const NOTHING = { status: 404, digest: null };

/** The repository in the cache that the status of a rule promises. */
function cached({ spec }: CacheRuleObject, host: string, repository: string): string {
  const name = toCache(parseMapping(spec), host, repository);
  if (name === undefined) throw new Error(`${spec.source} does not name ${repository}`);
  return name;
}

describe("a real zot, as it is rendered", function () {
  this.timeout(120_000);
  let open: TestRegistry;
  let closed: TestRegistry;
  let program: string;
  let zot: OwnZot;
  let rules: Readonly<Record<"exact" | "path" | "host", CacheRuleObject>>;
  const all = () => Object.values(rules);

  before(async function () {
    program = requireZot(this);
    this.timeout(0);
    [open, closed] = await Promise.all([startRegistry(), startRegistry({ auth: true })]);
    zot = await OwnZot.create(program, [
      { host: open.host },
      { host: closed.host, ...(closed.user && { login: closed.user }) },
    ]);
    rules = {
      exact: ruleOf("exact", `${open.host}/team/app`, "one/app"),
      path: ruleOf("path", `${open.host}/library/*`, "hub/*"),
      host: ruleOf("host", `${closed.host}/*`, "closed/*"),
    };
    await zot.roll(all());
  });

  after(async () => {
    await zot?.stop();
    await Promise.all([open?.stop(), closed?.stop()]);
  });

  it("is a configuration that zot's own check takes, and an unknown key is not: negative control", async () => {
    const file = await zot.render([rules.exact]);
    expect(await zot.verify(file)).to.include("config file is valid");
    writeFileSync(file, readFileSync(file, "utf8").replace('"stripPrefix"', '"stripprefixes"'));
    const refused = await zot.verify(file).catch(String);
    expect(refused).to.include("Command failed");
    await zot.roll(all());
  });

  for (const [kind, upstream, repository] of [
    ["exact", () => open, "team/app"],
    ["path", () => open, "library/nginx"],
    ["path", () => open, "library/deeper/down/nginx"],
    ["host", () => closed, "private"],
    ["host", () => closed, "private/deeper/down"],
  ] as const) {
    it(`pulls ${repository} by tag and by digest where the ${kind} rule says`, async () => {
      const tagged = await pushTinyImage(upstream(), repository, "v1", `${repository} v1`);
      const digest = await pushTinyImage(upstream(), repository, "other", `${repository} by digest`);
      const name = cached(rules[kind], upstream().host, repository);
      expect(await zot.manifest(name, "v1")).to.deep.equal({ status: 200, digest: tagged });
      expect(await zot.manifest(name, digest)).to.deep.equal({ status: 200, digest });
      expect(await zot.manifest(name, "no-such-tag")).to.deep.equal(NOTHING);
    });
  }

  it("asks no upstream for a name that no rule declares", async () => {
    for (const repository of ["team/app", "team/other", "library", "library/x"])
      await pushTinyImage(open, repository, "v1");
    open.newRequests();
    closed.newRequests();
    for (const name of ["team/app", "team/other", "one/app/below", "one", "hub", "closed", "library/x", "hubs/x"]) {
      expect(await zot.manifest(name, "v1"), name).to.deep.equal(NOTHING);
    }
    expect([...open.newRequests(), ...closed.newRequests()]).to.deep.equal([]);
  });

  it("lists what was pulled, in the way that refreshing reads it", async () => {
    await pushTinyImage(open, "library/listed", "v1");
    await pushTinyImage(open, "library/listed", "v2");
    await zot.manifest("hub/listed", "v2");
    const doors = zot.doors();
    try {
      const door = await doors.cache(zot.registry, SIGNAL);
      expect(door.listsPulled).to.equal(true);
      const { names: tags } = await door.puller.tags(door.source("hub/listed"), 10, SIGNAL);
      expect(tags).to.deep.equal(["v2"]);
      const { names } = await door.puller.catalog(door.source(""), 100, SIGNAL);
      expect(names).to.include("hub/listed").and.not.include("library/listed");
    } finally {
      await doors.close();
    }
  });

  it("takes a tag that moved upstream at the next pull", async () => {
    await pushTinyImage(open, "library/moving", "v1", "first");
    await zot.manifest("hub/moving", "v1");
    const digest = await pushTinyImage(open, "library/moving", "v1", "second");
    expect(await zot.manifest("hub/moving", "v1")).to.deep.equal({ status: 200, digest });
  });

  it("serves other rules after the restart that a roll-out is, and keeps what it has of the old", async () => {
    const kept = await pushTinyImage(open, "team/app", "kept", "kept");
    await zot.manifest("one/app", "kept");
    const moved = ruleOf("moved", `${open.host}/team/*`, "teams/*");
    const digest = await pushTinyImage(open, "team/app", "after", "after");
    await zot.roll([moved]);
    expect(await zot.manifest("teams/app", "after")).to.deep.equal({ status: 200, digest });
    expect(await zot.manifest("one/app", "after")).to.deep.equal(NOTHING);
    expect(await zot.manifest("one/app", "kept")).to.deep.equal({ status: 200, digest: kept });
    await zot.roll(all());
    expect(await zot.manifest("one/app", "after")).to.deep.equal({ status: 200, digest });
    expect(await zot.manifest("teams/app", "other")).to.deep.equal(NOTHING);
  });

  it("does not let wrong credentials in: negative control", async () => {
    await pushTinyImage(closed, "guarded", "v1");
    const login = { username: "test", password: "not-the-password" };
    const other = await OwnZot.create(program, [{ host: closed.host, login }]);
    try {
      await other.roll([ruleOf("host", `${closed.host}/*`, "closed/*")]);
      expect(await other.manifest("closed/guarded", "v1")).to.deep.equal(NOTHING);
      expect(other.log()).not.to.include(login.password);
      expect(await zot.manifest("closed/guarded", "v1")).to.include({ status: 200 });
    } finally {
      await other.stop();
    }
  });

  it("serves what was pulled while the upstream is away, and does not take ever longer", async () => {
    const upstream = await startRegistry();
    const other = await OwnZot.create(program, [{ host: upstream.host }]);
    try {
      await other.roll([ruleOf("all", `${upstream.host}/*`, "*")]);
      const digest = await pushTinyImage(upstream, "team/app", "v1");
      await pushTinyImage(upstream, "team/app", "v2");
      await other.manifest("team/app", "v1");
      await upstream.stop();
      expect(await other.manifest("team/app", "v1")).to.deep.equal({ status: 200, digest });
      expect(await other.manifest("team/app", digest)).to.deep.equal({ status: 200, digest });
      expect(await other.manifest("team/app", "v2")).to.deep.equal(NOTHING);
      const started = performance.now();
      expect(await other.manifest("team/app", "v1")).to.deep.equal({ status: 200, digest });
      expect(performance.now() - started).to.be.below(5_000); // without retryDelay 6 s, and each time twice as long
    } finally {
      await other.stop();
      await upstream.stop();
    }
  });
});
