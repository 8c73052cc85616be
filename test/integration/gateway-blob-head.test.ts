import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { expect } from "chai";
import { eventually } from "../support/kube.ts";
import { FakeBackend, head } from "./gateway-fake-backend.ts";
import { acceptedRule, Cleanup, Distribution, digestOf, GatewayProcess } from "./gateway-harness.ts";

const HOST = "registry.local:5000";
const MIB = 1024 * 1024;
/** A gateway that waits for a blob's end fails these tests by their own limit, not by its. */
const PATIENT = { headersMs: 600_000, idleMs: 600_000 };

/** A registry with one blob, of which it sends `sends` bytes and then no more. */
class StallingUpstream {
  readonly #server: Server;
  readonly #content: Buffer;
  /** Requests for the content, and how each ended. */
  readonly downloads: { ended: "open" | "whole" | "cut" }[] = [];
  asked = 0;
  sends = Number.POSITIVE_INFINITY;

  constructor(cleanup: Cleanup, content: Buffer) {
    this.#content = content;
    this.#server = createServer((req, res) => this.#serve(req, res));
    cleanup.add(() => {
      this.#server.closeAllConnections();
      this.#server.close();
    });
  }

  async listen(): Promise<string> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  #serve(req: IncomingMessage, res: ServerResponse): void {
    if (req.url !== `/v2/acme/app/blobs/${digestOf(this.#content)}`) {
      res.writeHead(req.url === "/v2/" ? 200 : 404).end();
      return;
    }
    this.asked += 1;
    res.writeHead(200, {
      "content-type": "application/octet-stream",
      "content-length": this.#content.length,
      "docker-content-digest": digestOf(this.#content),
    });
    if (req.method === "HEAD") {
      res.end();
      return;
    }
    const download: (typeof this.downloads)[number] = { ended: "open" };
    this.downloads.push(download);
    res.on("close", () => {
      download.ended = res.writableFinished ? "whole" : "cut";
    });
    if (this.sends < this.#content.length) res.write(this.#content.subarray(0, this.sends));
    else res.end(this.#content);
  }
}

describe("HEAD of a blob through the gateway", () => {
  const cleanup = new Cleanup();
  const content = randomBytes(8 * MIB);
  const path = `/v2/app/blobs/${digestOf(content)}`;
  let upstream: StallingUpstream;
  let gateway: GatewayProcess;

  before(async function () {
    this.timeout(0); // the first time on a machine distribution is built
    upstream = new StallingUpstream(cleanup, content);
    const cache = await Distribution.start(cleanup, { upstream: { origin: await upstream.listen() } });
    gateway = await GatewayProcess.start(cleanup, {
      registry: "main",
      origins: { [HOST]: cache.origin },
      backendLimits: PATIENT,
    });
    await gateway.setRules([acceptedRule("app", `${HOST}/acme/app`, "app")]);
  });
  after(() => cleanup.run());

  async function expectHead(): Promise<void> {
    const answer = await gateway.get(path, { method: "HEAD" });
    expect([answer.status, answer.body.length]).to.deep.equal([200, 0]);
    expect(answer.headers.get("content-length")).to.equal(String(content.length));
    expect(answer.headers.get("content-type")).to.equal("application/octet-stream");
    expect(answer.headers.get("docker-content-digest")).to.equal(digestOf(content));
    expect(answer.headers.get("content-range")).to.equal(null);
  }

  it("that is not cached is answered without its content, and the download ends", async () => {
    upstream.sends = MIB;
    await expectHead();
    expect(upstream.downloads).to.have.length(1);
    await eventually("the upstream is left", () => upstream.downloads[0]?.ended === "cut");
  });

  it("leaves nothing broken in the cache: who pulls it next gets it whole, and it is stored", async () => {
    upstream.sends = content.length;
    const answer = await gateway.get(path);
    expect(answer.body.equals(content)).to.equal(true);
    await eventually("it is stored", async () => {
      const part = await gateway.get(path, { headers: { range: "bytes=1-3" } });
      return part.status === 206 && part.body.equals(content.subarray(1, 4));
    });
  });

  it("that is stored is answered without the upstream", async () => {
    const before = upstream.asked;
    await expectHead();
    expect(upstream.asked).to.equal(before);
  });

  it("counts no bytes of content", async () => {
    const sent = /^\S*bytes\S*\{[^}]*rule="app"[^}]*\} (\S+)$/m;
    const before = sent.exec(await gateway.metrics())?.[1];
    expect(Number(before)).to.be.at.least(content.length);
    await expectHead();
    expect(sent.exec(await gateway.metrics())?.[1]).to.equal(before);
  });
});

describe("HEAD of a blob, as a backend sees it (a fake)", () => {
  const cleanup = new Cleanup();
  const digest = `sha256:${"0".repeat(64)}`;
  const path = `/v2/app/blobs/${digest}`;
  const good = { "docker-content-digest": digest, "content-type": "application/octet-stream" };
  let backend: FakeBackend;
  let gateway: GatewayProcess;

  before(async () => {
    backend = new FakeBackend(cleanup);
    const origins = { [HOST]: await backend.listen() };
    gateway = await GatewayProcess.start(cleanup, { registry: "main", origins, backendLimits: PATIENT });
    await gateway.setRules([acceptedRule("app", `${HOST}/acme/app`, "app")]);
  });
  after(() => cleanup.run());

  it("asks for the first byte of what is stored, whatever part the client names, and keeps the connection", async () => {
    const used = new Set<Socket>();
    const asked: string[] = [];
    backend.answer = (socket, request) => {
      used.add(socket);
      asked.push(request.toLowerCase());
      socket.write(`${head(206, { ...good, "content-range": "bytes 0-0/5000000", "content-length": 1 })}x`);
    };
    for (const headers of [{}, { range: "bytes=7-9", "if-range": '"x"' }, { range: "items=1-2" }]) {
      const answer = await gateway.get(path, { method: "HEAD", headers });
      expect([answer.status, answer.headers.get("content-length")]).to.deep.equal([200, "5000000"]);
      expect(answer.headers.get("content-range")).to.equal(null);
    }
    expect(used.size).to.equal(1);
    for (const request of asked)
      expect(request).to.match(/^get /).and.include("\r\nrange: bytes=0-0\r\n").and.not.include("if-range");
  });

  it("that does not learn how long the blob is: 502", async () => {
    backend.answer = (socket) => socket.end(`${head(206, { ...good, "content-length": 1 })}x`);
    expect((await gateway.get(path, { method: "HEAD" })).status).to.equal(502);
  });

  it("passes on an empty blob's length", async () => {
    backend.answer = (socket) => socket.end(head(200, { ...good, "content-length": 0 }));
    const answer = await gateway.get(path, { method: "HEAD" });
    expect([answer.status, answer.headers.get("content-length")]).to.deep.equal([200, "0"]);
  });
});
