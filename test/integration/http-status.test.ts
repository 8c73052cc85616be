import { expect } from "chai";
import { Gauge } from "prom-client";
import type { RunningServer } from "../../adapters/http/server.ts";
import { type Check, startStatusServer } from "../../adapters/http/status.ts";
import { silentLog } from "../../adapters/telemetry/log.ts";
import { createRegistry } from "../../adapters/telemetry/metrics.ts";
import { ask } from "./http-harness.ts";

describe("The status server", () => {
  const ready = new Map<string, Check>();
  const registry = createRegistry("test", "1.2.3");
  let server: RunningServer;
  let port: number;

  before(async () => {
    new Gauge({ name: "entrepot_test_gauge", help: "a gauge", registers: [registry] }).set(7);
    const pages = new Map([["/-/page", () => ({ a: 1 })]]);
    server = await startStatusServer({ port: 0, host: "127.0.0.1", registry, log: silentLog, ready, pages });
    port = server.port;
  });
  after(() => server.close());

  it("is ready when every check holds, and names each that does not, with its reason", async () => {
    expect(await ask({ port, path: "/readyz" })).to.deep.include({ status: 200, body: "readyz check passed\n" });
    let synced = false;
    ready.set("informers", () => (synced ? undefined : "clusterimagepolicies not listed yet"));
    ready.set("broken", () => {
      throw new Error("oh");
    });
    ready.set("fine", () => undefined);
    expect(await ask({ port, path: "/readyz?verbose" })).to.deep.include({
      status: 503,
      body: "[-]informers failed: clusterimagepolicies not listed yet\n[-]broken failed: the check itself failed: oh\n[+]fine ok\nreadyz check failed\n",
    });
    expect(await ask({ port, path: "/livez" })).to.deep.include({ status: 200 });
    synced = true;
    ready.delete("broken");
    expect(await ask({ port, path: "/readyz" })).to.deep.include({ status: 200 });
  });

  it("serves metrics with the process's own", async () => {
    const { body, headers } = await ask({ port, path: "/metrics" });
    expect(headers["content-type"]).to.match(/^text\/plain/);
    for (const line of [
      /^entrepot_test_gauge 7$/m,
      /^entrepot_build_info\{component="test",version="1\.2\.3"\} 1$/m,
      /^process_resident_memory_bytes \d{7,}$/m,
      /^process_cpu_seconds_total [\d.]+$/m,
    ]) {
      expect(body).to.match(line);
    }
  });

  it("serves pages as JSON, nothing else, and only to readers", async () => {
    const page = await ask({ port, path: "/-/page" });
    expect([page.headers["content-type"], page.body]).to.eql(["application/json", '{"a":1}\n']);
    expect((await ask({ port, path: "/-/other" })).status).to.equal(404);
    expect((await ask({ port, path: "/-/page", method: "POST" })).status).to.equal(405);
  });
});
