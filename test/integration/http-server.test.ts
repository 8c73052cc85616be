import { once } from "node:events";
import { Agent, request as httpRequest, type IncomingMessage } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { connect, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { expect } from "chai";
import { Gauge } from "prom-client";
import { startDeadline } from "../../adapters/deadline.ts";
import { readBody } from "../../adapters/http/body.ts";
import { type Handler, type RunningServer, type ServerOptions, startServer } from "../../adapters/http/server.ts";
import { type Check, startStatusServer } from "../../adapters/http/status.ts";
import { silentLog } from "../../adapters/telemetry/log.ts";
import { createRegistry } from "../../adapters/telemetry/metrics.ts";
import { selfSigned } from "../support/self-signed.ts";

interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

interface Ask {
  readonly port: number;
  readonly path?: string;
  readonly method?: string;
  readonly body?: string;
  readonly agent?: Agent;
}

async function ask({ port, path = "/", method = "GET", body, agent }: Ask): Promise<Answer> {
  const options = { host: "127.0.0.1", port, path, method, ...(agent === undefined ? {} : { agent }) };
  return await new Promise((resolve, reject) => {
    const request = httpRequest(options, (response) => {
      response.setEncoding("utf8");
      let text = "";
      response.on("data", (chunk: string) => {
        text += chunk;
      });
      response.on("error", reject);
      response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }));
    });
    request.on("error", reject);
    request.end(body);
  });
}

describe("The HTTP server", () => {
  const servers: RunningServer[] = [];
  afterEach(() => Promise.all(servers.splice(0).map((server) => server.close())));

  async function serve(handler: Handler, options: Partial<ServerOptions> = {}): Promise<RunningServer> {
    const server = await startServer({ handler, port: 0, host: "127.0.0.1", log: silentLog, ...options });
    servers.push(server);
    return server;
  }

  const echo: Handler = async (request, response) => {
    using deadline = startDeadline(500);
    response.end(await readBody(request, 1000, deadline.signal));
  };

  it("serves, and tells clients how long it keeps connections: longer than the API server's 90 s", async () => {
    const { port } = await serve(echo);
    const answer = await ask({ port, method: "POST", body: "hello", agent: new Agent({ keepAlive: true }) });
    expect(answer.body).to.equal("hello");
    expect(Number(/timeout=(\d+)/.exec(String(answer.headers["keep-alive"]))?.[1])).to.be.greaterThan(90);
  });

  it("fails to start on a port that is taken", async () => {
    const { port } = await serve(echo);
    const thrown = await startServer({ handler: echo, port, host: "127.0.0.1", log: silentLog }).catch(
      (error: unknown) => error,
    );
    expect(thrown).to.have.property("code", "EADDRINUSE");
  });

  describe("reading a body", () => {
    it("takes one of exactly the limit, in one piece or many", async () => {
      const { port } = await serve(echo);
      expect((await ask({ port, method: "POST", body: "x".repeat(1000) })).body).to.have.length(1000);
    });

    it("answers 413 to a longer one that says so, without reading it", async () => {
      const { port } = await serve(echo);
      const answer = await ask({ port, method: "POST", body: "x".repeat(1001) });
      expect([answer.status, answer.body, answer.headers.connection]).to.eql([
        413,
        "The request's body is longer than 1000 bytes\n",
        "close",
      ]);
    });

    /** Sends raw bytes, goes on as `then` does, and gives what came back until the server closes. */
    async function raw(port: number, head: string, then: (socket: Socket) => void = () => undefined): Promise<string> {
      const socket = connect(port, "127.0.0.1");
      let text = "";
      socket.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk;
      });
      socket.on("error", () => undefined);
      socket.write(head);
      then(socket);
      await new Promise((resolve) => socket.once("close", resolve));
      return text;
    }

    const CHUNKED = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

    it("answers 413 to an endless one and ends the connection", async () => {
      let sent = 0;
      const { port } = await serve(echo);
      const text = await raw(port, CHUNKED, (socket) => {
        const chunk = `1000\r\n${"x".repeat(0x1000)}\r\n`;
        const pump = (): void => {
          while (!socket.destroyed && socket.write(chunk)) sent += chunk.length;
        };
        socket.on("drain", pump);
        pump();
      });
      expect(text).to.match(/^HTTP\/1\.1 413 /);
      expect(sent).to.be.lessThan(16 * 1024 * 1024);
    });

    it("answers 408 to one that does not come in time", async () => {
      const { port } = await serve(echo);
      expect(await raw(port, `${CHUNKED}5\r\nhello\r\n`)).to.match(/^HTTP\/1\.1 408 /);
    });

    it("is told when the client goes away in the middle", async () => {
      let outcome: unknown;
      const { port } = await serve(async (request, response) => {
        outcome = await readBody(request, 1000, new AbortController().signal).catch((error: unknown) => error);
        response.end();
      });
      await raw(port, `${CHUNKED}5\r\nhello\r\n`, (socket) => setTimeout(() => socket.destroy(), 50));
      while (outcome === undefined) await delay(5);
      expect(outcome).to.have.property("code", "BODY_ABORTED");
    });
  });

  it("answers 500 when the handler fails, telling nothing, and goes on serving", async () => {
    let fails = true;
    const logged: object[] = [];
    const log = { ...silentLog, error: (_message: string, fields?: object) => void logged.push(fields ?? {}) };
    const { port } = await serve(
      (_request, response) => {
        if (fails) throw new Error("secret detail");
        response.end("fine");
      },
      { log },
    );
    const answer = await ask({ port, path: "/path?token=secret" });
    expect(answer.status).to.equal(500);
    expect(answer.body).not.to.contain("secret");
    expect(logged).to.eql([{ method: "GET", path: "/path", error: "secret detail" }]);
    fails = false;
    expect((await ask({ port })).body).to.equal("fine");
  });

  it("cuts an answer that failed in the middle, so that it is not taken for whole", async () => {
    const { port } = await serve(async (_request, response) => {
      response.writeHead(200).write("half");
      await delay(20);
      throw new Error("broken");
    });
    const thrown = await ask({ port }).catch((error: unknown) => error);
    expect(thrown).to.have.property("code", "ECONNRESET");
  });

  it("serves another certificate from the next connection on, and keeps the old one when the new is unusable", async () => {
    const [first, second] = [selfSigned(), selfSigned()];
    const server = await serve((_request, response) => void response.end("ok"), { tls: first });
    const trusts = async (ca: string): Promise<boolean> =>
      await new Promise((resolve) => {
        const agent = new HttpsAgent({ keepAlive: false });
        const request = httpsRequest({ host: "localhost", port: server.port, ca, agent, family: 4 }, (response) => {
          response.resume();
          resolve(response.statusCode === 200);
        });
        request.on("error", () => resolve(false));
        request.end();
      });
    expect([await trusts(first.cert), await trusts(second.cert)]).to.eql([true, false]);
    server.reloadTls(second);
    expect([await trusts(first.cert), await trusts(second.cert)]).to.eql([false, true]);
    expect(() => server.reloadTls({ cert: first.cert, key: second.key })).to.throw();
    expect(() => server.reloadTls({ cert: "no", key: "no" })).to.throw();
    expect(await trusts(second.cert)).to.equal(true);
  });

  describe("draining", () => {
    // Two servers behind one address, as a Service has: new connections go to `target`; kept ones stay where they are. As Go's
    // client does, these clients keep connections, and never send a POST a second time.
    async function underLoad(
      end: (server: RunningServer) => Promise<void>,
    ): Promise<{ failures: string[]; secondServed: number }> {
      let secondServed = 0;
      const slowly = async (response: { end(): void }): Promise<void> => {
        await delay(Math.random() * 10);
        response.end();
      };
      const first = await serve((_request, response) => slowly(response));
      const second = await serve((_request, response) => {
        secondServed += 1;
        return slowly(response);
      });
      let target = first.port;
      const failures: string[] = [];
      let ended = 0;
      let running = true;
      const worker = async (): Promise<void> => {
        const agent = new Agent({ keepAlive: true, maxSockets: 1 });
        agent.createConnection = (_options, callback) => {
          const socket = connect(target, "127.0.0.1");
          callback?.(null, socket);
          return socket;
        };
        while (running) {
          await ask({ port: 1, method: "POST", body: "x", agent }).catch((error: unknown) =>
            failures.push(String(error)),
          );
          ended += 1;
          await delay(Math.random() * 5);
        }
        agent.destroy();
      };
      const workers = Array.from({ length: 16 }, worker);
      await endedMore(200);
      const closed = end(first);
      await endedMore(100); // meanwhile the Service still leads here: its proxies hear of the end later
      target = second.port;
      await closed;
      await endedMore(100);
      running = false;
      await Promise.all(workers);
      return { failures, secondServed };

      async function endedMore(count: number): Promise<void> {
        const goal = ended + count;
        while (ended < goal) await delay(5);
      }
    }

    it("loses no request of clients that keep connections and never repeat", async () => {
      for (let round = 0; round < 3; round += 1) {
        const { failures, secondServed } = await underLoad((server) => server.drain(4_000));
        expect(failures).to.eql([]);
        expect(secondServed).to.be.greaterThan(100);
      }
    }).timeout(60_000);

    it("is what saves them: closing at once loses some", async () => {
      const { failures } = await underLoad((server) => server.drain(0));
      expect(failures).not.to.eql([]);
    });

    it("tells every client to close, also those whose request was already running", async () => {
      const server = await serve(async (_request, response) => {
        await delay(100);
        response.end();
      });
      const agent = new Agent({ keepAlive: true });
      const before = await ask({ port: server.port, agent });
      expect(before.headers.connection).to.equal("keep-alive");
      const running = ask({ port: server.port, agent });
      await delay(30);
      const drained = server.drain(2_000);
      expect((await running).headers.connection).to.equal("close");
      expect((await ask({ port: server.port, agent })).headers.connection).to.equal("close");
      await drained;
      expect(await ask({ port: server.port, agent }).catch((error: unknown) => error)).to.have.property(
        "code",
        "ECONNREFUSED",
      );
    });

    it("waits for a request that runs longer than the drain, but not for ever", async () => {
      const server = await serve(async (_request, response) => {
        await delay(300);
        response.end("whole");
      });
      const slow = ask({ port: server.port });
      await delay(50);
      await server.drain(10);
      expect((await slow).body).to.equal("whole");

      const stuck = await serve(() => new Promise(() => undefined));
      const never = ask({ port: stuck.port }).catch((error: unknown) => error);
      await delay(50);
      await stuck.drain(10, 100);
      expect(await never).to.have.property("code", "ECONNRESET");
    });

    it("is not held up by connections that never say anything", async () => {
      const server = await serve(echo);
      const mute = connect(server.port, "127.0.0.1");
      await once(mute, "connect");
      await delay(20);
      const begin = performance.now();
      await server.drain(10, 5000);
      expect(performance.now() - begin).to.be.lessThan(4_000);
      mute.destroy();
    });
  });
});

describe("The status server", () => {
  const ready = new Map<string, Check>();
  const registry = createRegistry("test", "1.2.3");
  let server: RunningServer;
  let port: number;

  before(async () => {
    new Gauge({ name: "entrepot_test_gauge", help: "a gauge", registers: [registry] }).set(7);
    const pages = new Map([["/-/page", () => ({ a: 1 })]]);
    server = await startStatusServer({ port: 0, host: "127.0.0.1", registry, log: silentLog, ready, pages });
    port = server.port;
  });
  after(() => server.close());

  it("is ready when every check holds, and names each that does not, with its reason", async () => {
    expect(await ask({ port, path: "/readyz" })).to.deep.include({ status: 200, body: "readyz check passed\n" });
    let synced = false;
    ready.set("informers", () => (synced ? undefined : "clusterimagepolicies not listed yet"));
    ready.set("broken", () => {
      throw new Error("oh");
    });
    ready.set("fine", () => undefined);
    expect(await ask({ port, path: "/readyz?verbose" })).to.deep.include({
      status: 503,
      body: "[-]informers failed: clusterimagepolicies not listed yet\n[-]broken failed: the check itself failed: oh\n[+]fine ok\nreadyz check failed\n",
    });
    expect(await ask({ port, path: "/livez" })).to.deep.include({ status: 200 });
    synced = true;
    ready.delete("broken");
    expect(await ask({ port, path: "/readyz" })).to.deep.include({ status: 200 });
  });

  it("serves metrics with the process's own", async () => {
    const { body, headers } = await ask({ port, path: "/metrics" });
    expect(headers["content-type"]).to.match(/^text\/plain/);
    for (const line of [
      /^entrepot_test_gauge 7$/m,
      /^entrepot_build_info\{component="test",version="1\.2\.3"\} 1$/m,
      /^process_resident_memory_bytes \d{7,}$/m,
      /^process_cpu_seconds_total [\d.]+$/m,
    ]) {
      expect(body).to.match(line);
    }
  });

  it("serves pages as JSON, nothing else, and only to readers", async () => {
    const page = await ask({ port, path: "/-/page" });
    expect([page.headers["content-type"], page.body]).to.eql(["application/json", '{"a":1}\n']);
    expect((await ask({ port, path: "/-/other" })).status).to.equal(404);
    expect((await ask({ port, path: "/-/page", method: "POST" })).status).to.equal(405);
  });
});
