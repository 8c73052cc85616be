import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { expect } from "chai";
import { acceptedRule, Cleanup, Distribution, GatewayProcess } from "./gateway-harness.ts";

const HOST = "registry.local:5000";
/** Neither is the order of bytes: by letter whatever its case, as the specification's text once had it, and by version. */
const ORDERS = { letters: ["a", "B", "b2", "C", "D"], versions: ["1.9", "1.10", "1.11", "v9", "v10", "v11"] } as const;

/** A registry that pages its tags in an order of its own. */
function servePage(req: IncomingMessage, res: ServerResponse): void {
  const url = new URL(req.url ?? "", "http://registry");
  const repository = /^\/v2\/acme\/(letters|versions)\/tags\/list$/.exec(url.pathname)?.[1];
  if (repository !== "letters" && repository !== "versions") {
    res.writeHead(url.pathname === "/v2/" ? 200 : 404).end();
    return;
  }
  const all: readonly string[] = ORDERS[repository];
  const last = url.searchParams.get("last");
  const rest = last === null ? all : all.slice(all.indexOf(last) + 1);
  const tags = rest.slice(0, Number(url.searchParams.get("n") ?? rest.length));
  const more = tags.length < rest.length;
  url.searchParams.set("last", tags.at(-1) ?? "");
  res.writeHead(200, {
    "content-type": "application/json",
    ...(more && { link: `<${url.pathname}${url.search}>; rel="next"` }),
  });
  res.end(JSON.stringify({ name: `acme/${repository}`, tags }));
}

describe("The gateway in front of an upstream whose tags are in an order of its own (a fake)", () => {
  const cleanup = new Cleanup();
  let gateway: GatewayProcess;

  before(async function () {
    this.timeout(0); // the first time on a machine distribution is built
    const fake = createServer(servePage).listen(0, "127.0.0.1");
    await once(fake, "listening");
    cleanup.add(() => fake.close());
    const origin = `http://127.0.0.1:${(fake.address() as AddressInfo).port}`;
    const cache = await Distribution.start(cleanup, { upstream: { origin } });
    gateway = await GatewayProcess.start(cleanup, { registry: "main", origins: { [HOST]: cache.origin } });
    await gateway.setRules(Object.keys(ORDERS).map((name) => acceptedRule(name, `${HOST}/acme/${name}`, name)));
  });
  after(() => cleanup.run());

  for (const [name, all] of Object.entries(ORDERS)) {
    for (const size of [1, 2, 1000]) {
      it(`leads through all tags in the order of ${name}, ${size} on a page`, async () => {
        const seen: string[] = [];
        for (let next: string | undefined = `/v2/${name}/tags/list?n=${size}`; next !== undefined; ) {
          const page = await gateway.get(next);
          expect(page.status, page.body.toString()).to.equal(200);
          seen.push(...(JSON.parse(page.body.toString()) as { tags: string[] }).tags);
          next = /^<([^>]+)>; rel="next"$/.exec(page.headers.get("link") ?? "")?.[1];
        }
        expect(seen).to.deep.equal(all);
      });
    }

    it(`cuts the whole list of ${name} after a tag that is asked for without n`, async () => {
      const answer = await gateway.get(`/v2/${name}/tags/list?last=${all[1]}`);
      expect(JSON.parse(answer.body.toString())).to.deep.equal({ name, tags: all.slice(2) });
    });
  }
});
