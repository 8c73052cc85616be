import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { createServer as createTcpServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { DATA_DIRECTORY, distributionConfig } from "../../core/cacheregistry/distribution.ts";
import { issueAuthority, issueServing } from "../../core/certificates/issue.ts";
import { CA_CERT, CA_KEY, readMaterial } from "../../core/certificates/material.ts";
import { freePort } from "../../hack/testcluster/controlplane.ts";
import { settingsFrom } from "../../hack/testcluster/settings.ts";
import { ensureTool } from "../../hack/testcluster/tools.ts";
import { probeUpstream } from "../../operator/incluster/upstream-probe.ts";
import { eventually } from "../support/kube.ts";
import { Cleanup, Distribution } from "./gateway-harness.ts";

const USER = { username: "test", password: "test-only-password" };

describe("The probe of upstreams", function () {
  this.timeout(120_000);
  const cleanup = new Cleanup();
  const signal = new AbortController().signal;
  after(() => cleanup.run());

  /** Listens on loopback with whatever server, and gives its `host:port`. */
  async function listen(server: Server): Promise<string> {
    const sockets = new Set<Socket>();
    server.on("connection", (socket: Socket) => {
      sockets.add(socket);
      socket.on("error", () => undefined);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    cleanup.add(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    const address = server.address();
    return `127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`;
  }

  const http = (handler: RequestListener) => listen(createServer(handler));
  const probe = (host: string, rest: object = {}) => probeUpstream({ host, plainHTTP: true, ...rest }, signal);

  it("finds a real registry, with and without its password", async () => {
    const registry = await Distribution.start(cleanup, { auth: true });
    const host = `127.0.0.1:${registry.port}`;
    expect(await probe(host)).to.deep.equal({ kind: "reachable", credentials: "untried" });
    expect(await probe(host, { credentials: USER })).to.deep.equal({ kind: "reachable", credentials: "accepted" });
    const wrong = await probe(host, { credentials: { ...USER, password: "not-it-at-all" } });
    expect(wrong.kind).to.equal("refused");
    expect(JSON.stringify(wrong)).to.not.contain("not-it-at-all");
    await registry.stop();
    expect(await probe(host)).to.include({ kind: "unreachable" });
  });

  it("follows a Bearer challenge to its token service, with the service's name and the password", async () => {
    const seen: (string | undefined)[] = [];
    const host = await http((request, response) => {
      if (request.url === "/v2/") {
        response
          .writeHead(401, { "www-authenticate": `Bearer realm="http://${host}/token",service="my registry"` })
          .end();
        return;
      }
      seen.push(request.url, request.headers.authorization);
      response
        .writeHead(
          request.headers.authorization === `Basic ${Buffer.from("test:test-only-password").toString("base64")}`
            ? 200
            : 401,
        )
        .end("{}");
    });
    expect(await probe(host, { credentials: USER })).to.deep.equal({ kind: "reachable", credentials: "accepted" });
    expect(seen[0]).to.equal("/token?service=my+registry");
    expect((await probe(host, { credentials: { ...USER, password: "x" } })).kind).to.equal("refused");
  });

  it("sends no credentials to a token service elsewhere", async () => {
    let asked = 0;
    const elsewhere = await http((_request, response) => {
      asked += 1;
      response.end("{}");
    });
    const host = await http((_request, response) =>
      response.writeHead(401, { "www-authenticate": `Bearer realm="http://${elsewhere}/token"` }).end(),
    );
    expect(await probe(host, { credentials: USER })).to.deep.equal({ kind: "reachable", credentials: "untried" });
    expect(asked).to.equal(0);
  });

  it("follows no redirect", async () => {
    let asked = 0;
    const elsewhere = await http((_request, response) => {
      asked += 1;
      response.end("{}");
    });
    const host = await http((_request, response) =>
      response.writeHead(302, { location: `http://${elsewhere}/v2/` }).end(),
    );
    expect(await probe(host, { credentials: USER })).to.include({ kind: "unreachable" });
    expect(asked).to.equal(0);
  });

  const endless = (response: ServerResponse) => {
    const chunk = Buffer.alloc(64 * 1024);
    const write = () => {
      while (!response.destroyed && response.write(chunk));
    };
    response.on("drain", write).writeHead(200);
    write();
  };
  const hostile: readonly { name: string; kind: string; message?: RegExp; serve: () => Promise<string> }[] = [
    {
      name: "an error",
      kind: "unreachable",
      message: /HTTP status 503/,
      serve: () => http((_, response) => response.writeHead(503).end()),
    },
    {
      name: "no registry",
      kind: "unreachable",
      message: /no registry at this address/,
      serve: () => http((_, response) => response.writeHead(404).end()),
    },
    {
      name: "garbage",
      kind: "unreachable",
      message: /connection failed/,
      serve: () => listen(createTcpServer((socket) => socket.end("garbage\r\n\r\n"))),
    },
    {
      name: "a closed connection",
      kind: "unreachable",
      serve: () => listen(createTcpServer((socket) => socket.destroy())),
    },
    {
      name: "an endless header",
      kind: "unreachable",
      serve: () =>
        listen(createTcpServer((socket) => void socket.write(`HTTP/1.1 200 OK\r\nx: ${"a".repeat(1 << 20)}`))),
    },
    {
      name: "an endless body",
      kind: "reachable",
      serve: () => http((_: IncomingMessage, response) => endless(response)),
    },
  ];
  for (const { name, kind, message, serve } of hostile) {
    it(`takes ${name} for ${kind}`, async () => {
      const before = process.memoryUsage().rss;
      const health = await probe(await serve());
      expect(health.kind).to.equal(kind);
      if (message !== undefined) expect(health.kind === "unreachable" && health.message).to.match(message);
      expect(process.memoryUsage().rss - before).to.be.lessThan(64 * 1024 * 1024);
    });
  }

  it("gives up on silence after ten seconds", async () => {
    const host = await listen(createTcpServer(() => undefined));
    const start = performance.now();
    expect(await probe(host)).to.deep.equal({ kind: "unreachable", message: "it did not answer within 10 s" });
    expect(performance.now() - start).to.be.within(9_500, 30_000);
  });

  it("says what is wrong with a name or a port", async () => {
    expect(await probe("no-such-host.invalid"))
      .to.deep.include({ kind: "unreachable" })
      .and.have.property("message")
      .match(/can't be resolved/);
    expect(await probe(`127.0.0.1:${await freePort()}`))
      .to.have.property("message")
      .match(/refuses the connection/);
  });

  it("trusts a private authority only when it is given", async () => {
    const now = new Date();
    const ca = issueAuthority(3600, now);
    const { authority } = readMaterial({ [CA_CERT]: ca.certificate, [CA_KEY]: ca.key });
    if (authority === undefined) throw new Error("no authority");
    const name = authority.certificate.subject.replace("CN=", "");
    const serving = issueServing(["localhost"], { name, key: authority.key }, 3600, now);
    const address = await listen(
      createTlsServer({ cert: serving.certificate, key: serving.key }, (_, response) => response.end("{}")),
    );
    const host = address.replace("127.0.0.1", "localhost");
    const tls = (rest: object) => probeUpstream({ host, plainHTTP: false, ...rest }, signal);
    expect(await tls({}))
      .to.have.property("message")
      .match(/give the authority as caBundle/);
    expect(await tls({ caBundle: ca.certificate })).to.deep.equal({ kind: "reachable", credentials: "untried" });
    expect(await tls({ caBundle: issueAuthority(3600, now).certificate }))
      .to.have.property("message")
      .match(/caBundle/);
    expect(await probeUpstream({ host: address, plainHTTP: false, caBundle: ca.certificate }, signal))
      .to.have.property("message")
      .match(/another name/);
    const plain = await http((_, response) => response.end("{}"));
    expect(await probeUpstream({ host: plain, plainHTTP: false }, signal))
      .to.have.property("message")
      .match(/plainHTTP: true/);
  });
});

describe("The configuration of the proxy, read by CNCF distribution", function () {
  this.timeout(0);
  const cleanup = new Cleanup();
  after(() => cleanup.run());

  const nasty = [
    { username: "plain", password: "plain" },
    { username: "yes", password: "0123" },
    { username: "$HOME", password: "%24{HOME} $(HOME)" },
    { username: 'it\'s "quoted"', password: "'\" # not: [a, comment] \\n \\" },
    { username: "-", password: "!!binary |" },
    { username: "\u2028ключ\u00a0", password: "\u{1f511} \u2029" },
  ];
  for (const credentials of nasty) {
    it(`sends ${JSON.stringify(credentials)} as it is`, async () => {
      const seen = new Set<string>();
      const server = createServer((request, response) => {
        if (request.headers.authorization !== undefined) seen.add(request.headers.authorization);
        response
          .writeHead(401, { "www-authenticate": 'Basic realm="x"', "docker-distribution-api-version": "registry/2.0" })
          .end();
      });
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      cleanup.add(() => {
        server.closeAllConnections();
        server.close();
      });
      const address = server.address();
      const host = `127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`;
      const dir = mkdtempSync(join(tmpdir(), "entrepot-operator-"));
      cleanup.add(() => rmSync(dir, { recursive: true, force: true, maxRetries: 5 }));
      // As the operator renders it, but for the ports and the folder, which are the Pod's.
      const port = await freePort();
      const rendered = distributionConfig({ host, plainHTTP: true, credentials }, { ttl: "24h" });
      const moved = rendered
        .replace('addr: ":5000"', `addr: "127.0.0.1:${port}"`)
        .replace('addr: ":5001"', `addr: "127.0.0.1:${await freePort()}"`)
        .replace(`"${DATA_DIRECTORY}`, `"${join(dir, "data")}`);
      writeFileSync(join(dir, "config.yml"), moved);
      const binary = await ensureTool(settingsFrom(process.env), "registry");
      const child = spawn(binary, ["serve", join(dir, "config.yml")], {
        env: { OTEL_TRACES_EXPORTER: "none" },
        stdio: "ignore",
      });
      cleanup.add(() => child.kill("SIGKILL"));
      const origin = `http://127.0.0.1:${port}`;
      await eventually("the proxy answers", () =>
        fetch(`${origin}/v2/`).then(
          ({ ok }) => ok,
          () => false,
        ),
      );
      await (await fetch(`${origin}/v2/acme/app/manifests/v1`)).text();
      const expected = Buffer.from(`${credentials.username}:${credentials.password}`, "utf8").toString("base64");
      expect([...seen]).to.deep.equal([`Basic ${expected}`]);
    });
  }
});
