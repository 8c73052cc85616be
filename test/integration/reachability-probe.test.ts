import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { expect } from "chai";
import type { Probe } from "../../core/reachability/reachable.ts";
import type { CacheRegistryObject } from "../../crds/index.ts";
import { freePort } from "../../hack/testcluster/controlplane.ts";
import { authorityOf, probeHost } from "../../operator/reachability/probe.ts";
import { MemoryKube } from "../support/memory-kube.ts";
import { startRegistry } from "../support/registry.ts";
import { selfSigned } from "../support/self-signed.ts";

describe("What the operator finds of the host that nodes pull from", function () {
  this.timeout(120_000);
  const closing: (() => void)[] = [];
  afterEach(() => {
    for (const close of closing.splice(0)) close();
  });

  async function listen(server: Server | ReturnType<typeof createTcpServer>): Promise<number> {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    closing.push(() => {
      if ("closeAllConnections" in server) server.closeAllConnections();
      server.close();
    });
    return (server.address() as AddressInfo).port;
  }

  const serve = async (listener: RequestListener) => `127.0.0.1:${await listen(createServer(listener))}`;
  const probe = (host: string, authority?: string): Promise<Probe> =>
    probeHost(host, authority, new AbortController().signal);
  const why = async (host: string, authority?: string): Promise<string> => {
    const found = await probe(host, authority);
    return found.reached ? "reached" : found.why;
  };

  it("a real registry, with and without a password, until it is gone", async function () {
    this.timeout(0);
    for (const auth of [false, true]) {
      const registry = await startRegistry({ auth });
      expect(await why(registry.host)).to.equal("reached");
      const [request, ...others] = registry.newRequests().filter(({ path }) => path.startsWith("/v2"));
      expect(others).to.deep.equal([]);
      expect(request).to.include({ method: "GET", path: "/v2/", status: auth ? 401 : 200 });
      await registry.stop();
      expect(await why(registry.host))
        .to.contain("ECONNREFUSED")
        .and.contain(registry.host);
    }
  });

  it("follows no redirect, sends no credentials, and reads no more than a registry answers", async () => {
    const seen: string[] = [];
    const host = await serve((request, response) => {
      seen.push(`${request.method} ${request.url} ${request.headers.authorization}`);
      response.writeHead(307, { location: "/v2/elsewhere" }).end();
    });
    expect(await why(host)).to.contain("HTTP status 307");
    expect(seen).to.deep.equal(["GET /v2/ undefined"]);

    let sent = 0;
    const endless = await serve((_request, response) => {
      const more = () => {
        while (!response.destroyed && response.write(Buffer.alloc(64 * 1024))) sent += 64 * 1024;
      };
      response.on("drain", more);
      more();
    });
    expect(await why(endless)).to.contain("more than 16384 bytes");
    expect(sent).to.be.lessThan(8 * 1024 * 1024);
  });

  it("what answers for a registry that is down is none", async () => {
    for (const status of [404, 500, 503]) {
      const host = await serve((_request, response) => response.writeHead(status).end("x"));
      expect(await why(host)).to.contain(`it answers /v2/ with HTTP status ${status}`);
    }
    const port = await listen(createTcpServer((socket) => socket.end("220 mail.example ESMTP\r\n")));
    expect(await why(`127.0.0.1:${port}`)).to.contain("does not speak HTTP");
  });

  it("gives up on silence, and on an answer that never ends, after five seconds", async () => {
    const silent = await serve(() => undefined);
    const slow = await serve((_request, response) => {
      const timer = setInterval(() => response.write("x"), 200);
      response.on("close", () => clearInterval(timer));
    });
    const start = performance.now();
    for (const found of await Promise.all([why(silent), why(slow)]))
      expect(found).to.contain("no complete answer in time");
    expect(performance.now() - start).to.be.within(4_900, 30_000);
  });

  it("goes by the name: no DNS, no port, no address that nothing is to be sent to", async () => {
    expect(await why("registry.invalid")).to.match(/ENOTFOUND|EAI_AGAIN|no complete answer in time/);
    expect(await why(`127.0.0.1:${await freePort()}`)).to.contain("ECONNREFUSED");
    expect(await why("169.254.169.254")).to.contain("has only addresses that are not connected to");
  });

  it("trusts a private authority only when it is given, and only over TLS", async () => {
    const { key, cert } = selfSigned();
    const server = createTlsServer({ key, cert }, (_request, response) => response.writeHead(401).end());
    const port = await listen(server as unknown as Server);
    expect(await why(`127.0.0.1:${port}`), "by its name plain HTTP").to.not.equal("reached");
    const host = `0x7f000001:${port}`; // 127.0.0.1, in a spelling that is not taken for a plain HTTP host
    expect(await why(host)).to.contain("SELF_SIGNED");
    expect(await why(host, selfSigned().cert), "another's").to.contain("SELF_SIGNED");
    expect(await why(host, cert)).to.equal("reached");
  });

  it("has the authority that the CacheRegistry names, if it is there", async () => {
    const registry = (spec: object) => ({ spec }) as unknown as CacheRegistryObject;
    const harbor = registry({ harbor: { caBundleRef: { name: "harbor-ca", key: "ca.crt" } } });
    const kube = new MemoryKube();
    const read = (one: CacheRegistryObject) =>
      authorityOf(one, { client: kube, namespace: "cosign-system" }, new AbortController().signal);
    expect(await read(harbor)).to.equal(undefined);
    kube.put({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "harbor-ca" }, data: { "ca.crt": "PEM" } });
    expect(await read(harbor)).to.equal("PEM");
    expect(await read(registry({ ecr: {} }))).to.equal(undefined);
  });

  it("ends with the process, without a verdict", async () => {
    const host = await serve(() => undefined);
    const stop = new AbortController();
    const asked = probeHost(host, undefined, stop.signal);
    stop.abort(new Error("the process is ending"));
    const thrown = await asked.catch((error: unknown) => error);
    expect(String(thrown)).to.contain("the process is ending");
  });
});
