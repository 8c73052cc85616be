import { randomBytes, type X509Certificate } from "node:crypto";
import { once } from "node:events";
import { request } from "node:https";
import { connect } from "node:tls";
import { expect } from "chai";
import { ACCESS_FILE, TLS_CERT_FILE, TLS_KEY_FILE } from "../../core/gatewayaccess/names.ts";
import type { GatewayAccess } from "../../core/gatewayaccess/resolve.ts";
import { eventually } from "../support/kube.ts";
import { AccessStage } from "./gateway-access-harness.ts";
import { Cleanup, Distribution, digestOf } from "./gateway-harness.ts";

const HOST = "registry.local:5000";
const TLS = { tls: { selfSigned: {} } };

describe("The gateway over TLS", () => {
  const cleanup = new Cleanup();
  const layer = randomBytes(1024 * 1024);
  let stage: AccessStage;
  let first: GatewayAccess;
  let image: Awaited<ReturnType<Distribution["pushImage"]>>;

  before(async function () {
    this.timeout(0);
    const upstream = await Distribution.start(cleanup);
    image = await upstream.pushImage("acme/app", "v1", layer);
    const proxy = await Distribution.start(cleanup, { upstream });
    stage = new AccessStage(cleanup, { spec: TLS, origins: { [HOST]: proxy.origin }, env: { REGISTRY_TLS: "true" } });
    await stage.open();
    await stage.rule("app", `${HOST}/acme/app`, "app");
    stage.mount.write({ [ACCESS_FILE]: '{"version":1,"users":[]}' });
    await stage.start({ scheme: "https", ready: false });
  });
  after(() => cleanup.run());

  const port = (): number => Number(new URL(stage.origin).port);

  /** The certificate that a new connection gets. */
  async function served(): Promise<X509Certificate> {
    const socket = connect({ port: port(), host: "127.0.0.1", rejectUnauthorized: false });
    await once(socket, "secureConnect");
    const certificate = socket.getPeerX509Certificate();
    socket.destroy();
    if (certificate === undefined) throw new Error("there is no certificate");
    return certificate;
  }

  /** A request that checks the certificate by `ca`, on a connection of its own. */
  async function pull(
    path: string,
    ca: string,
    agent: false | undefined = false,
  ): Promise<{ status: number; body: Buffer }> {
    const sent = request({
      port: port(),
      host: "127.0.0.1",
      path,
      ca,
      servername: "localhost",
      agent,
      checkServerIdentity: () => undefined,
    });
    sent.end();
    const [answer] = (await once(sent, "response")) as [import("node:http").IncomingMessage];
    const chunks: Buffer[] = [];
    for await (const chunk of answer as AsyncIterable<Buffer>) chunks.push(chunk);
    return { status: answer.statusCode ?? 0, body: Buffer.concat(chunks) };
  }

  it("listens to nobody before there is a certificate: not plainly, and it is not ready", async () => {
    await eventually("the status page", async () => (await stage.readiness()) === 503);
    const readyz = await (await fetch(`${stage.statusOrigin}/readyz`)).text();
    const reason = `there is no certificate to serve with yet (spec.inCluster.tls): ${stage.mount.directory} has no tls.crt and tls.key`;
    expect(readyz).to.include(reason).and.include(`kubectl describe cacheregistry ${stage.registry}`);
    await eventually("it is logged", () => stage.output.includes(reason));
    const plain = await fetch(`http://127.0.0.1:${port()}/v2/`).catch(() => "refused");
    expect(plain).to.equal("refused");
  });

  it("serves with its own certificate once it is mounted, which its authority's vouches for", async () => {
    first = await stage.render();
    await eventually("it is ready", async () => (await stage.readiness()) === 200);
    const authorities = first.authority?.certificates ?? "";
    await eventually(
      "the rule is served",
      async () => (await pull("/v2/app/manifests/v1", authorities)).status === 200,
    );
    const stranger = await stage.render.call(new AccessStage(cleanup, { origins: {} }), TLS);
    const refused = await pull("/v2/", stranger.authority?.certificates ?? "").catch(
      (thrown: { code?: string }) => thrown.code,
    );
    expect(refused, "control: another authority").to.match(/VERIFY|SIGNATURE|SELF_SIGNED/);
    expect((await fetch(`${stage.statusOrigin}/livez`)).status, "probes are plain").to.equal(200);
  });

  it("takes up a new certificate under load: no request fails, and open connections go on", async () => {
    let [pulls, running] = [0, true];
    const problems: unknown[] = [];
    const trusted = [first.authority?.certificates ?? ""];
    const work = async (agent: false | undefined): Promise<void> => {
      while (running) {
        const { status, body } = await pull(`/v2/app/blobs/${image.layer}`, trusted.join(""), agent);
        if (status !== 200 || digestOf(body) !== image.layer) problems.push(status);
        pulls++;
      }
    };
    const workers = [work(false), work(false), work(undefined)].map((one) =>
      one.catch((thrown: unknown) => problems.push(thrown)),
    );
    const before = (await served()).serialNumber;
    const others = await stage.render.call(new AccessStage(cleanup, { origins: {} }), TLS);
    trusted.push(others.authority?.certificates ?? "");
    await new Promise((resolve) => setTimeout(resolve, 300));
    stage.mount.write(others.files);
    await eventually("the new one is served", async () => (await served()).serialNumber !== before);
    const at = pulls;
    await eventually("it is pulled with", () => pulls > at + 10);
    running = false;
    await Promise.all(workers);
    expect(problems).to.deep.equal([]);
    stage.mount.write(first.files);
    await eventually("the first is back", async () => (await served()).serialNumber === before);
  });

  it("keeps the certificate that works when a new one cannot be used", async () => {
    const before = (await served()).serialNumber;
    const other = await stage.render.call(new AccessStage(cleanup, { origins: {} }), TLS);
    const key = other.files[TLS_KEY_FILE] ?? "";
    const seen = stage.output.length;
    for (const files of [
      { ...first.files, [TLS_KEY_FILE]: key },
      { ...first.files, [TLS_CERT_FILE]: "garbage" },
      { [ACCESS_FILE]: first.files[ACCESS_FILE] ?? "" },
    ]) {
      stage.mount.write(files);
      await new Promise((resolve) => setTimeout(resolve, 1_300));
      expect((await served()).serialNumber).to.equal(before);
      expect((await pull("/v2/", first.authority?.certificates ?? "")).status).to.equal(200);
    }
    expect(stage.output.slice(seen)).to.include("mounted access not usable").and.not.include("PRIVATE KEY");
  });
});
