import { Agent } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { connect, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { expect } from "chai";
import { readBody } from "../../adapters/http/body.ts";
import { startServer } from "../../adapters/http/server.ts";
import { silentLog } from "../../adapters/telemetry/log.ts";
import { selfSigned } from "../support/self-signed.ts";
import { ask, closeAll, echo, serve } from "./http-harness.ts";

describe("The HTTP server", () => {
  afterEach(closeAll);

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
});
