import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { get, type IncomingMessage } from "node:http";
import { createServer, type Server, type Socket } from "node:net";
import { expect } from "chai";
import { eventually } from "../support/kube.ts";
import { acceptedRule, Cleanup, Distribution, digestOf, GatewayProcess, OCI_MANIFEST } from "./gateway-harness.ts";

const DIGEST = `sha256:${"0".repeat(64)}`;
const HEADERS_MS = 1_000;
const IDLE_MS = 1_000;
const CLIENT_IDLE_MS = 2_000;
const BODY_MS = 2_000;
const PATIENT_MS = 120_000;
/** What comes within it did not wait for a patient gateway's limits. */
const SOON_MS = 30_000;

/** A FAKE backend: a TCP server that answers each connection as the test says. No registry behaves so; a broken or hijacked one may. */
class FakeBackend {
  readonly #server: Server;
  readonly sockets = new Set<Socket>();
  answer: (socket: Socket, request: string) => void = (socket) => socket.destroy();

  constructor(cleanup: Cleanup) {
    this.#server = createServer((socket) => {
      this.sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => this.sockets.delete(socket));
      let head = "";
      socket.on("data", (chunk: Buffer) => {
        head += chunk.toString("latin1");
        if (!head.includes("\r\n\r\n")) return;
        const request = head;
        head = "";
        this.answer(socket, request);
      });
    });
    cleanup.add(() => {
      for (const socket of this.sockets) socket.destroy();
      this.#server.close();
    });
  }

  async listen(): Promise<string> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    const address = this.#server.address();
    return `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`;
  }
}

function head(status: number, headers: Record<string, string | number>): string {
  return `HTTP/1.1 ${status} X\r\n${Object.entries(headers)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join("")}\r\n`;
}

/** Writes `first`, then `chunk` again and again, as fast as it is taken. */
function pour(socket: Socket, first: string, chunk: string | Buffer): void {
  socket.write(first);
  const more = (): void => {
    while (!socket.destroyed && socket.write(chunk));
    if (!socket.destroyed) socket.once("drain", more);
  };
  more();
}

/** Asks with node's own client, which shows how an answer ends: "whole", or "cut". */
async function fetchRaw(
  url: string,
  onData?: (answer: IncomingMessage) => void,
): Promise<{ status: number; bytes: number; end: "whole" | "cut" }> {
  return await new Promise((resolve, reject) => {
    get(url, { agent: false }, (answer) => {
      let bytes = 0;
      answer.on("data", (chunk: Buffer) => {
        bytes += chunk.length;
      });
      answer.on("error", () => undefined);
      answer.on("close", () =>
        resolve({ status: answer.statusCode ?? 0, bytes, end: answer.complete ? "whole" : "cut" }),
      );
      onData?.(answer);
    }).on("error", reject);
  });
}

describe("The gateway in front of a backend that misbehaves (a fake)", () => {
  const cleanup = new Cleanup();
  let backend: FakeBackend;
  /** It has time, so that a busy machine is not taken for a backend that is late. */
  let gateway: GatewayProcess;
  let hasty: GatewayProcess;
  const good = { "docker-content-digest": DIGEST, "content-type": OCI_MANIFEST };

  before(async function () {
    this.timeout(60_000);
    backend = new FakeBackend(cleanup);
    const origin = await backend.listen();
    const start = async (headersMs: number, idleMs: number, bodyMs: number) => {
      const started = await GatewayProcess.start(cleanup, {
        registry: "main",
        origins: { "registry.local:5000": origin },
        backendLimits: { headersMs, idleMs },
        proxyLimits: { bodyMs },
        clientIdleMs: CLIENT_IDLE_MS,
      });
      await started.setRules([acceptedRule("app", "registry.local:5000/acme/app", "app")]);
      return started;
    };
    gateway = await start(PATIENT_MS, PATIENT_MS, PATIENT_MS);
    hasty = await start(HEADERS_MS, IDLE_MS, BODY_MS);
  });
  after(() => cleanup.run());

  const answers: [string, (socket: Socket) => void, number, RegExp][] = [
    ["hangs up", (socket) => socket.destroy(), 502, /connection to its backend broke/],
    ["speaks no HTTP", (socket) => socket.end("SSH-2.0-OpenSSH_9\r\n"), 502, /does not speak HTTP/],
    ["says nothing", () => undefined, 504, /did not answer within 1 s/],
    [
      "sends headers without end",
      (socket) => pour(socket, "HTTP/1.1 200 OK\r\n", "x-a: b\r\n"),
      502,
      /too many headers/,
    ],
    [
      "sends one header without end",
      (socket) => pour(socket, "HTTP/1.1 200 OK\r\nx-a: ", "b".repeat(1000)),
      502,
      /too many headers|does not speak HTTP/,
    ],
    [
      "sends interim answers without end",
      (socket) => pour(socket, "", "HTTP/1.1 103 Early Hints\r\n\r\n"),
      504,
      /did not answer within 1 s/,
    ],
    [
      "lets its headers trickle",
      (socket) => {
        socket.write("HTTP/1.1 200 OK\r\n");
        const drip = setInterval(() => socket.write("x-a: b\r\n"), 50);
        socket.on("close", () => clearInterval(drip));
      },
      504,
      /did not answer within 1 s/,
    ],
    [
      "redirects to another host",
      (socket) => socket.end(head(307, { location: "http://127.0.0.1:1/secret", "content-length": 0 })),
      502,
      /redirects elsewhere/,
    ],
    [
      "redirects to another repository",
      (socket) => socket.end(head(302, { location: "/v2/acme/secret/manifests/v1", "content-length": 0 })),
      502,
      /redirects elsewhere/,
    ],
    [
      "answers with a web page",
      (socket) => socket.end(`${head(200, { "content-type": "text/html", "content-length": 6 })}<html>`),
      502,
      /does not answer as a registry does/,
    ],
    [
      "answers with an error page",
      (socket) => socket.end(`${head(503, { "content-length": 6 })}secret`),
      502,
      /answers with status 503/,
    ],
    [
      "fails without end",
      (socket) => pour(socket, head(500, { "transfer-encoding": "chunked" }), "4\r\nsecr\r\n"),
      502,
      /answers with status 500/,
    ],
    [
      "refuses the credentials",
      (socket) => socket.end(head(401, { "www-authenticate": 'Bearer realm="http://elsewhere"', "content-length": 0 })),
      403,
      /the upstream refuses/,
    ],
    [
      "announces a manifest that is too large",
      (socket) => socket.end(head(200, { ...good, "content-length": 5_000_000 })),
      502,
      /more than 4194304 bytes/,
    ],
  ];
  for (const [what, answer, status, message] of answers) {
    it(`that ${what}: ${status} in time, in the registry's error form`, async () => {
      backend.answer = answer;
      const begun = performance.now();
      const got = await (status === 504 ? hasty : gateway).get("/v2/app/manifests/v1");
      expect(got.status).to.equal(status);
      expect(got.errors[0]?.message).to.match(message).and.include('CacheRule "app"').and.not.include("secret");
      expect(got.headers.get("www-authenticate")).to.equal(null);
      expect(got.headers.get("location")).to.equal(null);
      expect(performance.now() - begun).to.be.lessThan(SOON_MS);
    });
  }

  it("that closes a connection as it is used again: asked once more, and no more than that", async () => {
    const empty = head(404, { "content-length": 0 });
    let [used, asked] = [0, 0];
    /** Answers the first request of `keep` connections; the second finds each closed. */
    const closing = (keep: number) => (socket: Socket) => {
      asked += 1;
      if (socket.bytesWritten > 0 || ++used > keep) socket.destroy();
      else socket.write(empty);
    };
    const statuses = async (times: number): Promise<number[]> => {
      const got: number[] = [];
      for (let time = 0; time < times; time++) got.push((await gateway.get("/v2/app/manifests/v1")).status);
      return got;
    };
    backend.answer = closing(3);
    expect(await statuses(3)).to.deep.equal([404, 404, 404]);
    expect(asked, "the second and the third came in two requests").to.equal(5);
    [used, asked] = [0, 0];
    backend.answer = closing(0);
    expect(await statuses(1), "control: one that never answers").to.deep.equal([502]);
    expect(asked).to.equal(2);
  });

  it("passes on the upstream's Retry-After with a 429", async () => {
    backend.answer = (socket) => socket.end(head(429, { "retry-after": 30, "content-length": 0 }));
    const got = await gateway.get("/v2/app/manifests/v1");
    expect([got.status, got.errors[0]?.code, got.headers.get("retry-after")]).to.deep.equal([
      429,
      "TOOMANYREQUESTS",
      "30",
    ]);
  });

  it("refuses a manifest that goes on beyond its limit", async () => {
    backend.answer = (socket) =>
      pour(socket, head(200, { ...good, "transfer-encoding": "chunked" }), `1000\r\n${"x".repeat(0x1000)}\r\n`);
    const got = await gateway.get("/v2/app/manifests/v1");
    expect([got.status, got.errors[0]?.code]).to.deep.equal([502, "UNKNOWN"]);
    expect(got.errors[0]?.message).to.include("more than 4194304 bytes");
  });

  it("gives up a manifest that trickles", async () => {
    backend.answer = (socket) => {
      socket.write(head(200, { ...good, "content-length": 1000 }));
      const drip = setInterval(() => socket.write("x"), 100);
      socket.on("close", () => clearInterval(drip));
    };
    const begun = performance.now();
    const got = await hasty.get("/v2/app/manifests/v1");
    expect([got.status, got.errors[0]?.message]).to.match(/^504,.*did not finish within 2 s/);
    expect(performance.now() - begun).to.be.lessThan(SOON_MS);
  });

  it("cuts a blob that stops in the middle, so that no client takes it for whole", async () => {
    const blob = { "docker-content-digest": DIGEST, "content-length": 1000 };
    backend.answer = (socket) => socket.write(`${head(200, blob)}half`);
    expect(await fetchRaw(`${hasty.origin}/v2/app/blobs/${DIGEST}`)).to.deep.equal({
      status: 200,
      bytes: 4,
      end: "cut",
    });
    const late = (line: Record<string, unknown>): boolean =>
      line["kind"] === "blob" && line["problem"] === "BACKEND_TIMEOUT";
    await eventually("the log blames the backend", () => hasty.logged("request").some(late));
    backend.answer = (socket) => socket.end(`${head(200, blob)}half`);
    expect(await fetchRaw(`${hasty.origin}/v2/app/blobs/${DIGEST}`)).to.deep.equal({
      status: 200,
      bytes: 4,
      end: "cut",
    });
  });

  it("refuses an endless tags list with bounded memory, and one that is none", async () => {
    const before = gateway.rss;
    backend.answer = (socket) =>
      pour(socket, head(200, { "transfer-encoding": "chunked" }), `1000\r\n${" ".repeat(0x1000)}\r\n`);
    const endless = await gateway.get("/v2/app/tags/list");
    expect([endless.status, endless.errors[0]?.code]).to.deep.equal([502, "UNKNOWN"]);
    expect(gateway.rss - before).to.be.lessThan(40);
    backend.answer = (socket) => socket.end(`${head(200, { "content-length": 4 })}oops`);
    expect((await gateway.get("/v2/app/tags/list")).status).to.equal(502);
    const lost = '{"name":"acme/app","tags":["a"]}';
    backend.answer = (socket) =>
      socket.end(
        `${head(200, { "content-length": lost.length, link: "<https://elsewhere/v2/x/tags/list>; rel=next" })}${lost}`,
      );
    expect((await gateway.get("/v2/app/tags/list")).status, "a list without its next page would look whole").to.equal(
      502,
    );
    backend.answer = (socket) => socket.end(`${head(200, { "content-length": lost.length })}${lost}`);
    expect((await gateway.get("/v2/app/tags/list")).status, "control").to.equal(200);
  });

  it("never sends the client's credentials on", async () => {
    let seen = "";
    backend.answer = (socket, request) => {
      seen = request;
      socket.end(head(404, { "content-length": 0 }));
    };
    await gateway.get("/v2/app/manifests/v1", {
      headers: { authorization: "Basic c2VjcmV0", cookie: "session=secret", "x-forwarded-for": "1.2.3.4" },
    });
    expect(seen.toLowerCase())
      .to.match(/^get \/v2\/acme\/app\/manifests\/v1 http\/1.1\r\n/)
      .and.not.match(/authorization|cookie|c2vjcmv0|x-forwarded/);
  });

  /** A blob that the fake never ends. */
  const endless = (socket: Socket): void =>
    pour(socket, head(200, { "docker-content-digest": DIGEST, "content-length": 1e12 }), Buffer.alloc(1 << 20));

  it("leaves the backend when the client leaves while it waits", async () => {
    backend.answer = () => undefined;
    await eventually("no connection is left over", () => backend.sockets.size === 0);
    const request = get(`${gateway.origin}/v2/app/blobs/${DIGEST}`, { agent: false }).on("error", () => undefined);
    await eventually("the backend is asked", () => backend.sockets.size === 1);
    request.destroy();
    await eventually("the backend is left", () => backend.sockets.size === 0, SOON_MS);
    await eventually("it is logged", () => gateway.logged("request").some((line) => line["status"] === 499));
  });

  it("leaves the backend when the client leaves in the middle of a blob", async () => {
    backend.answer = endless;
    const request = get(`${gateway.origin}/v2/app/blobs/${DIGEST}`, { agent: false }).on("error", () => undefined);
    const [answer] = (await once(request, "response")) as [IncomingMessage];
    await once(
      answer.on("error", () => undefined),
      "data",
    );
    expect(backend.sockets.size).to.equal(1);
    request.destroy();
    await eventually("the backend is left", () => backend.sockets.size === 0, SOON_MS);
    const gone = (line: Record<string, unknown>): boolean =>
      line["problem"] === "CLIENT_GONE" && line["status"] === 200;
    await eventually("it is logged", () => gateway.logged("request").some(gone));
  });

  /** Lets clients ask for the endless blob and read none of it, until the gateway gives them up; the memory it took, in MiB. */
  async function stall(clients: number): Promise<number> {
    const before = gateway.rss;
    const requests = Array.from({ length: clients }, () =>
      get(`${gateway.origin}/v2/app/blobs/${DIGEST}`, { agent: false }, (answer) =>
        answer.pause().on("error", () => undefined),
      ).on("error", () => undefined),
    );
    await Promise.all(requests.map((request) => once(request, "response")));
    expect(backend.sockets.size).to.be.within(1, clients); // on a busy machine the first are given up by now
    let peak = 0;
    await eventually("the backend is left", () => {
      peak = Math.max(peak, gateway.rss - before);
      return backend.sockets.size === 0;
    });
    for (const request of requests) request.destroy();
    return peak;
  }

  it("holds little of an endless blob for clients that do not read, and then leaves them", async () => {
    backend.answer = endless;
    await stall(10); // what the process itself grows to when it first works
    const grown = await stall(40);
    expect(grown, `grew by ${grown.toFixed(0)} MiB`).to.be.lessThan(60);
  });
});

describe("The gateway under load", () => {
  const cleanup = new Cleanup();
  const SIZE = 64 * 1024 * 1024;
  const blob = randomBytes(SIZE);
  let gateway: GatewayProcess;
  let digest: string;

  before(async function () {
    this.timeout(0);
    const upstream = await Distribution.start(cleanup, { auth: true });
    const cache = await Distribution.start(cleanup, { upstream });
    digest = await upstream.pushBlob("acme/big", blob);
    gateway = await GatewayProcess.start(cleanup, {
      registry: "main",
      origins: { "registry.local:5000": cache.origin },
    });
    await gateway.setRules([acceptedRule("big", "registry.local:5000/acme/big", "big")]);
  });
  after(() => cleanup.run());

  it("streams a blob of 64 MiB, cold and cached, four at a time, in little memory", async () => {
    await gateway.get("/v2/big/tags/list");
    const before = gateway.rss;
    let peak = 0;
    const sampling = setInterval(() => {
      peak = Math.max(peak, gateway.rss - before);
    }, 10);
    const cold = await gateway.get(`/v2/big/blobs/${digest}`);
    expect(digestOf(cold.body)).to.equal(digest);
    const cached = await Promise.all(Array.from({ length: 4 }, () => gateway.get(`/v2/big/blobs/${digest}`)));
    clearInterval(sampling);
    for (const got of cached) expect(got.body.length).to.equal(SIZE);
    expect(peak, `grew by ${peak.toFixed(0)} MiB`).to.be.lessThan(100);
    const entry = await eventually("it is logged", () =>
      gateway.logged("request").find((line) => line["bytes"] === SIZE),
    );
    expect(entry).to.include({ rule: "big", kind: "blob", status: 200 });
  });

  it("goes on with a range where a client was cut off", async () => {
    await gateway.get(`/v2/big/blobs/${digest}`); // distribution serves ranges of what is in its cache; the first time it sends all
    const tail = await eventually("the blob is in the cache", async () => {
      const answer = await gateway.get(`/v2/big/blobs/${digest}`, { headers: { range: `bytes=${SIZE - 100_000}-` } });
      return answer.status === 206 && answer;
    });
    expect(tail.body.equals(blob.subarray(SIZE - 100_000))).to.equal(true);
  });

  it("refuses thousands of undeclared names without growing its metrics", async () => {
    const lines = async () => (await gateway.metrics()).split("\n").length;
    await gateway.get("/v2/undeclared/manifests/v1");
    const before = await lines();
    for (let round = 0; round < 20; round++) {
      await Promise.all(
        Array.from({ length: 50 }, (_, index) => gateway.get(`/v2/undeclared/${round}-${index}/manifests/v1`)),
      );
    }
    expect(await lines()).to.be.lessThanOrEqual(before + 5); // histogram lines do not multiply either
  });
});
