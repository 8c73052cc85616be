import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { connect, type Socket } from "node:net";
import { expect } from "chai";
import { type RunningServer, startServer } from "../../adapters/http/server.ts";
import { silentLog } from "../../adapters/telemetry/log.ts";
import { Turns } from "../../gateway/turns.ts";
import { eventually } from "../support/kube.ts";

describe("requests that a client pipelines", () => {
  const turns = new Turns();
  let server: RunningServer;
  let begun: string[] = [];
  let gone: string[] = [];
  let held: ServerResponse[] = [];
  let client: Socket;
  let received = "";

  async function handler(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const { url = "" } = req;
    if (!(await turns.of(req, res))) {
      gone.push(url);
      return;
    }
    begun.push(url);
    if (url === "/held") held.push(res);
    else res.end(url);
  }

  beforeEach(async () => {
    [begun, gone, held, received] = [[], [], [], ""];
    server = await startServer({ handler, port: 0, host: "127.0.0.1", log: silentLog });
    client = connect(server.port, "127.0.0.1");
    client.on("data", (data) => {
      received += data.toString();
    });
    client.on("error", () => undefined);
    await once(client, "connect");
  });
  afterEach(async () => {
    client.destroy();
    for (const res of held) res.destroy();
    await server.close();
  });

  const ask = (...paths: readonly string[]) =>
    client.write(paths.map((path) => `GET ${path} HTTP/1.1\r\nHost: cache\r\n\r\n`).join(""));

  it("are served one after the other", async () => {
    ask("/held", "/a", "/b");
    await eventually("the first", () => begun.length === 1);
    await new Promise((resolve) => setImmediate(resolve));
    expect(begun).to.deep.equal(["/held"]);
    held[0]?.end("held");
    await eventually("all answers", () => /held.*\/a.*\/b/s.test(received));
    expect(begun).to.deep.equal(["/held", "/a", "/b"]);
    ask("/c");
    await eventually("one more on the same connection", () => begun.includes("/c"));
    expect(gone).to.deep.equal([]);
  });

  it("are not served to a client that has gone", async () => {
    ask("/held", "/a", "/b");
    await eventually("the first", () => begun.length === 1);
    client.destroy();
    await eventually("the end of the others", () => gone.length === 2);
    expect(begun).to.deep.equal(["/held"]);
  });

  it("cost the connection when they are too many", async () => {
    ask("/held", ...Array.from({ length: 16 }, (_, n) => `/${n}`));
    await eventually("the first", () => begun.length === 1);
    expect(client.destroyed).to.equal(false);
    ask("/one-more");
    await once(client, "close");
    await eventually("the end of all that waited", () => gone.length === 17);
    expect(begun).to.deep.equal(["/held"]);
  });
});
