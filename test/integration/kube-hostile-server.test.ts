import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { type AddressInfo, createServer as createTcpServer, type Server as TcpServer } from "node:net";
import { expect } from "chai";
import type { KubeAccess } from "../../adapters/kube/access.ts";
import { type ClientOptions, type ConnectedKubeClient, connect } from "../../adapters/kube/client.ts";
import { Resources } from "../../adapters/kube/resources.ts";
import { rejectsWith } from "../support/kube.ts";

// Fakes, because no real API server misbehaves on demand: plain TCP and HTTP servers that answer as a broken or hostile one might.

function accessTo(port: number): KubeAccess {
  return {
    getCurrentCluster: () => ({ name: "fake", server: `http://127.0.0.1:${port}`, skipTLSVerify: true }),
    getCurrentUser: () => null,
    applyToHTTPSOptions: async (options) => {
      options.headers = { Authorization: "Bearer top-secret" };
    },
  };
}

const configMap = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "a", namespace: "n" } };

describe("The Kubernetes client before a hostile server (faked)", () => {
  const servers: (Server | TcpServer)[] = [];
  let client: ConnectedKubeClient | undefined;
  let sent = 0;

  async function listenOn(listening: Server | TcpServer): Promise<number> {
    servers.push(listening);
    await new Promise<void>((resolve) => listening.listen(0, "127.0.0.1", resolve));
    return (listening.address() as AddressInfo).port;
  }

  async function facing(
    answer: (request: IncomingMessage, response: ServerResponse) => void,
    options: ClientOptions = {},
  ): Promise<ConnectedKubeClient> {
    client = connect(accessTo(await listenOn(createHttpServer(answer))), { deadlineMs: 3000, ...options });
    return client;
  }

  /** A TCP server that sends `head` and then `filler` for as long as anybody reads. */
  async function facingEndless(head: string, options: ClientOptions): Promise<ConnectedKubeClient> {
    const filler = Buffer.alloc(64 * 1024, "x");
    sent = 0;
    const tcp = createTcpServer((socket) => {
      socket.on("error", () => undefined);
      socket.once("data", () => {
        const pump = (): void => {
          while (!socket.destroyed && socket.write(filler)) sent += filler.length;
          sent += filler.length;
        };
        socket.on("drain", pump).write(head);
        pump();
      });
    });
    client = connect(accessTo(await listenOn(tcp)), { deadlineMs: 3000, ...options });
    return client;
  }

  afterEach(async () => {
    await client?.close();
    for (const server of servers.splice(0)) {
      if ("closeAllConnections" in server) server.closeAllConnections();
      server.close();
    }
  });

  const OK = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n";
  const SLACK = 8 * 1024 * 1024; // what the sockets' buffers of both sides may hold

  it("cuts an endless answer off at the limit", async () => {
    const kube = await facingEndless(`${OK}{"metadata":{"name":"`, { maxObjectBytes: 1024 * 1024 });
    const error = await rejectsWith("TOO_LARGE", kube.get(Resources.configMaps, "a", { namespace: "n" }));
    expect(error.message).to.equal('get ConfigMap "a" in namespace "n": the answer is longer than 1048576 bytes');
    expect(sent).to.be.within(1024 * 1024, SLACK);
  });

  it("cuts an endless event of a watch off at the limit", async () => {
    const kube = await facingEndless(`${OK}{"type":"ADDED","object":{"metadata":{"name":"`, {
      maxObjectBytes: 1024 * 1024,
    });
    const watching = (async () => {
      const scope = { resourceVersion: "1", signal: new AbortController().signal };
      for await (const event of kube.watch(Resources.configMaps, scope)) expect(event.type).to.equal("BOOKMARK");
    })();
    await rejectsWith("TOO_LARGE", watching);
    expect(sent).to.be.within(1024 * 1024, SLACK);
  });

  it("cuts an endless error answer off, and does not quote it", async () => {
    const kube = await facingEndless("HTTP/1.1 403 Forbidden\r\n\r\n", {});
    const error = await rejectsWith("FORBIDDEN", kube.get(Resources.configMaps, "a", { namespace: "n" }));
    expect(error.message).to.equal('get ConfigMap "a" in namespace "n": HTTP status 403');
    expect(sent).to.be.lessThan(SLACK);
  });

  it("gives up on a server that never answers, and on one that stops in the middle", async () => {
    const silent = await facing(() => undefined, { deadlineMs: 300 });
    await rejectsWith("TIMEOUT", silent.get(Resources.configMaps, "a", { namespace: "n" }));
    await silent.close();
    const stalling = await facing((_request, response) => void response.writeHead(200).write('{"metadata":'), {
      deadlineMs: 300,
    });
    const error = await rejectsWith("TIMEOUT", stalling.get(Resources.configMaps, "a", { namespace: "n" }));
    expect(error.message).to.contain("no complete answer within 300 ms");
  });

  it("takes a watch that fell silent for dead, but not one that brings bookmarks", async () => {
    let bookmarks = false;
    const kube = await facing(
      (request, response) => {
        response.writeHead(200).write("\n");
        if (!bookmarks) return;
        const bookmark = '{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"2"}}}\n';
        const timer = setInterval(() => response.write(bookmark), 100);
        request.socket.on("close", () => clearInterval(timer));
      },
      { watchSilenceMs: 500 },
    );
    const seen = async (signal: AbortSignal): Promise<number> => {
      let events = 0;
      for await (const _event of kube.watch(Resources.configMaps, { resourceVersion: "1", signal })) {
        events += 1;
        if (events > 30) break;
      }
      return events;
    };
    const error = await rejectsWith("TIMEOUT", seen(new AbortController().signal));
    expect(error.message).to.equal("watch configmaps: the API server fell silent");
    bookmarks = true;
    expect(await seen(new AbortController().signal)).to.equal(31);
  }).timeout(15_000);

  it("does not wait for credentials beyond the deadline, and says when it has none", async () => {
    const port = await listenOn(createHttpServer());
    client = connect(
      { ...accessTo(port), applyToHTTPSOptions: () => new Promise(() => undefined) },
      { deadlineMs: 200 },
    );
    await rejectsWith("TIMEOUT", client.get(Resources.configMaps, "a", { namespace: "n" }));
    client = connect({ ...accessTo(port), applyToHTTPSOptions: () => Promise.reject(new Error("secret path")) });
    const error = await rejectsWith("UNAUTHORIZED", client.get(Resources.configMaps, "a", { namespace: "n" }));
    expect(error.message).to.match(/^The credentials for the Kubernetes API cannot be loaded/);
    expect(error.message).not.to.contain("secret");
  });

  it("follows no redirect", async () => {
    const paths: (string | undefined)[] = [];
    const kube = await facing((request, response) => {
      paths.push(request.url);
      response.writeHead(302, { Location: `http://${request.headers.host}/elsewhere` }).end();
    });
    await rejectsWith("MALFORMED", kube.get(Resources.configMaps, "a", { namespace: "n" }));
    expect(paths).to.eql(["/api/v1/namespaces/n/configmaps/a"]);
  });

  const garbage: readonly [name: string, body: string | Buffer][] = [
    ["no JSON", "<html>"],
    ["null", "null"],
    ["an array", "[]"],
    ["an object without metadata", "{}"],
    ["a name that is no string", '{"metadata":{"name":{}}}'],
    ["bytes", Buffer.from([0x1f, 0x8b, 0, 0xff, 0xfe])],
  ];
  for (const [name, body] of garbage) {
    it(`calls ${name} malformed, for objects and lists`, async () => {
      const kube = await facing((_request, response) => void response.end(body));
      await rejectsWith("MALFORMED", kube.get(Resources.configMaps, "a", { namespace: "n" }));
      await rejectsWith("MALFORMED", kube.list(Resources.configMaps));
    });
  }

  const events: readonly [name: string, line: string][] = [
    ["no JSON", "what?"],
    ["an unknown type", '{"type":"WHAT","object":{"metadata":{"name":"a"}}}'],
    ["no object", '{"type":"ADDED"}'],
    ["a bookmark without version", '{"type":"BOOKMARK","object":{"metadata":{}}}'],
  ];
  for (const [name, line] of events) {
    it(`calls a watch event with ${name} malformed`, async () => {
      const kube = await facing((_request, response) => void response.write(`${line}\n`));
      const watching = (async () => {
        for await (const _event of kube.watch(Resources.configMaps, {
          resourceVersion: "1",
          signal: new AbortController().signal,
        }));
      })();
      await rejectsWith("MALFORMED", watching);
    });
  }

  it("quotes neither an error page nor its own credentials", async () => {
    const kube = await facing(
      (request, response) => void response.writeHead(502).end(`<html>${request.headers.authorization}</html>`),
    );
    const error = await rejectsWith("UNAVAILABLE", kube.get(Resources.configMaps, "a", { namespace: "n" }));
    expect(error.message).to.equal('get ConfigMap "a" in namespace "n": HTTP status 502');
  });

  it("shortens a long message and takes control characters out", async () => {
    const message = `\u001b[31mred\n${"y".repeat(5000)}`;
    const kube = await facing(
      (_request, response) => void response.writeHead(409).end(JSON.stringify({ kind: "Status", message })),
    );
    const error = await rejectsWith("CONFLICT", kube.get(Resources.configMaps, "a", { namespace: "n" }));
    expect(error.message).to.match(/: {1}\[31mred y+…$/);
    expect(error.message.length).to.be.lessThan(700);
  });

  it("waits as a throttling server asks, twice at most, for writes too", async () => {
    let refusals = 2;
    const kube = await facing(
      (_request, response) => {
        refusals -= 1;
        if (refusals >= 0) response.writeHead(429, { "Retry-After": "1" }).end();
        else response.end(JSON.stringify(configMap));
      },
      { deadlineMs: 10_000 },
    );
    const begin = performance.now();
    expect(await kube.create(Resources.configMaps, configMap)).to.eql(configMap);
    expect(performance.now() - begin).to.be.within(1_900, 10_000);
    refusals = 3;
    await rejectsWith("THROTTLED", kube.get(Resources.configMaps, "a", { namespace: "n" }));
  }).timeout(15_000);

  it("repeats a read once when its kept connection broke, and never a write", async () => {
    const methods: (string | undefined)[] = [];
    let breaks = 1;
    const kube = await facing((request, response) => {
      methods.push(request.method);
      breaks -= 1;
      if (breaks >= 0) request.socket.destroy();
      else response.end(JSON.stringify(configMap));
    });
    await kube.get(Resources.configMaps, "a", { namespace: "n" });
    breaks = 1;
    await rejectsWith("UNAVAILABLE", kube.create(Resources.configMaps, configMap));
    breaks = 2;
    await rejectsWith("UNAVAILABLE", kube.get(Resources.configMaps, "a", { namespace: "n" }));
    expect(methods).to.eql(["GET", "GET", "POST", "GET", "GET"]);
  });

  it("asks for new credentials once when refused, not for ever", async () => {
    let requests = 0;
    const kube = await facing((_request, response) => {
      requests += 1;
      response.writeHead(401).end();
    });
    await rejectsWith("UNAUTHORIZED", kube.get(Resources.configMaps, "a", { namespace: "n" }));
    expect(requests).to.equal(2);
  });

  it("says that nobody listens", async () => {
    const port = await listenOn(createHttpServer());
    await new Promise((resolve) => servers[0]?.close(resolve));
    client = connect(accessTo(port));
    const error = await rejectsWith("UNAVAILABLE", client.get(Resources.configMaps, "a", { namespace: "n" }));
    expect(error.message).to.equal(
      'get ConfigMap "a" in namespace "n": the API server cannot be reached (ECONNREFUSED)',
    );
  });
});
