import { expect } from "chai";
import { systemClock } from "../../adapters/clock.ts";
import { aborted } from "../../adapters/deadline.ts";
import type { EndpointOutcome, EndpointWrite } from "../../adapters/products/harbor.ts";
import type { FoundEndpoint } from "../../core/product/harbor-endpoint.ts";
import type { CacheRegistryObject, UpstreamStatus } from "../../crds/index.ts";
import { type EndpointApi, HarborEndpoints } from "../../operator/providers/harbor-endpoints.ts";
import type { EndpointState } from "../../operator/providers/harbor-outcome.ts";

const UID = "reg-uid";
const NEVER = new AbortController().signal;

/** A Harbor that waits for silent upstreams as long as one lets it. */
class WaitingHarbor implements EndpointApi {
  readonly silent = new Set<string>();
  readonly made: FoundEndpoint[] = [];
  /** URLs of the upstreams that it was made to ask. */
  asked: string[] = [];
  nowMs = 0;

  async createEndpoint(write: EndpointWrite, signal: AbortSignal): Promise<EndpointOutcome> {
    const { name, type, url, ca, description, username } = write;
    this.asked.push(url);
    if (this.silent.has(url)) {
      await aborted(signal);
      this.nowMs += 10_000;
      throw signal.reason;
    }
    const id = this.made.length + 1;
    this.made.push({
      id,
      name,
      type,
      url,
      insecure: false,
      ca,
      username,
      hasSecret: false,
      description,
      status: "healthy",
    });
    return "done";
  }

  async endpoint(name: string): Promise<FoundEndpoint | undefined> {
    return await Promise.resolve(this.made.find((one) => one.name === name));
  }

  async reaches(): Promise<boolean | undefined> {
    return await Promise.resolve(undefined);
  }

  async updateEndpoint(): Promise<EndpointOutcome> {
    return await Promise.resolve("failed");
  }
}

function registryWith(upstreams: readonly UpstreamStatus[] = []): CacheRegistryObject {
  const metadata = { name: "main", uid: UID, generation: 1, resourceVersion: "1", creationTimestamp: "" };
  const spec = { harbor: { url: "https://harbor.example.com", auth: { secretRef: { name: "robot" } } } };
  return {
    apiVersion: "entrepot.dev/v1alpha1",
    kind: "CacheRegistry",
    metadata,
    spec,
    status: { upstreams: [...upstreams] },
  };
}

describe("Upstreams that keep Harbor waiting", () => {
  const quiet = ["a", "b", "c", "d", "e", "f"].map((name) => `${name}.example.com`);
  const good = "z.example.com";
  let harbor: WaitingHarbor;
  let endpoints: HarborEndpoints;

  beforeEach(() => {
    harbor = new WaitingHarbor();
    for (const host of quiet) harbor.silent.add(`https://${host}`);
    endpoints = fresh();
  });

  function fresh(): HarborEndpoints {
    const clock = { ...systemClock, monotonicMs: () => harbor.nowMs };
    const context = { namespace: "cosign-system", secrets: new Map<string, never>(), clock };
    return new HarborEndpoints(context, { upstreamMs: 20, lookMs: 10_000, silentMs: 60_000 });
  }

  async function lookAt(hosts: readonly string[], known: readonly EndpointState[] = []) {
    const registry = registryWith(known.map(({ host, health, reason }) => ({ host, health, reason })));
    harbor.asked = [];
    return await endpoints.ensureAll({ api: harbor, registry, made: [...harbor.made], signal: NEVER }, hosts);
  }

  it("cost no more than the time for one look; those that it did not come to are unknown, and the first of the next", async () => {
    const first = await lookAt([...quiet, good]);
    expect(first.map(({ reason }) => reason)).to.deep.equal([
      ...Array.from({ length: 4 }, () => "UpstreamUnreachable"),
      ...Array.from({ length: 3 }, () => "Unknown"),
    ]);
    expect(first[6]).to.include({ host: good, health: "Unknown" });
    expect(first[6]?.message).to.contain(good);
    expect(first[6]).to.not.have.any.keys("fault", "id");
    const second = await lookAt([...quiet, good], first);
    expect(harbor.asked.slice(0, 3)).to.deep.equal([...quiet.slice(4), good].map((host) => `https://${host}`));
    expect(second[6]).to.include({ host: good, health: "Healthy", reason: "Reachable", id: 1 });
  });

  const brief = (states: readonly EndpointState[]) => states.map(({ host, health, reason }) => [host, health, reason]);
  const away = quiet.map((host) => [host, "Unhealthy", "UpstreamUnreachable"]);

  it("come to rest when one look has no room for all: each keeps what was found, and all are asked in turn", async () => {
    const first = await lookAt(quiet);
    const second = await lookAt(quiet, first);
    expect(brief(second)).to.deep.equal(away);
    const third = await lookAt(quiet, second);
    const asked = new Set(harbor.asked);
    const fourth = await lookAt(quiet, third);
    for (const url of harbor.asked) asked.add(url);
    expect(fourth).to.deep.equal(third);
    expect(brief(fourth)).to.deep.equal(away);
    expect([...asked].sort()).to.deep.equal(quiet.map((host) => `https://${host}`));
  });

  it("keep what status says of them after a restart", async () => {
    const known = await lookAt(quiet, await lookAt(quiet));
    endpoints = fresh();
    const states = await lookAt(quiet, known);
    expect(harbor.asked).to.have.length(4);
    expect(brief(states)).to.deep.equal(away);
    for (const { fault } of states) expect(fault).to.equal("upstream");
  });

  it("are not Healthy still when what Harbor shows says otherwise, and were not asked about", async () => {
    harbor.silent.clear();
    const well = await lookAt(quiet);
    expect(well.map(({ health }) => health)).to.deep.equal(quiet.map(() => "Healthy"));
    for (const host of quiet) harbor.silent.add(`https://${host}`);
    harbor.made.length = 0;
    const ill = await lookAt(quiet, well);
    expect(ill.slice(4).map(({ health, reason, id }) => [health, reason, id])).to.deep.equal([
      ["Unknown", "Unknown", undefined],
      ["Unknown", "Unknown", undefined],
    ]);
    expect(brief(await lookAt(quiet, ill))).to.deep.equal(away);
  });

  it("do not count as silent any longer once Harbor itself shows that they answer", async () => {
    await lookAt(quiet, await lookAt(quiet));
    const silent = [...harbor.silent];
    harbor.silent.clear();
    await fresh().ensureAll({ api: harbor, registry: registryWith(), made: [], signal: NEVER }, quiet);
    const well = await lookAt(quiet);
    expect(harbor.asked).to.have.length(0);
    for (const url of silent) harbor.silent.add(url);
    harbor.made.length = 0;
    const ill = await lookAt(quiet, well);
    expect(ill.slice(4).map(({ reason }) => reason)).to.deep.equal(["Unknown", "Unknown"]);
  });

  it("keep no other from being looked at, after a restart either", async () => {
    const known = await lookAt([...quiet, good], await lookAt([...quiet, good]));
    harbor.made.length = 0;
    endpoints = fresh();
    const states = await lookAt([...quiet, good], known);
    expect(states[6]).to.include({ host: good, health: "Healthy", reason: "Reachable", id: 1 });
  });

  it("are forgotten with what wanted them", async () => {
    const [host = "", other = ""] = quiet;
    const rule = async () => {
      harbor.asked = [];
      await endpoints.ensure({ api: harbor, registry: registryWith(), made: [], signal: NEVER }, host);
      return harbor.asked.length;
    };
    await lookAt([host, other]);
    expect(await rule()).to.equal(0);
    await lookAt([other]);
    expect(await rule()).to.equal(1);
    expect(await rule()).to.equal(0);
    endpoints.forget(registryWith());
    expect(await rule()).to.equal(1);
  });

  it("take nothing from an endpoint that is in order, of which nobody has to be asked", async () => {
    await lookAt([good]);
    const states = await lookAt([...quiet, good]);
    expect(states[6]).to.include({ host: good, health: "Healthy", reason: "Reachable", id: 1 });
  });

  it("are asked once for all rules that need them, until a while has passed or a look finds them answering", async () => {
    const host = quiet[0] ?? "";
    const ask = async () => {
      harbor.asked = [];
      const { reason, message } = await endpoints.ensure(
        { api: harbor, registry: registryWith(), made: [...harbor.made], signal: NEVER },
        host,
      );
      expect(message).to.contain(reason === "Reachable" ? "" : host);
      return [reason, harbor.asked.length];
    };
    expect(await ask()).to.deep.equal(["UpstreamUnreachable", 1]);
    expect(await ask()).to.deep.equal(["UpstreamUnreachable", 0]);
    harbor.nowMs += 60_000;
    expect(await ask()).to.deep.equal(["UpstreamUnreachable", 1]);
    expect((await lookAt([host]))[0]?.reason).to.equal("UpstreamUnreachable");
    expect(harbor.asked).to.have.length(1);
    harbor.silent.clear();
    expect((await lookAt([host]))[0]?.reason).to.equal("Reachable");
    harbor.made.length = 0;
    expect(await ask()).to.deep.equal(["Reachable", 1]);
  });

  it("are not blamed when the whole pass ends", async () => {
    const pass = new AbortController();
    const patient = new HarborEndpoints({
      namespace: "cosign-system",
      secrets: new Map<string, never>(),
      clock: systemClock,
    });
    const looked = patient.ensureAll(
      { api: harbor, registry: registryWith(), made: [], signal: pass.signal },
      quiet.slice(0, 2),
    );
    const over = new Error("over");
    pass.abort(over);
    expect(await looked.catch((thrown: unknown) => thrown)).to.equal(over);
  });
});
