import { once } from "node:events";
import { createServer, IncomingMessage, type RequestListener, ServerResponse } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { Duplex, Readable } from "node:stream";
import { expect } from "chai";
import { buildRoutes } from "../../core/cacherule/routes.ts";
import type { BackendAnswer, Backends } from "../../gateway/backend.ts";
import { BackendProxy, type ProxiedRequest } from "../../gateway/proxy.ts";
import { WholeAnswers } from "../../gateway/whole.ts";
import { eventually } from "../support/kube.ts";
import type { ChildOptions } from "./gateway-child.ts";
import { acceptedRule, Cleanup, Distribution, digestOf, GatewayProcess, OCI_MANIFEST } from "./gateway-harness.ts";

const MIB = 1024 * 1024;

async function listen(cleanup: Cleanup, listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, "127.0.0.1");
  await once(server, "listening");
  cleanup.add(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe("A tag that moves upstream while it is pulled", () => {
  const cleanup = new Cleanup();
  let move: (() => Promise<unknown>) | undefined;
  let upstream: Distribution;
  let proxy: Distribution;
  let gateway: GatewayProcess;

  before(async function () {
    this.timeout(0);
    upstream = await Distribution.start(cleanup);
    /** The upstream, whose tag moves as soon as it was asked which digest it has. */
    const relay = async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
      const answer = await fetch(`${upstream.origin}${req.url}`, {
        method: req.method ?? "GET",
        headers: { accept: req.headers.accept ?? "*/*" },
      });
      const content = Buffer.from(await answer.arrayBuffer());
      if (req.method === "HEAD" && req.url?.endsWith("/v1") === true) {
        const moving = move;
        move = undefined;
        await moving?.();
      }
      res.writeHead(answer.status, Object.fromEntries(answer.headers)).end(content);
    };
    const origin = await listen(cleanup, (req, res) => void relay(req, res));
    proxy = await Distribution.start(cleanup, { upstream: { origin } });
    gateway = await GatewayProcess.start(cleanup, {
      registry: "main",
      origins: { "registry.local:5000": proxy.origin },
    });
    await gateway.setRules([acceptedRule("app", "registry.local:5000/acme/app", "app")]);
    await upstream.pushImage("acme/app", "v1", Buffer.from("first"));
  });
  after(() => cleanup.run());

  it("control: CNCF distribution names the digest of one moment and sends the content of the next", async () => {
    move = async () => await upstream.pushImage("acme/app", "v1", Buffer.from("second"));
    const answer = await fetch(`${proxy.origin}/v2/acme/app/manifests/v1`, { headers: { accept: OCI_MANIFEST } });
    const content = Buffer.from(await answer.arrayBuffer());
    expect(answer.headers.get("docker-content-digest")).to.not.equal(digestOf(content));
  });

  it("comes whole, with the digest that it has", async () => {
    let pushed = "";
    await upstream.pushImage("acme/app", "v1", Buffer.from("third")); // which the proxy does not have
    move = async () => {
      pushed = (await upstream.pushImage("acme/app", "v1", Buffer.from("fourth"))).digest;
    };
    const { status, headers, body } = await gateway.get("/v2/app/manifests/v1");
    expect([status, digestOf(body), headers.get("docker-content-digest")]).to.deep.equal([200, pushed, pushed]);
  });
});

describe("The gateway's memory", () => {
  const cleanup = new Cleanup();
  const large = Buffer.from(JSON.stringify({ schemaVersion: 2, annotations: { a: "a".repeat(4 * MIB - 60) } }));
  const tags = JSON.stringify({
    name: "acme/app",
    tags: Array.from({ length: 30_000 }, (_, index) => String(index).padStart(128, "v")),
  });
  let origin: string;

  before(async () => {
    /** A FAKE backend. */
    origin = await listen(cleanup, (req, res) => {
      if (req.url?.endsWith("/tags/list") === true) {
        res.end(tags);
        return;
      }
      const headers = { "content-type": OCI_MANIFEST, "docker-content-digest": digestOf(large) };
      res.writeHead(200, { ...headers, "content-length": large.length }).end(large);
    });
  });
  after(() => cleanup.run());

  async function start(limits: Pick<ChildOptions, "clientIdleMs"> = {}): Promise<GatewayProcess> {
    const origins = { "registry.local:5000": origin };
    const gateway = await GatewayProcess.start(cleanup, { registry: "main", origins, ...limits });
    await gateway.setRules([acceptedRule("app", "registry.local:5000/acme/app", "app")]);
    return gateway;
  }

  it("is enough for a crowd that pulls manifests of the largest size, who all get it", async () => {
    const gateway = await start();
    const before = gateway.rss;
    let peak = 0;
    const sampling = setInterval(() => {
      peak = Math.max(peak, gateway.rss - before);
    }, 20);
    const answers = Array.from({ length: 20 }, async () => (await gateway.get("/v2/app/manifests/v1")).body);
    const bodies = await Promise.all(answers).finally(() => clearInterval(sampling));
    for (const body of bodies) expect(body.equals(large)).to.equal(true);
    expect(peak, `grew by ${peak.toFixed(0)} MiB`).to.be.lessThan(200);
  });

  it("is not held for a client that takes nothing of a tags list, which counts until it is given up", async () => {
    const gateway = await start({ clientIdleMs: 500 });
    const socket = connect(Number(new URL(gateway.origin).port), "127.0.0.1").pause();
    cleanup.add(() => socket.destroy());
    // Three, because the system may take a whole answer of this size for the client.
    socket.on("error", () => undefined).write("GET /v2/app/tags/list HTTP/1.1\r\nhost: gateway\r\n\r\n".repeat(3));
    const gone = () => gateway.logged("request").filter((line) => line["problem"] === "CLIENT_GONE");
    await eventually("one is given up, and it is logged", () => gone().length > 0);
    expect(await gateway.metrics()).to.match(/entrepot_gateway_requests_in_flight\S* 0\n/);
    expect(gone().map((line) => [line["kind"], line["client"]])).to.deep.equal([["tags", "127.0.0.1"]]);
  });
});

describe("The room for what is held", () => {
  const PATIENCE_MS = 500;
  const LIMITS = {
    what: "manifests",
    bytes: 4 * MIB,
    smallTogether: 16 * MIB,
    largeTogether: 64 * MIB,
    bodyMs: PATIENCE_MS,
  } as const;
  const unchanged = (content: Buffer) => ({ content, headers: {} });

  /** An answer of so many bytes, and whether anybody has begun to read it. */
  function answerOf(content: Buffer): { answer: BackendAnswer; isRead: () => boolean } {
    let isRead = false;
    const body = new Readable({
      highWaterMark: 0,
      read() {
        isRead = true;
        this.push(content);
        this.push(null);
      },
    });
    const headers = { "content-length": String(content.length) };
    return { answer: { status: 200, headers, body: body as BackendAnswer["body"] }, isRead: () => isRead };
  }

  /** An answer to a client that takes nothing, or everything. */
  function client(takes: "nothing" | "everything"): ServerResponse {
    const socket = new Duplex({
      read: () => undefined,
      write: (_chunk, _encoding, done) => (takes === "everything" ? done() : undefined),
    });
    const res = new ServerResponse(new IncomingMessage(socket as Socket));
    res.assignSocket(socket as Socket);
    return res;
  }

  it("holds 16 of the largest, lets the others wait unread and not for ever, and small ones past them", async () => {
    const manifests = new WholeAnswers(LIMITS);
    const content = Buffer.alloc(4 * MIB);
    const large = Array.from({ length: 40 }, () => answerOf(content));
    const sending = large.map(async ({ answer }) => await manifests.send(answer, unchanged, client("nothing")));
    const ends = Promise.allSettled(sending);
    const small = Buffer.alloc(1_000);
    const sent = await manifests.send(answerOf(small).answer, unchanged, client("everything"));
    expect(sent).to.equal(small.length);
    expect(large.filter(({ isRead }) => isRead()).length).to.equal(16);
    const late = (await ends).filter((end) => end.status === "rejected").map(({ reason }) => (reason as Error).message);
    expect(late).to.deep.equal(Array.from({ length: 24 }, () => "its backend did not finish within 1 s"));
    const next = await manifests.send(answerOf(content).answer, unchanged, client("everything"));
    expect(next, "there is room again").to.equal(content.length);
  });

  it("tells who comes when 512 wait to come again, and lets go of what the backend sends", async () => {
    const manifests = new WholeAnswers(LIMITS);
    const content = Buffer.alloc(4 * MIB);
    const send = () => manifests.send(answerOf(content).answer, unchanged, client("nothing"));
    const ends = Promise.allSettled(Array.from({ length: 16 + 512 }, send));
    const { answer } = answerOf(content);
    const refused = await manifests.send(answer, unchanged, client("everything")).catch((thrown: unknown) => thrown);
    expect(refused).to.include({ code: "BUSY" });
    expect(answer.body.destroyed).to.equal(true);
    await ends;
  });

  it("is not taken by lists, of which 7 are held that do not say how large they are", async () => {
    const list = Buffer.from('{"name":"acme/app","tags":["v1"]}');
    const content = Buffer.alloc(4 * MIB);
    const lists: (() => boolean)[] = [];
    const open = ({ path }: { readonly path: string }) => {
      const isList = path.endsWith("/tags/list");
      const { answer, isRead } = answerOf(isList ? list : content);
      if (isList) lists.push(isRead);
      const headers = { ...answer.headers, "docker-content-digest": digestOf(content) };
      return Promise.resolve({ ...answer, headers: isList ? {} : headers });
    };
    const proxy = new BackendProxy({
      backends: { open } as unknown as Backends,
      originOf: () => "http://backend",
      limits: { manifestBytes: 4 * MIB, pageBytes: 4 * MIB, bodyMs: PATIENCE_MS },
    });
    const match = buildRoutes([acceptedRule("app", "registry.local:5000/acme/app", "app")], "main").match("app");
    if (match === undefined) throw new Error("the rule is not served");
    const exchange = { method: "GET", headers: {}, match, admitMarked: () => Promise.resolve(undefined) } as const;
    const ask = (request: ProxiedRequest, takes: "nothing" | "everything") =>
      proxy.serve({ ...exchange, request }, client(takes));
    const tags = { kind: "tags", repository: "app", query: "" } as const;
    const asking = Array.from({ length: 20 }, () => ask(tags, "nothing"));
    const manifest = await ask({ kind: "manifest", repository: "app", reference: "v1" }, "everything");
    expect(manifest).to.deep.equal({ bytes: content.length });
    expect(lists.map((isRead) => isRead())).to.deep.equal(Array.from({ length: 20 }, (_, index) => index < 7));
    const outcomes = await Promise.all(asking);
    expect(outcomes.filter(({ problem }) => problem === "BACKEND_TIMEOUT")).to.have.length(13);
    const renamed = list.length - "acme/".length;
    expect(await ask(tags, "everything"), "there is room again").to.deep.equal({ bytes: renamed });
  });
});
