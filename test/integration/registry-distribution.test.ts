import { expect } from "chai";
import { createRegistryClient, type RegistryClient } from "../../adapters/registry/client.ts";
import { isRegistryError } from "../../adapters/registry/errors.ts";
import { type Digest, parseReference } from "../../core/image/reference.ts";
import type { Keychain } from "../../core/policy/types.ts";
import { parsePullSecret } from "../../core/registry/docker-config.ts";
import { ANONYMOUS, createKeychain } from "../../core/registry/keychain.ts";
import { getManifest, pushTinyImage, putBlob, startRegistry, type TestRegistry } from "../support/registry.ts";

const within = (): AbortSignal => AbortSignal.timeout(10_000);

function pullSecret(host: string, username: string, password: string): Keychain {
  const config = JSON.stringify({ auths: { [`https://${host}/v2/`]: { username, password } } });
  const data = { ".dockerconfigjson": Buffer.from(config).toString("base64") };
  return createKeychain(parsePullSecret({ type: "kubernetes.io/dockerconfigjson", data }).entries);
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  const thrown: unknown = await work.then(
    () => "no failure",
    (error: unknown) => error,
  );
  return isRegistryError(thrown) ? thrown.code : String(thrown);
}

describe("a real registry (CNCF distribution)", () => {
  let client: RegistryClient;
  let open: TestRegistry;
  let closed: TestRegistry;
  const digests = new Map<TestRegistry, Digest>();

  before(async function () {
    this.timeout(0); // the first run on a machine builds the registry
    client = createRegistryClient();
    [open, closed] = await Promise.all([startRegistry(), startRegistry({ auth: true })]);
    for (const registry of [open, closed]) digests.set(registry, await pushTinyImage(registry, "team/app", "v1"));
  });

  after(async () => {
    await client?.close();
    await Promise.all([open?.stop(), closed?.stop()]);
  });

  const sourceOf = (registry: TestRegistry, keychain = ANONYMOUS) => ({
    registry: registry.host,
    repository: "team/app",
    keychain,
  });

  it("resolves a tag with one HEAD, and a digest with nothing", async () => {
    open.newRequests();
    const digest = await client.resolve(parseReference(`${open.host}/team/app:v1`), ANONYMOUS, within());
    expect(digest).to.equal(digests.get(open));
    await client.resolve(parseReference(`${open.host}/team/app@${digest}`), ANONYMOUS, within());
    expect(open.newRequests().map(({ method, path }) => `${method} ${path}`)).to.deep.equal([
      "HEAD /v2/team/app/manifests/v1",
    ]);
  });

  it("says what it does not have", async () => {
    expect(await codeOf(client.resolve(parseReference(`${open.host}/team/app:v2`), ANONYMOUS, within()))).to.equal(
      "MANIFEST_UNKNOWN",
    );
    expect(
      await codeOf(client.resolve(parseReference(`${open.host}/nobody/nothing:v1`), ANONYMOUS, within())),
    ).to.equal("MANIFEST_UNKNOWN");
    const missing = `sha256:${"0".repeat(64)}` as const;
    expect(await codeOf(client.blob(sourceOf(open), missing, 100, within()))).to.equal("MANIFEST_UNKNOWN");
  });

  it("gives manifests and blobs, checked", async () => {
    const fetched = await client.manifest(sourceOf(open), "v1", within());
    expect(fetched.bytes).to.deep.equal(await getManifest(open, "team/app", "v1"));
    const digest = await putBlob(open, "team/app", Buffer.from("hello"));
    expect((await client.blob(sourceOf(open), digest, 5, within())).toString()).to.equal("hello");
    expect(await codeOf(client.blob(sourceOf(open), digest, 4, within()))).to.equal("RESPONSE_TOO_LARGE");
  });

  it("has no referrers API: the fallback tag is asked, and none is an empty list", async () => {
    const digest = digests.get(open) as Digest;
    open.newRequests();
    expect(await client.referrers(sourceOf(open), digest, within())).to.deep.equal({ descriptors: [], complete: true });
    expect(open.newRequests().map(({ path, status }) => `${status} ${path}`)).to.deep.equal([
      `404 /v2/team/app/referrers/${digest}`,
      `404 /v2/team/app/manifests/${digest.replace(":", "-")}`,
    ]);
  });

  it("that asks for a password gets the imagePullSecret's, and only from the second request on asks no more", async () => {
    const { username, password } = closed.user ?? { username: "", password: "" };
    const keychain = pullSecret(closed.host, username, password);
    closed.newRequests();
    const reference = parseReference(`${closed.host}/team/app:v1`);
    expect(await client.resolve(reference, keychain, within())).to.equal(digests.get(closed));
    expect(await client.resolve(reference, keychain, within())).to.equal(digests.get(closed));
    expect(closed.newRequests().map(({ status }) => status)).to.deep.equal([401, 200, 200]);
    expect(await codeOf(client.resolve(reference, ANONYMOUS, within()))).to.equal("REGISTRY_UNAUTHORIZED");
    expect(await codeOf(client.resolve(reference, pullSecret(closed.host, username, "wrong"), within()))).to.equal(
      "REGISTRY_UNAUTHORIZED",
    );
  });
});
