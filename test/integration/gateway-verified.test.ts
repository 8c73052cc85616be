import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { expect } from "chai";
import { eventually } from "../support/kube.ts";
import { sha256 } from "../support/registry.ts";
import { acceptedRule, Cleanup, GatewayProcess, OCI_MANIFEST } from "./gateway-harness.ts";

describe("The gateway and a backend that sends other content than it names (a fake)", () => {
  const cleanup = new Cleanup();
  const manifest = Buffer.from('{"schemaVersion":2}');
  const layer = randomBytes(3_000_000);
  const contents = new Map([manifest, layer, Buffer.alloc(0)].map((bytes) => [sha256(bytes), bytes]));
  let spoil: ((bytes: Buffer) => Buffer) | undefined;
  let asked = 0;
  let backend: Server;
  let gateway: GatewayProcess;

  before(async () => {
    backend = createServer((req, res) => {
      asked += 1;
      const digest = req.url?.endsWith("/v1") === true ? sha256(manifest) : (req.url?.split("/").at(-1) ?? "");
      const whole = contents.get(digest as `sha256:${string}`) ?? Buffer.alloc(0);
      const bytes = spoil?.(whole) ?? whole;
      const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(req.headers.range ?? "") ?? [];
      const part = from === undefined ? bytes : bytes.subarray(Number(from), Number(to) + 1);
      res.writeHead(from === undefined ? 200 : 206, {
        "content-type": OCI_MANIFEST,
        "docker-content-digest": digest,
        ...(req.url?.endsWith("/v1") !== true && { "content-length": part.length }),
        ...(from !== undefined && { "content-range": `bytes ${from}-${to}/${bytes.length}` }),
      });
      res.end(part);
    }).listen(0, "127.0.0.1");
    await once(backend, "listening");
    cleanup.add(() => {
      backend.close();
      backend.closeAllConnections();
    });
    const origin = `http://127.0.0.1:${(backend.address() as AddressInfo).port}`;
    gateway = await GatewayProcess.start(cleanup, { registry: "main", origins: { "registry.local:5000": origin } });
    await gateway.setRules([acceptedRule("app", "registry.local:5000/acme/app", "app")]);
  });
  beforeEach(() => {
    spoil = undefined;
    asked = 0;
  });
  after(() => cleanup.run());

  const paths = [
    ["a manifest by tag", "/v2/app/manifests/v1"],
    ["a manifest by digest", `/v2/app/manifests/${sha256(manifest)}`],
    ["a blob", `/v2/app/blobs/${sha256(layer)}`],
  ] as const;
  const flipped = (bytes: Buffer): Buffer => {
    const changed = Buffer.from(bytes);
    changed[bytes.length >> 1] = (changed[bytes.length >> 1] ?? 0) ^ 1;
    return changed;
  };

  for (const [what, path] of paths) {
    it(`${what}: whole when it is what it should be`, async () => {
      const { status, body } = await gateway.get(path);
      expect(status).to.equal(200);
      expect(contents.get(sha256(body))?.equals(body)).to.equal(true);
    });
  }
  const lies = [flipped, (bytes: Buffer) => bytes.subarray(0, -1)];

  for (const [what, path, times] of [
    ["by tag", paths[0][1], 2],
    ["by digest", paths[1][1], 1],
  ] as const) {
    it(`a manifest ${what}: an error when one byte is another, or when some are missing, asked for ${times} times`, async () => {
      for (const lie of lies) {
        spoil = lie;
        asked = 0;
        const { status, headers, errors } = await gateway.get(path);
        expect([status, errors[0]?.code, asked]).to.deep.equal([502, "UNKNOWN", times]);
        expect(errors[0]?.message).to.include("sends other content than it names").and.include('CacheRule "app"');
        expect(headers.get("docker-content-digest")).to.equal(null);
      }
      const lied = (line: Record<string, unknown>): boolean => line["problem"] === "BACKEND_MALFORMED";
      await eventually("it is logged", () => gateway.logged("request").some(lied));
    });
  }

  it("a manifest by tag: whole when only the first answer is of two moments", async () => {
    spoil = (bytes) => (asked === 1 ? flipped(bytes) : bytes);
    const { status, headers, body } = await gateway.get("/v2/app/manifests/v1");
    expect([status, body.equals(manifest), asked]).to.deep.equal([200, true, 2]);
    expect(headers.get("docker-content-digest")).to.equal(sha256(manifest));
    expect(headers.get("content-length")).to.equal(String(manifest.length));
    expect(headers.get("content-type")).to.equal(OCI_MANIFEST);
  });

  it("a blob: cut off when one byte is another, or when some are missing at the end", async () => {
    for (const lie of lies) {
      spoil = lie;
      const end = await gateway.get(paths[2][1]).then(
        () => "whole",
        () => "cut",
      );
      expect(end).to.equal("cut");
    }
  });

  it("nothing at all, which has a digest too", async () => {
    const empty = sha256(Buffer.alloc(0));
    const { status, body } = await gateway.get(`/v2/app/blobs/${empty}`);
    expect([status, body.length]).to.deep.equal([200, 0]);
  });

  it("a part of a blob cannot be checked and is passed on", async () => {
    const headers = { range: "bytes=10-19" };
    const { status, body } = await gateway.get(`/v2/app/blobs/${sha256(layer)}`, { headers });
    expect([status, body.equals(layer.subarray(10, 20))]).to.deep.equal([206, true]);
  });
});
