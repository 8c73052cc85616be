import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { expect } from "chai";
import type { Log } from "../../adapters/telemetry/log.ts";
import { ACCESS_FILE, UPSTREAMS_FILE } from "../../core/gatewayaccess/names.ts";
import { PasswordHashes } from "../../core/gatewayaccess/passwords.ts";
import { accessDocument } from "../../core/gatewayaccess/resolve.ts";
import { MountedAccess } from "../../gateway/mounted.ts";
import { UpstreamReferrers } from "../../gateway/referrers-upstream.ts";
import { TEST_USER } from "../../hack/testcluster/registry.ts";
import { FakeHttps } from "../support/fake-https.ts";
import { pushReferrer } from "../support/multi-arch.ts";
import { selfSigned } from "../support/self-signed.ts";
import { basicAuth, Mount } from "./gateway-access-harness.ts";
import { acceptedRule, Cleanup, Distribution, GatewayProcess, OCI_INDEX } from "./gateway-harness.ts";

const WRONG = "not-the-password-of-anybody";
const ONES = `sha256:${"1".repeat(64)}`;
const { signal } = new AbortController();

describe("The credentials with which the gateway asks upstreams for referrers", () => {
  const cleanup = new Cleanup();
  let upstream: Distribution;
  let proxy: Distribution;
  let host: string;
  let digest: string;

  before(async function () {
    this.timeout(0); // the first time on a machine distribution is built
    upstream = await Distribution.start(cleanup, { auth: true });
    proxy = await Distribution.start(cleanup, { upstream, headers: { "Entrepot-Private": ["true"] } });
    host = new URL(upstream.origin).host;
    digest = (await upstream.pushImage("acme/app", "v1", Buffer.from("layer"))).digest;
    await pushReferrer(upstream, "acme/app", digest);
  });
  after(() => cleanup.run());

  const start = async (password: string | undefined, anonymous = true) => {
    const credentials = password === undefined ? {} : { credentials: { username: TEST_USER.username, password } };
    const gateway = await GatewayProcess.start(cleanup, {
      registry: "main",
      origins: { [host]: proxy.origin },
      spec: { inCluster: { anonymous }, upstreams: [{ host, credentials: {} }] },
      upstreams: [{ host, plainHTTP: true, ...credentials }],
    });
    await gateway.setRules([acceptedRule("app", `${host}/acme/app`, "app")]);
    return gateway;
  };
  const list = async (gateway: GatewayProcess, of: string) => await gateway.get(`/v2/app/referrers/${of}`);

  it("let it read what they may read", async () => {
    const gateway = await start(TEST_USER.password);
    const listed = await list(gateway, digest);
    expect([listed.status, listed.headers.has("warning")]).to.deep.equal([200, false]);
    expect(listed.body.toString()).to.include("sbom");
    expect([...listed.headers.keys()]).to.not.include("entrepot-private");
    expect((await list(gateway, ONES)).status, "the upstream says that there is nothing").to.equal(200);
  });

  it("make what is read with them a matter of clients", async () => {
    const gateway = await start(TEST_USER.password, false);
    const refused = await list(gateway, digest);
    expect([refused.status, refused.errors[0]?.code]).to.deep.equal([401, "UNAUTHORIZED"]);
  });

  const unusable: [string, string | undefined, number, RegExp, RegExp | undefined][] = [
    ["that are wrong", WRONG, 403, /the upstream refuses/, undefined],
    ["that are missing", undefined, 502, /no credentials for the upstream/, /no credentials for the upstream/],
  ];
  for (const [what, password, status, message, warning] of unusable) {
    it(`${what} leave the tag that the cache has, else an error without a byte of them`, async () => {
      const gateway = await start(password);
      const listed = await list(gateway, digest);
      expect(listed.status).to.equal(200);
      // Distribution answers 404 to the API whoever asks: then the proxy's word on the tag is all that is wanted.
      if (warning === undefined) expect(listed.headers.has("warning")).to.equal(false);
      else expect(listed.headers.get("warning")).to.match(warning);
      const unknown = await list(gateway, ONES);
      expect(unknown.status).to.equal(status);
      expect(unknown.errors[0]?.message).to.match(message);
      const everything = [unknown.body, [...unknown.headers], gateway.logged("request"), await gateway.metrics()];
      expect(JSON.stringify(everything))
        .to.not.include(WRONG)
        .and.not.include(Buffer.from(`test:${WRONG}`).toString("base64"));
    });
  }

  it("are used anew as soon as the mounted file has others; a broken file leaves the last good ones", async () => {
    const lines: unknown[] = [];
    const note = (message: string, fields?: object): void => void lines.push([message, fields]);
    const log: Log = { debug: note, info: note, warn: note, error: note, child: () => log };
    const mount = new Mount(cleanup);
    const mounted = new MountedAccess({ directory: mount.directory, log });
    const asking = new UpstreamReferrers({ upstreams: () => mounted.upstreams, needsCredentials: () => true });
    cleanup.add(() => asking.close());
    const outcome = async (): Promise<string> => {
      await mounted.poll();
      const tagged = await asking.tagged({ host, repository: "acme/app", digest }, signal);
      return tagged.kind === "failed" ? tagged.failure.problem : tagged.kind;
    };
    const render = async (password: string) => {
      const { files } = await accessDocument({
        registry: { name: "main", uid: "1" },
        spec: { pullHost: "cache.example.com" },
        upstreams: [{ host, credentials: { secretRef: { name: "upstream" } } }],
        namespace: "cosign-system",
        secret: () => basicAuth("upstream", TEST_USER.username, password),
        hashes: new PasswordHashes(),
        now: new Date(),
      });
      return files;
    };
    expect(await outcome(), "before anything is mounted").to.equal("UPSTREAM_CREDENTIALS");
    mount.write(await render(WRONG));
    expect(await outcome()).to.equal("UPSTREAM_REFUSED");
    const good = await render(TEST_USER.password);
    mount.write(good);
    expect(await outcome()).to.equal("list");
    mount.write({ ...good, [UPSTREAMS_FILE]: `{"version":1,"upstreams":["${WRONG}"]}` });
    expect(await outcome()).to.equal("list");
    expect(mounted.document, "control: the rest of the mount is in force").to.deep.equal({ users: [] });
    expect(good).to.have.property(ACCESS_FILE);
    const said = JSON.stringify(lines);
    expect(said).to.include("upstreams loaded").and.include("no sound entry at position 0");
    expect(said).to.not.include(WRONG).and.not.include(TEST_USER.password);
  });

  it("go over TLS that is checked against the upstream's own authority", async () => {
    const server = new FakeHttps();
    await server.start();
    cleanup.add(() => server.stop());
    server.answer = () => ({
      status: 200,
      headers: { "content-type": OCI_INDEX },
      body: JSON.stringify({ schemaVersion: 2, manifests: [] }),
    });
    const at = server.host;
    const asked = async (caBundle: string | undefined): Promise<string> => {
      const entry = { host: at, plainHTTP: false, credentials: TEST_USER, ...(caBundle !== undefined && { caBundle }) };
      const asking = new UpstreamReferrers({ upstreams: () => new Map([[at, entry]]), needsCredentials: () => true });
      const listed = await asking.list({ host: at, repository: "acme/app", digest: ONES }, signal);
      await asking.close();
      return listed.kind;
    };
    expect(await asked(undefined)).to.equal("failed");
    expect(server.received).to.have.length(0);
    expect(await asked(server.ca)).to.equal("list");
    expect(server.received[0]?.headers, "it did not ask for them").to.not.have.property("authorization");
    const publicOnes = getCACertificates("default");
    cleanup.add(() => setDefaultCACertificates(publicOnes));
    setDefaultCACertificates([...publicOnes, server.ca]);
    expect(await asked(undefined), "control: its authority is public now").to.equal("list");
    expect(await asked(selfSigned().cert), "caBundle is in place of the public ones").to.equal("failed");
  });
});
