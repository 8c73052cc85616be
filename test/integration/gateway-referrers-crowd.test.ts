import { once } from "node:events";
import { createServer, get as httpGet, type IncomingMessage, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { expect } from "chai";
import { systemClock } from "../../adapters/clock.ts";
import type { RouteMatch } from "../../core/cacherule/routes.ts";
import type { ReferrersFailure } from "../../core/gateway/referrers-errors.ts";
import { Backends } from "../../gateway/backend.ts";
import { REFERRERS_TIMES, ReferrersLists, type ReferrersTimes } from "../../gateway/referrers.ts";
import type { Listed, Subject } from "../../gateway/referrers-upstream.ts";
import { eventually } from "../support/kube.ts";
import { Cleanup, OCI_INDEX, OCI_MANIFEST } from "./gateway-harness.ts";

const digestAt = (index: number): string => `sha256:${index.toString(16).padStart(64, "0")}`;
const listOf = (...types: string[]): Listed => ({
  kind: "list",
  marked: false,
  referrers: types.map((artifactType, at) => ({
    mediaType: OCI_MANIFEST,
    digest: digestAt(at),
    size: 2,
    artifactType,
  })),
});
const failed = (problem: ReferrersFailure["problem"]): Listed => ({
  kind: "failed",
  failure: { problem, why: `so it is (${problem})` },
});

/** Fails as the real one does when nobody wants the answer any more. */
async function silence(signal: AbortSignal): Promise<Listed> {
  if (!signal.aborted) await once(signal, "abort");
  return failed("UPSTREAM_TIMEOUT");
}

describe("Referrers that many ask for (a scripted upstream, and a backend that has nothing)", () => {
  const cleanup = new Cleanup();
  let list: (subject: Subject, signal: AbortSignal) => Promise<Listed>;
  let tag: RequestListener;
  let asked: string[];
  let arrived: number;
  let left: number;
  afterEach(() => cleanup.run());
  beforeEach(() => {
    asked = [];
    arrived = 0;
    left = 0;
    list = () => Promise.resolve(listOf("a/a"));
    tag = (_req, res) => void res.writeHead(404).end();
  });

  async function serve(handler: RequestListener): Promise<string> {
    const server = createServer(handler).listen(0, "127.0.0.1");
    await once(server, "listening");
    cleanup.add(() => {
      server.close();
      server.closeAllConnections();
    });
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  /** Serves `/<number>?query`: what refers to the digest of that number. */
  async function start(times: Partial<ReferrersTimes> = {}): Promise<string> {
    const backend = await serve((req, res) => tag(req, res));
    const backends = new Backends();
    cleanup.add(() => backends.close());
    const lists = new ReferrersLists({
      backends,
      originOf: () => backend,
      clock: systemClock,
      times: { ...REFERRERS_TIMES, freshMs: 0, ...times },
      upstream: {
        list: async (subject, signal) => {
          asked.push(subject.digest);
          return await list(subject, signal);
        },
        tagged: () => Promise.resolve(failed("UPSTREAM_UNREACHABLE")),
      },
    });
    const match = { upstream: { host: "up.example", repository: "app" }, route: { rule: "app" } } as RouteMatch;
    return await serve((req, res) => {
      arrived++;
      res.once("close", () => {
        if (!res.writableEnded) left++;
      });
      const url = new URL(req.url ?? "", "http://gateway.example");
      const reference = digestAt(Number(url.pathname.slice(1)));
      const request = { kind: "referrers", repository: "app", reference, query: url.searchParams.toString() } as const;
      const admitMarked = () => Promise.resolve(undefined);
      void lists.serve({ method: "GET", request, headers: {}, match, admitMarked }, res);
    });
  }

  const ask = async (gateway: string, path: string) => {
    const answer = await fetch(`${gateway}/${path}`);
    return { status: answer.status, warning: answer.headers.get("warning"), text: await answer.text() };
  };

  /** Asks, and goes away then. */
  async function leave(gateway: string, path: string, until: () => boolean): Promise<void> {
    const request = httpGet(`${gateway}/${path}`, (answer: IncomingMessage) => void answer.resume());
    request.on("error", () => undefined);
    await eventually("the request is under way", () => Promise.resolve(until()));
    request.destroy();
  }

  it("a client that goes away says nothing of the upstream: the next one gets what it says now", async () => {
    const gateway = await start();
    expect((await ask(gateway, "1")).status).to.equal(200);
    let given = 0;
    list = async (_subject, signal) => await silence(signal).finally(() => given++);
    await leave(gateway, "2", () => asked.length === 2);
    await eventually("the upstream's request is given up", () => Promise.resolve(given === 1));
    list = () => Promise.resolve(listOf("a/a", "b/b"));
    const now = await ask(gateway, "1");
    expect([now.status, now.warning]).to.deep.equal([200, null]);
    expect(now.text).to.include("b/b");
  });

  it("control: an upstream that is silent by itself is left alone by those whose list is remembered", async () => {
    const gateway = await start({ awayMs: 60_000 });
    await ask(gateway, "1");
    list = () => Promise.resolve(failed("UPSTREAM_TIMEOUT"));
    expect((await ask(gateway, "2")).status).to.equal(504);
    list = () => Promise.resolve(listOf("a/a", "b/b"));
    const now = await ask(gateway, "1");
    expect([now.status, now.text.includes("b/b")]).to.deep.equal([200, false]);
    expect(now.warning).to.include("UPSTREAM_TIMEOUT");
  });

  it("clients that went away while they waited are not asked for, and take nobody's place", async () => {
    const gateway = await start();
    const open = Promise.withResolvers<Listed>();
    list = () => open.promise;
    const first = Array.from({ length: 16 }, (_, at) => ask(gateway, `${at}`));
    await eventually("all slots are taken", () => Promise.resolve(asked.length === 16));
    for (let at = 100; at < 110; at++) await leave(gateway, `${at}`, () => arrived === at - 83);
    await eventually("the gateway knows", () => Promise.resolve(left === 10));
    const last = ask(gateway, "200");
    open.resolve(listOf("a/a"));
    await Promise.all(first);
    expect((await last).status).to.equal(200);
    expect(asked.filter((digest) => Number.parseInt(digest.slice(7), 16) >= 100)).to.deep.equal([digestAt(200)]);
  });

  it("what is remembered is not kept waiting by lists that nobody has", async () => {
    const gateway = await start({ queueMs: 50 });
    await ask(gateway, "1000");
    list = (_subject, signal) => silence(signal);
    const stuck = Array.from({ length: 16 }, (_, at) => fetch(`${gateway}/${at}`).catch(() => undefined));
    await eventually("all slots are taken", () => Promise.resolve(asked.length === 17));
    const known = await ask(gateway, "1000");
    expect([known.status, known.text.includes("a/a")]).to.deep.equal([200, true]);
    expect(known.warning).to.include("too many wait for this upstream");
    expect(stuck).to.have.length(16);
  });

  it("an upstream that limits the rate of requests is left alone by everybody for a while", async () => {
    const gateway = await start({ awayMs: 60_000 });
    list = () => Promise.resolve(failed("UPSTREAM_THROTTLED"));
    for (const path of ["1", "2", "3"]) expect((await ask(gateway, path)).status).to.equal(429);
    expect(asked).to.deep.equal([digestAt(1)]);
    const soon = await start({ awayMs: 1 });
    asked.length = 0;
    await eventually("it is asked again", async () => {
      expect((await ask(soon, "1")).status).to.equal(429);
      return asked.length > 1;
    });
  });

  it("no filter makes an empty list of one that misses a part", async () => {
    const gateway = await start();
    tag = (_req, res) => void res.writeHead(500).end();
    const all = await ask(gateway, "1");
    expect([all.status, all.warning]).to.satisfy(([status, warning]: [number, string]) => status === 200 && warning);
    expect((await ask(gateway, "1?artifactType=a%2Fa")).status).to.equal(200);
    expect((await ask(gateway, "1?artifactType=b%2Fb")).status).to.equal(502);
    tag = (_req, res) => void res.writeHead(404, { "content-type": OCI_INDEX }).end();
    const none = await ask(gateway, "1?artifactType=b%2Fb");
    expect([none.status, none.warning], "control").to.deep.equal([200, null]);
  });
});
