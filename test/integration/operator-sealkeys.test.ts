// The seal keys' reconciler on a real API server: what it publishes of them, and when it writes.
import { join } from "node:path";
import { expect } from "chai";
import type { ConnectedKubeClient } from "../../adapters/kube/client.ts";
import { Resources } from "../../adapters/kube/resources.ts";
import type { KubeObject } from "../../adapters/kube/types.ts";
import { silentLog } from "../../adapters/telemetry/log.ts";
import { activeKey, NEXT_KEY_LEAD_SECONDS, newSealKey, parseKeyring } from "../../core/cache/keyring.ts";
import { PUBLIC_KEYS_CONFIG_MAP, PUBLIC_KEYS_FILE, readPublicJwks } from "../../core/cache/publicjwks.ts";
import type { SecretObject } from "../../operator/resources.ts";
import { ROTATE_ANNOTATION, SEAL_KEYS_SECRET, sealKeyReconciler } from "../../operator/sealkeys/reconciler.ts";
import type { ConfigMapObject } from "../../operator/trustroot/configmap.ts";
import { type ClusterHandle, sharedCluster } from "../support/cluster.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { adminClient, freshNamespace } from "../support/kube.ts";

const RULE = { rotateAfterSeconds: 1_000, keepRetiredSeconds: 5_000 };

describe("The published seal keys", function () {
  this.timeout(120_000);
  let cluster: ClusterHandle;
  let client: ConnectedKubeClient;
  let namespace: string;
  let clock: FakeClock;
  let writes: string[];
  let run: () => Promise<void>;

  before(async function () {
    this.timeout(0);
    cluster = await sharedCluster();
    client = await adminClient(cluster);
  });

  after(async () => {
    await client?.close();
  });

  beforeEach(async () => {
    namespace = await freshNamespace(client, "sealkeys");
    clock = new FakeClock();
    writes = [];
    run = reconciler();
  });

  afterEach(async () => {
    await client.delete(Resources.namespaces, namespace);
  });

  /** The reconciler, with an informer's memory that is always current. */
  function reconciler(): () => Promise<void> {
    const objects = new Map<string, KubeObject>();
    const memory = { get: (key: string) => objects.get(key) as never, list: () => [] };
    const counting = {
      get: client.get.bind(client),
      create: (...[resource, object, options]: Parameters<typeof client.create>) => {
        writes.push(`create ${object.kind}`);
        return client.create(resource, object, options) as never;
      },
      replace: (...[resource, object, options]: Parameters<typeof client.replace>) => {
        writes.push(`replace ${object.kind}`);
        return client.replace(resource, object, options) as never;
      },
    };
    const common = { client: counting, namespace, secrets: memory, configMaps: memory, clock, log: silentLog };
    const reconcile = sealKeyReconciler({ ...common, rule: RULE });
    return async () => {
      objects.clear();
      for (const resource of [Resources.secrets, Resources.configMaps])
        for (const object of (await client.list(resource, { namespace })).items)
          objects.set(`${namespace}/${object.metadata.name}`, object);
      writes.length = 0;
      await reconcile("singleton", new AbortController().signal);
    };
  }

  const keyring = async () => {
    const { data } = await client.get<SecretObject>(Resources.secrets, SEAL_KEYS_SECRET, { namespace });
    return parseKeyring(Buffer.from(data?.["jwks.json"] ?? "", "base64").toString());
  };
  const demand = async () => {
    const patch = { metadata: { annotations: { [ROTATE_ANNOTATION]: "now" } } };
    await client.mergePatch(Resources.secrets, SEAL_KEYS_SECRET, patch, { namespace });
  };
  const published = async () => {
    const { data } = await client.get<ConfigMapObject>(Resources.configMaps, PUBLIC_KEYS_CONFIG_MAP, { namespace });
    return data ?? {};
  };

  it("come with the keys, are written once, and hold no private member", async () => {
    await run();
    expect(writes).to.deep.equal(["create Secret", "create ConfigMap"]);
    const { keys } = await keyring();
    const data = await published();
    expect(Object.keys(data)).to.deep.equal([PUBLIC_KEYS_FILE]);
    const text = data[PUBLIC_KEYS_FILE] ?? "";
    expect(readPublicJwks(text).keys.map(({ x }) => x)).to.deep.equal(keys.map(({ x }) => x));
    expect(keys[0]?.d).to.be.a("string");
    expect(text).to.not.include(keys[0]?.d).and.to.not.include('"d"');
    await run();
    await run();
    expect(writes).to.deep.equal([]);
  });

  it("follow a rotation, the retired key with them, and lose it when it is gone", async () => {
    await run();
    const [first] = (await keyring()).keys;
    await clock.advance(1_001_000);
    await run();
    expect(writes).to.deep.equal(["replace Secret", "replace ConfigMap"]);
    const rotated = await keyring();
    const { keys } = readPublicJwks((await published())[PUBLIC_KEYS_FILE] ?? "");
    expect(keys.map(({ kid }) => kid)).to.deep.equal(rotated.keys.map(({ kid }) => kid));
    expect(keys.find(({ kid }) => kid === first?.kid)?.retired).to.be.a("number");
    expect(keys.map(({ next }) => next === true)).to.deep.equal([false, true, false]);
    for (let elapsed = 0; elapsed < 6_000; elapsed += 1_001) {
      await clock.advance(1_001_000);
      await run();
    }
    const later = readPublicJwks((await published())[PUBLIC_KEYS_FILE] ?? "");
    expect(later.keys.map(({ kid }) => kid)).to.not.include(first?.kid);
    expect(later.keys.map(({ kid }) => kid)).to.deep.equal((await keyring()).keys.map(({ kid }) => kid));
  });

  it("follow a rotation on demand, which comes once the next key was known for long enough", async () => {
    await run();
    const [first, next] = (await keyring()).keys;
    await demand();
    await clock.advance((NEXT_KEY_LEAD_SECONDS - 1) * 1_000);
    await run();
    expect(writes).to.deep.equal([]);
    expect((await keyring()).keys).to.deep.equal([first, next]);
    await clock.advance(1_000);
    await run();
    expect(writes).to.deep.equal(["replace Secret", "replace ConfigMap"]);
    expect(activeKey(await keyring()).kid).to.equal(next?.kid);
    expect(readPublicJwks((await published())[PUBLIC_KEYS_FILE] ?? "").keys).to.have.length(3);
    const { metadata } = await client.get(Resources.secrets, SEAL_KEYS_SECRET, { namespace });
    expect(metadata.annotations ?? {}).to.not.have.property(ROTATE_ANNOTATION);
    await clock.advance(1_000);
    await run();
    expect(writes, "one demand, one rotation").to.deep.equal([]);
  });

  it("of the format before get a next key at once; a rotation that is demanded waits for it", async () => {
    const old = newSealKey(clock.now());
    const data = { "jwks.json": Buffer.from(JSON.stringify({ keys: [old] })).toString("base64") };
    const metadata = { name: SEAL_KEYS_SECRET, namespace, annotations: { [ROTATE_ANNOTATION]: "now" } };
    await client.create<SecretObject>(Resources.secrets, { apiVersion: "v1", kind: "Secret", metadata, data });
    await run();
    expect(writes).to.deep.equal(["replace Secret", "create ConfigMap"]);
    const { keys } = await keyring();
    expect(activeKey({ keys })).to.deep.equal(old);
    expect(keys.map(({ next }) => next)).to.deep.equal([undefined, true]);
    await run();
    expect(writes).to.deep.equal([]);
    await clock.advance(NEXT_KEY_LEAD_SECONDS * 1_000);
    await run();
    expect(activeKey(await keyring()).kid).to.equal(keys[1]?.kid);
  });

  it("are all new at once when the Secret was deleted because they may be known to others", async () => {
    await run();
    const before = await keyring();
    await client.delete(Resources.secrets, SEAL_KEYS_SECRET, { namespace });
    await run();
    expect(writes).to.deep.equal(["create Secret", "replace ConfigMap"]);
    const { keys } = await keyring();
    const { keys: shown } = readPublicJwks((await published())[PUBLIC_KEYS_FILE] ?? "");
    for (const { kid } of before.keys) expect([...keys, ...shown].map((key) => key.kid)).to.not.include(kid);
  });

  it("are put back when somebody changes, adds to or deletes them; the keys themselves stay", async () => {
    await run();
    const before = await published();
    const { keys } = await keyring();
    const change = { data: { [PUBLIC_KEYS_FILE]: '{"keys":[]}', more: "x" } };
    await client.mergePatch(Resources.configMaps, PUBLIC_KEYS_CONFIG_MAP, change, { namespace });
    await run();
    expect(writes).to.deep.equal(["replace ConfigMap"]);
    expect(await published()).to.deep.equal(before);
    await client.delete(Resources.configMaps, PUBLIC_KEYS_CONFIG_MAP, { namespace });
    await run();
    expect(writes).to.deep.equal(["create ConfigMap"]);
    expect(await published()).to.deep.equal(before);
    expect((await keyring()).keys).to.deep.equal(keys);
  });

  it("may be written by the operator's own account, which may change no other ConfigMap", async () => {
    const system = { apiVersion: "v1", kind: "Namespace", metadata: { name: "cosign-system" } };
    await cluster.kubectl(["apply", "-f", "-"], JSON.stringify(system));
    const file = join(import.meta.dirname, "../../deploy/base/operator-rbac.yaml");
    await cluster.kubectl(["apply", "--server-side", "--force-conflicts", "-f", file]);
    const may = async (name: string) => {
      const account = "--as=system:serviceaccount:cosign-system:operator";
      const argv = ["-n", "cosign-system", "auth", "can-i", "update", `configmap/${name}`, account];
      return (await cluster.run([cluster.program("kubectl"), ...argv])).stdout.trim();
    };
    expect(await may(PUBLIC_KEYS_CONFIG_MAP)).to.equal("yes");
    expect(await may("config-policy-controller")).to.equal("no");
  });
});
