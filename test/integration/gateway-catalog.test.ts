import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { expect } from "chai";
import { PRIVATE_HEADER } from "../../core/gatewayaccess/names.ts";
import { startCatalog } from "../support/catalog-gateway.ts";
import { eventually } from "../support/kube.ts";
import { acceptedRule, Cleanup, Distribution, OCI_MANIFEST } from "./gateway-harness.ts";

const FIRST = "registry.local:5000";
const SECOND = "other.local:5000";
const RULES = [
  acceptedRule("app", `${FIRST}/acme/app`, "demo-app"),
  acceptedRule("team", `${FIRST}/team/*`, "teams/*"),
  acceptedRule("special", `${SECOND}/special`, "teams/a"),
  acceptedRule("others", `${SECOND}/*`, "others/*"),
];

async function pull(cache: Distribution, repository: string, method = "GET"): Promise<number> {
  const url = `${cache.origin}/v2/${repository}/manifests/v1`;
  const answer = await fetch(url, { method, headers: { accept: OCI_MANIFEST } });
  await answer.arrayBuffer();
  return answer.status;
}

describe("The catalogue of the gateway in front of CNCF distribution", () => {
  const cleanup = new Cleanup();
  const caches: Distribution[] = [];
  let catalog: Awaited<ReturnType<typeof startCatalog>>;
  let guarded: typeof catalog;
  const walks = (cache: Distribution): number => cache.requests.filter((line) => line.includes("/v2/_catalog")).length;
  const cacheAt = (index: number): Distribution => caches[index] as Distribution;

  before(async function () {
    this.timeout(0); // the first time on a machine distribution is built
    for (const repositories of [
      ["acme/app", "acme/secret", "team/a", "team/b/c"],
      ["special", "library/x"],
    ]) {
      const upstream = await Distribution.start(cleanup, { auth: true });
      for (const repository of repositories) await upstream.pushImage(repository, "v1", Buffer.from(repository));
      caches.push(await Distribution.start(cleanup, { upstream }));
    }
    const origins = { [FIRST]: cacheAt(0).origin, [SECOND]: cacheAt(1).origin };
    const limits = { keepMs: 0 };
    catalog = await startCatalog(cleanup, { origins, rules: RULES, limits });
    guarded = await startCatalog(cleanup, { origins, rules: RULES, limits, mayList: (host) => host === SECOND });
  });
  after(() => cleanup.run());

  it("is empty before the first pull: a rule makes no name", async () => {
    const answer = await catalog();
    expect(answer.status).to.equal(200);
    expect(answer.headers.get("content-type")).to.equal("application/json");
    expect(answer.text).to.equal('{"repositories":[]}');
    expect(answer.headers.has("warning")).to.equal(false);
  });

  it("does not grow by a pull of what does not exist", async () => {
    expect(await pull(cacheAt(0), "team/nosuch")).to.equal(404);
    expect((await catalog()).names).to.deep.equal([]);
  });

  it("has what was pulled under the cache's names, and only declared ones", async () => {
    for (const repository of ["acme/app", "acme/secret", "team/a", "team/b/c"])
      expect(await pull(cacheAt(0), repository)).to.equal(200);
    for (const repository of ["special", "library/x"]) expect(await pull(cacheAt(1), repository)).to.equal(200);
    // "teams/a" is the exact rule's, so that team/a of the first upstream has no name; acme/secret is declared by none.
    const names = ["demo-app", "others/library/x", "others/special", "teams/a", "teams/b/c"];
    await eventually("both backends list what they hold", async () => (await catalog()).names.length >= names.length);
    expect((await catalog()).names).to.deep.equal(names);
    const direct = (await (await fetch(`${cacheAt(0).origin}/v2/_catalog`)).json()) as { repositories: string[] };
    expect(direct.repositories, "control: the backend lists it").to.include("acme/secret");
  });

  it("comes in pages", async () => {
    const seen: string[][] = [];
    for (let next: string | undefined = "?n=2"; next !== undefined; ) {
      const page = await catalog(next);
      seen.push([...page.names]);
      next = /^<\/v2\/_catalog(\?[^>]+)>; rel="next"$/.exec(page.headers.get("link") ?? "")?.[1];
    }
    expect(seen).to.deep.equal([["demo-app", "others/library/x"], ["others/special", "teams/a"], ["teams/b/c"]]);
    expect((await catalog("?last=others/zzz")).names).to.deep.equal(["teams/a", "teams/b/c"]);
    const none = await catalog("?n=0");
    expect([none.names, none.headers.has("link")]).to.deep.equal([[], false]);
    for (const query of ["?n=-1", "?n=x", "?last=%0d", "?last=A"]) expect((await catalog(query)).status).to.equal(400);
    const head = await catalog("?n=2", "HEAD");
    expect([head.status, head.text, head.headers.has("link")]).to.deep.equal([200, "", true]);
  });

  it("does not show, nor ask for, what the client may not list", async () => {
    const before = walks(cacheAt(0));
    expect((await guarded()).names).to.deep.equal(["others/library/x", "others/special", "teams/a"]);
    expect(walks(cacheAt(0))).to.equal(before);
  });

  it("says what is missing while a backend is down, and fails when all are", async () => {
    await cacheAt(0).stop();
    const part = await catalog();
    expect([part.status, part.names]).to.deep.equal([200, ["others/library/x", "others/special", "teams/a"]]);
    expect(part.headers.get("warning")).to.equal(
      `299 - "what is cached of upstream ${FIRST} is not listed: its backend refuses connections"`,
    );
    expect((await guarded()).headers.has("warning"), "nothing about what it may not list").to.equal(false);
    await cacheAt(1).stop();
    const none = await catalog();
    expect(none.status).to.equal(502);
    expect(none.text).to.include('"code":"UNKNOWN"').and.include(SECOND);
    expect(none.text).to.not.include("127.0.0.1");
  });
});

describe("The catalogue of the gateway in front of backends that misbehave", () => {
  const cleanup = new Cleanup();
  let asked = 0;
  let answer: (req: IncomingMessage, res: ServerResponse) => void;
  let origins: Record<string, string>;
  const rules = [acceptedRule("all", `${FIRST}/*`, "*")];

  before(async () => {
    const server = createServer((req, res) => {
      asked += 1;
      answer(req, res);
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    cleanup.add(() => server.closeAllConnections());
    cleanup.add(() => server.close());
    origins = { [FIRST]: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
  });
  beforeEach(() => {
    asked = 0;
  });
  after(() => cleanup.run());

  const send = (body: string, headers: Record<string, string> = {}, status = 200) => {
    answer = (_req, res) => void res.writeHead(status, headers).end(body);
  };

  it("reads a bounded number of names, and says that there are more", async () => {
    let name = 0;
    answer = (_req, res) => {
      const repositories = Array.from({ length: 10 }, (_none, index) => `r${String(name + index).padStart(6, "0")}`);
      name += repositories.length;
      res.writeHead(200, { link: '</v2/_catalog>; rel="next"' }).end(JSON.stringify({ repositories }));
    };
    const catalog = await startCatalog(cleanup, { origins, rules, limits: { pages: 3 } });
    const page = await catalog();
    expect([page.names.length, asked]).to.deep.equal([30, 3]);
    expect(page.headers.get("warning")).to.equal(`299 - "the list for upstream ${FIRST} ends after 30 repositories"`);
  });

  it("asks once for all who ask at the same time, and soon after", async () => {
    send('{"repositories":["a"]}');
    const catalog = await startCatalog(cleanup, { origins, rules, limits: { keepMs: 60_000 } });
    const answers = await Promise.all(Array.from({ length: 20 }, () => catalog()));
    expect(answers.every(({ names }) => names.join() === "a")).to.equal(true);
    await catalog();
    expect(asked).to.equal(1);
  });

  it("asks again after a failure", async () => {
    send("nothing", {}, 500);
    const catalog = await startCatalog(cleanup, { origins, rules });
    expect((await catalog()).status).to.equal(502);
    send('{"repositories":["a"]}');
    expect((await catalog()).names).to.deep.equal(["a"]);
  });

  const broken: [string, () => void][] = [
    ["a page that is none", () => send("<html>")],
    ["another object", () => send('{"errors":[]}')],
    ["an endless page", () => send(`{"repositories":["${"a".repeat(700_000)}"]}`)],
    ["a redirect", () => send("", { location: "http://127.0.0.1:9/v2/_catalog" }, 302)],
    ["silence", () => (answer = () => undefined)],
    ["half an answer", () => (answer = (_req, res) => void res.writeHead(200).write('{"repositories":['))],
  ];
  for (const [what, misbehave] of broken) {
    it(`fails within its time at ${what}`, async () => {
      misbehave();
      const catalog = await startCatalog(cleanup, { origins, rules, limits: { totalMs: 300 } });
      const page = await catalog();
      expect(page.status).to.equal(502);
      expect(page.text).to.include("the cache cannot say what it holds").and.not.include("127.0.0.1");
    });
  }

  it("hides what a backend marks as read with credentials, though its upstream is not known to have any", async () => {
    const mayList = (_host: string, marked = false) => !marked;
    const catalog = await startCatalog(cleanup, { origins, rules, mayList, limits: { keepMs: 0 } });
    send('{"repositories":["a"]}', { [PRIVATE_HEADER]: "true" });
    expect((await catalog()).text).to.equal('{"repositories":[]}');
    send('{"repositories":["a"]}');
    expect((await catalog()).names, "control: not marked").to.deep.equal(["a"]);
  });

  it("leaves out what is no repository name", async () => {
    send('{"repositories":["a","../b","C","d\\"e",7,"f/g"]}');
    const catalog = await startCatalog(cleanup, { origins, rules });
    expect((await catalog()).names).to.deep.equal(["a", "f/g"]);
  });
});
