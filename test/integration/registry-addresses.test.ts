import type { LookupAddress } from "node:dns";
import { expect } from "chai";
import {
  farthestOf,
  isWithinReach,
  lookupWithin,
  type Nearness,
  nearnessOf,
} from "../../adapters/registry/addresses.ts";
import { Requests } from "../../adapters/registry/requests.ts";
import { type Answer, type Outgoing, Transport } from "../../adapters/registry/transport.ts";
import { ANONYMOUS } from "../../core/registry/keychain.ts";

const KNOWN: Readonly<Record<Nearness, readonly string[]>> = {
  public: ["8.8.8.8", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8"],
  private: ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "fd00::1", "::ffff:10.0.0.1"],
  loopback: ["127.0.0.1", "127.255.0.1", "::1", "::ffff:127.0.0.1"],
  never: [
    "169.254.169.254",
    "0.0.0.0",
    "::",
    "fe80::1",
    "224.0.0.1",
    "255.255.255.255",
    "fd00:ec2::254",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "not an address",
    "",
  ],
};

describe("addresses that a registry may send us to", () => {
  for (const [nearness, addresses] of Object.entries(KNOWN)) {
    for (const address of addresses)
      it(`${JSON.stringify(address)} is ${nearness}`, () => expect(nearnessOf(address)).to.equal(nearness));
  }

  it("are never nearer than the registry's own, and link-local never", () => {
    const reach = (address: string) =>
      (["public", "private", "loopback"] as const).filter((own) => isWithinReach(address, own));
    expect(reach("8.8.8.8")).to.deep.equal(["public", "private", "loopback"]);
    expect(reach("10.0.0.1")).to.deep.equal(["private", "loopback"]);
    expect(reach("127.0.0.1")).to.deep.equal(["loopback"]);
    expect(reach("169.254.169.254")).to.deep.equal([]);
  });

  it("are chosen when the connection is made, from what the name resolves to then", async () => {
    const resolve = (reach: Nearness) =>
      new Promise<string>((done) => {
        lookupWithin(reach)("localhost", { all: true }, (error, found) =>
          done(error?.code ?? (found as LookupAddress[])[0]?.address ?? ""),
        );
      });
    expect(await resolve("loopback")).to.match(/^127\.|^::1$/);
    expect(await resolve("private")).to.equal("ERR_ADDRESS_OUT_OF_REACH");
  });

  it("are judged by the farthest address of the registry's host", () => {
    expect(farthestOf(["127.0.0.1", "10.1.2.3"])).to.equal("private");
    expect(farthestOf(["127.0.0.1", "10.1.2.3", "8.8.8.8"])).to.equal("public");
    expect(farthestOf(["::1"])).to.equal("loopback");
    expect(farthestOf([])).to.equal("never");
  });

  it("are judged by what the registry's name resolved to when it was connected to", async () => {
    const transport = new Transport({ attemptMs: 30_000 });
    const url = new URL("http://localhost:1/");
    expect(transport.nearness(url)).to.equal("public");
    const target = { registry: "localhost:1", repository: "a" };
    const outgoing = {
      operation: "blob",
      target,
      method: "GET",
      url,
      headers: {},
      limit: 1,
      signal: AbortSignal.timeout(30_000),
    } as const;
    await transport.send({ ...outgoing, reach: "loopback" }).catch(() => undefined);
    expect(transport.nearness(url)).to.equal("loopback");
    expect(transport.nearness(new URL("https://10.1.2.3/"))).to.equal("private");
    await transport.close();
  });

  it("are held to the registry's own network once it names the host: a redirect's and a foreign token service's", async () => {
    const seen: Record<string, Nearness> = {};
    class Recording extends Transport {
      override nearness(): Nearness {
        return "private";
      }
      override send({ url, reach }: Outgoing): Promise<Answer> {
        seen[url.hostname] = reach;
        const [status, headers] = ROUTES[`${url.hostname}${url.pathname}`] ?? [200, {}];
        return Promise.resolve({ status, body: Buffer.from('{"token":"t"}'), header: (name) => headers[name] });
      }
    }
    const requests = new Requests(new Recording({}));
    const get = (repository: string) =>
      requests.ask({
        operation: "blob",
        source: { registry: "r.example.com", repository, keychain: ANONYMOUS },
        method: "GET",
        path: "blobs/x",
        accept: "*/*",
        limit: 1,
        subject: "blob",
        signal: AbortSignal.timeout(1_000),
      });
    await get("moved");
    await get("guarded").catch(() => undefined);
    expect(seen).to.deep.equal({
      "r.example.com": "loopback",
      "cdn.example.net": "private",
      "auth.example.net": "private",
    });
  });
});

const ROUTES: Readonly<Record<string, readonly [number, Readonly<Record<string, string>>]>> = {
  "r.example.com/v2/moved/blobs/x": [307, { location: "https://cdn.example.net/x" }],
  "r.example.com/v2/guarded/blobs/x": [401, { "www-authenticate": 'Bearer realm="https://auth.example.net/token"' }],
};
