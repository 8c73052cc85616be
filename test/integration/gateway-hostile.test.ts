import { once } from "node:events";
import { get, type IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { expect } from "chai";
import { eventually } from "../support/kube.ts";
import { FakeBackend, fetchRaw, head, pour } from "./gateway-fake-backend.ts";
import { acceptedRule, Cleanup, GatewayProcess, OCI_MANIFEST } from "./gateway-harness.ts";

const DIGEST = `sha256:${"0".repeat(64)}`;
const HEADERS_MS = 1_000;
const IDLE_MS = 1_000;
const CLIENT_IDLE_MS = 2_000;
const BODY_MS = 2_000;
const PATIENT_MS = 120_000;
/** What comes within it did not wait for a patient gateway's limits. */
const SOON_MS = 30_000;

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
