import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { expect } from "chai";
import { REFERRERS_LIMITS } from "../../core/gateway/referrers.ts";
import { MEMORY_LIMITS, ReferrersMemory } from "../../gateway/referrers-memory.ts";
import { acceptedRule, Cleanup, GatewayProcess, OCI_INDEX, OCI_MANIFEST } from "./gateway-harness.ts";

type Answer = (req: IncomingMessage, res: ServerResponse) => void;

const SUBJECT = `sha256:${"a".repeat(64)}`;
const SPOKEN = "spoken-by-the-upstream";
const digestAt = (index: number): string => `sha256:${index.toString(16).padStart(64, "0")}`;
const entry = (index: number, more: object = {}) => ({
  mediaType: OCI_MANIFEST,
  digest: digestAt(index),
  size: 2,
  ...more,
});
const index = (...manifests: unknown[]): string =>
  JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests });
const says =
  (body: string, headers: Record<string, string> = {}, status = 200): Answer =>
  (_req, res) => {
    res.writeHead(status, { "content-type": OCI_INDEX, ...headers }).end(body);
  };

/** Each goes on for ever, or until the gateway has had enough. */
const endless: Answer = (_req, res) => {
  res.writeHead(200, { "content-type": OCI_INDEX });
  res.write('{"schemaVersion":2,"manifests":[');
  const chunk = `${JSON.stringify(entry(1))},`.repeat(500);
  const more = (): void => {
    while (!res.destroyed && res.write(chunk));
  };
  res.on("drain", more);
  more();
};
const pages: Answer = (req, res) => {
  const page = Number(new URL(req.url ?? "", "http://x").searchParams.get("last") ?? 0);
  const link = `</v2/acme/app/referrers/${SUBJECT}?last=${page + 1}>; rel="next"`;
  says(index(entry(page)), { link })(req, res);
};

describe("Referrers of a hostile upstream (a FAKE one, and a backend that has nothing)", () => {
  const cleanup = new Cleanup();
  const seen: IncomingHttpHeaders[] = [];
  let answer: Answer = says(index());
  let tag: Answer = says("", {}, 404);
  let asked = 0;
  let strayed = 0;
  let gateway: GatewayProcess;
  let elsewhere: string;

  async function serve(handler: Answer): Promise<string> {
    const server = createServer(handler).listen(0, "127.0.0.1");
    await once(server, "listening");
    cleanup.add(() => {
      server.close();
      server.closeAllConnections();
    });
    return `127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  before(async function () {
    this.timeout(0);
    const upstream = await serve((req, res) => {
      seen.push(req.headers);
      const isList = req.url?.includes("/referrers/") === true;
      if (isList) asked++;
      (isList ? answer : tag)(req, res);
    });
    elsewhere = await serve((_req, res) => {
      strayed++;
      res.writeHead(200, { "content-type": OCI_INDEX }).end(index(entry(7)));
    });
    const backend = await serve((req, res) => tag(req, res));
    gateway = await GatewayProcess.start(cleanup, {
      registry: "main",
      origins: { [upstream]: `http://${backend}` },
      upstreamMs: 10_000,
      referrersTimes: { freshMs: 0, awayMs: 0 },
    });
    await gateway.setRules([acceptedRule("app", `${upstream}/acme/app`, "app")]);
  });
  beforeEach(() => {
    answer = says(index());
    tag = says("", {}, 404);
    asked = 0;
    strayed = 0;
    seen.length = 0;
  });
  after(() => cleanup.run());

  const get = async (digest: string, headers: Record<string, string> = {}) =>
    await gateway.get(`/v2/app/referrers/${digest}`, { headers });

  const hostile: [string, Answer, number, RegExp][] = [
    ["a list without end", endless, 502, /more than the cache reads/],
    ["pages without end", pages, 502, /more than the cache reads/],
    [
      "more referrers than any image has",
      says(index(...Array.from({ length: 1001 }, (_, at) => entry(at)))),
      502,
      /more than the cache reads/,
    ],
    [
      "a page that is its own next page",
      says(index(entry(1)), { link: `</v2/acme/app/referrers/${SUBJECT}>; rel="next"` }),
      502,
      /no registry does/,
    ],
    [
      "a next page of another repository",
      says(index(entry(1)), { link: `</v2/secret/app/referrers/${SUBJECT}?n=1>; rel="next"` }),
      502,
      /no registry does/,
    ],
    ["a link that is none", says(index(entry(1)), { link: "next please" }), 502, /no registry does/],
    ["a page of HTML", says(`<html>${SPOKEN}</html>`, { "content-type": "text/html" }), 502, /no registry does/],
    ["text that is no JSON", says(`{"schemaVersion":2,"manifests":[${SPOKEN}`), 502, /no registry does/],
    [
      "an image in place of an index",
      says(JSON.stringify({ schemaVersion: 2, manifests: {} })),
      502,
      /no registry does/,
    ],
    [
      "a digest that is none",
      says(index(entry(1), { ...entry(2), digest: "sha256:../../secret" })),
      502,
      /no registry does/,
    ],
    ["a size that is none", says(index({ ...entry(2), size: -1 })), 502, /no registry does/],
    ["an entry that is none", says(index(null)), 502, /no registry does/],
    ["a refusal", says(`{"errors":[{"code":"DENIED","message":"${SPOKEN}"}]}`, {}, 403), 403, /refuses/],
    ["a limit of its rate", says(SPOKEN, { "retry-after": "60" }, 429), 429, /limits the rate/],
    ["a failure", says(SPOKEN, {}, 500), 502, /cannot be reached, or failed/],
    ["silence", () => undefined, 504, /did not answer in time/],
  ];
  for (const [what, how, status, why] of hostile) {
    it(`${what} is an error that says so, never an empty list`, async () => {
      answer = how;
      const got = await get(SUBJECT);
      expect([got.status, got.errors[0]?.message]).to.satisfy(
        ([code, text]: [number, string]) => code === status && why.test(text),
        JSON.stringify(got.errors),
      );
      expect(got.body.toString() + JSON.stringify([...got.headers])).to.not.include(SPOKEN);
      expect(JSON.stringify(gateway.logged("request"))).to.not.include(SPOKEN);
      if (status === 429) expect(got.headers.get("retry-after")).to.equal("60");
      expect(asked, "bounded").to.be.within(1, REFERRERS_LIMITS.pages);
    });
  }

  it("control: pages that end are one list", async () => {
    answer = (req, res) =>
      req.url?.includes("last=") === true
        ? says(index(entry(2)))(req, res)
        : says(index(entry(1)), { link: `<http://${elsewhere}/v2/acme/app/referrers/${SUBJECT}?last=x>; rel="next"` })(
            req,
            res,
          );
    const got = await get(SUBJECT);
    expect([got.status, got.body.toString()]).to.deep.equal([200, index(entry(1), entry(2))]);
    expect(strayed, "whatever host the link names, the registry itself is asked").to.equal(0);
  });

  it("a redirect elsewhere is not followed: it means that there is no API, and the tag decides", async () => {
    answer = (_req, res) => void res.writeHead(307, { location: `http://${elsewhere}/v2/` }).end();
    tag = says(index(entry(5)));
    expect((await get(digestAt(100))).body.toString()).to.equal(index(entry(5)));
    tag = (_req, res) => void res.writeHead(307, { location: `http://${elsewhere}/v2/` }).end();
    expect((await get(digestAt(101))).status).to.equal(502);
    expect(strayed).to.equal(0);
  });

  it("a token service that redirects is no upstream without the API: what the tag says is not all", async () => {
    answer = says(index(entry(1)));
    await get(digestAt(106));
    answer = (req, res) => {
      const challenge = `Bearer realm="http://${req.headers.host}/referrers/token",service="x"`;
      if (req.url?.includes("/token") === true) res.writeHead(307, { location: `http://${elsewhere}/` }).end();
      else res.writeHead(401, { "www-authenticate": challenge }).end();
    };
    tag = says(index(entry(5)));
    const got = await get(digestAt(106));
    expect([got.status, got.body.toString()]).to.deep.equal([200, index(entry(1))]);
    expect(got.headers.get("warning")).to.include("does not answer as a registry does");
    expect(strayed).to.equal(0);
    answer = says(index());
    await get(digestAt(107)); // the gateway forgets the challenge
  });

  it("an upstream without the API, whose tag the proxy does not get, is asked for the tag itself", async () => {
    answer = says("", {}, 404);
    let calls = 0;
    tag = (req, res) => (++calls === 1 ? says("", {}, 404) : says(index(entry(6))))(req, res);
    expect((await get(digestAt(102))).body.toString()).to.equal(index(entry(6)));
    tag = says("", {}, 500);
    expect((await get(digestAt(103))).status, "nobody said that there is none").to.equal(502);
    tag = says("", {}, 404);
    expect((await get(digestAt(104))).body.toString(), "control").to.equal(index());
  });

  it("remembers what it heard before", async () => {
    answer = says(index(entry(1)));
    await get(digestAt(105));
    answer = says(SPOKEN);
    const got = await get(digestAt(105));
    expect([got.status, got.body.toString()]).to.deep.equal([200, index(entry(1))]);
    expect(got.headers.get("warning")).to.match(
      /^299 - "the upstream lists referrers in a way that no registry does; this is/,
    );
  });

  it("sees nothing of the client", async () => {
    const shown = { authorization: "Basic Y2xpZW50OnNlY3JldA==", cookie: "a=b", "x-forwarded-for": "10.0.0.1" };
    await get(SUBJECT, shown);
    for (const headers of seen) for (const name of Object.keys(shown)) expect(headers).to.not.have.property(name);
    expect(seen).to.not.have.length(0);
  });
});

describe("What the gateway remembers of referrers", () => {
  const list = (letters: number) => {
    const text = index(entry(1, { annotations: { note: "x".repeat(letters) } }));
    return { referrers: [entry(1)], text, marked: false, at: new Date(0) };
  };

  it("is bounded in lists and in bytes; what nobody asked for goes first", () => {
    const memory = new ReferrersMemory({ lists: 3, bytes: 10_000, keepMs: 60_000 });
    for (const key of ["a", "b", "c", "d"]) memory.set(key, list(10));
    expect(["a", "b", "c", "d"].filter((key) => memory.has(key))).to.deep.equal(["b", "c", "d"]);
    memory.set("e", list(8_500));
    expect(["b", "c", "d", "e"].filter((key) => memory.has(key))).to.deep.equal(["e"]);
    memory.set("f", list(20_000));
    expect(memory.has("f"), "larger than all of the memory").to.equal(false);
    expect(MEMORY_LIMITS.bytes).to.be.lessThan(64 * 1024 * 1024);
  });

  it("is no empty list: what it says is true for a moment only", () => {
    const memory = new ReferrersMemory();
    memory.set("a", list(10));
    expect(memory.get("a")?.text, "control").to.equal(list(10).text);
    memory.set("a", { ...list(10), referrers: [], text: index() });
    expect(memory.get("a")).to.equal(undefined);
  });
});
