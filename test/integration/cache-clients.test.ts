import { expect } from "chai";
import { RegistryClients } from "../../adapters/caches/clients.ts";
import { createRegistryClient } from "../../adapters/registry/client.ts";
import type { Upstream } from "../../core/cacheregistry/types.ts";
import { parseReference } from "../../core/image/reference.ts";
import { ANONYMOUS } from "../../core/registry/keychain.ts";
import { UpstreamReferrers } from "../../gateway/referrers-upstream.ts";
import { type FakeRegistry, startFakeRegistry } from "../support/fake-registry.ts";
import { eventually } from "../support/kube.ts";
import { Cleanup, OCI_INDEX } from "./gateway-harness.ts";

const DIGEST = `sha256:${"d".repeat(64)}`;
const { signal } = new AbortController();
const always = () => true;

describe("A host that is connected to in another way from now on", () => {
  const cleanup = new Cleanup();
  let answer: PromiseWithResolvers<void>;
  let registry: FakeRegistry;
  beforeEach(async () => {
    answer = Promise.withResolvers();
    registry = await startFakeRegistry((request, response) => {
      const headers = { "docker-content-digest": DIGEST, "content-type": OCI_INDEX };
      const body = request.method === "HEAD" ? undefined : '{"schemaVersion":2,"manifests":[]}';
      void answer.promise.then(() => response.writeHead(200, headers).end(body));
    });
    cleanup.add(() => registry.stop());
  });
  afterEach(() => cleanup.run());

  const asked = async (times: number) =>
    await eventually("it is asked", () => Promise.resolve(registry.requests.length === times));

  it("finishes what is asked of it, and then ends that connection", async () => {
    const clients = new RegistryClients(createRegistryClient());
    cleanup.add(() => clients.close());
    const way = { host: registry.host, plainHTTP: true };
    const resolve = () =>
      clients.resolve(parseReference(`${registry.host}/acme/app:v1`), ANONYMOUS, signal).catch(String);
    clients.use(way, always);
    const before = resolve();
    await asked(1);
    clients.use({ ...way, ca: "another" }, always);
    const after = resolve();
    await asked(2);
    answer.resolve();
    expect(await Promise.all([before, after])).to.deep.equal([DIGEST, DIGEST]);
    const never = Promise.withResolvers<void>();
    answer = never;
    const cut = resolve();
    await asked(3);
    await clients.close();
    expect(await cut, "control").to.include("cannot talk to");
  });

  it("so does the gateway with an upstream's, whose caBundle changed", async () => {
    const { host } = registry;
    let entry: Upstream = { host, plainHTTP: true };
    const asking = new UpstreamReferrers({ upstreams: () => new Map([[host, entry]]), needsCredentials: () => false });
    cleanup.add(() => asking.close());
    const list = () => asking.list({ host, repository: "acme/app", digest: DIGEST }, signal);
    const before = list();
    await asked(1);
    entry = { ...entry, caBundle: "another" };
    const after = list();
    await asked(2);
    answer.resolve();
    expect((await Promise.all([before, after])).map(({ kind }) => kind)).to.deep.equal(["list", "list"]);
  });
});
