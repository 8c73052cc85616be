import { createHash, createPublicKey, X509Certificate } from "node:crypto";
import { expect } from "chai";
import { abortable } from "../../adapters/deadline.ts";
import type { ConnectedKubeClient } from "../../adapters/kube/client.ts";
import { Resources } from "../../adapters/kube/resources.ts";
import type { KubeObject } from "../../adapters/kube/types.ts";
import { PUBLIC_GOOD_CONFIG_MAP } from "../../core/trust/names.ts";
import { FOREIGN_FINALIZER, TRUST_ROOTS } from "../../crds/index.ts";
import { removeWebhooks } from "../../hack/local/product.ts";
import { type ClusterHandle, requireNoOperator, sharedCluster } from "../support/cluster.ts";
import { install } from "../support/install.ts";
import { adminClient, eventually } from "../support/kube.ts";
import { authorityPem, publicPem, trustedRootJson, urisOf } from "../support/trusted-root.ts";
import { TufMirror, TufRepositoryMaker } from "../support/tuf-repository.ts";
import { NAMESPACE, removeWorkloads, serviceAccountKubeconfig } from "./operator-harness.ts";
import { TrustOperator, TrustRootCluster } from "./trustroot-harness.ts";

const base64 = (text: string) => Buffer.from(text).toString("base64");
const SUBJECT = { organization: "an organization", commonName: "a name" };

describe("TrustRoots on a real API server", function () {
  this.timeout(120_000);
  let cluster: ClusterHandle;
  let client: ConnectedKubeClient;
  let roots: TrustRootCluster;
  let kubeconfig: string;
  let operator: TrustOperator | undefined;
  const mirrors: TufMirror[] = [];

  before(async function () {
    this.timeout(0);
    cluster = await sharedCluster();
    requireNoOperator(this, cluster);
    client = await adminClient(cluster);
    roots = new TrustRootCluster(client);
    await install(cluster, "deploy/dev");
    await removeWebhooks(cluster);
    kubeconfig = await serviceAccountKubeconfig(cluster, "operator");
  });

  after(async () => {
    if (client === undefined) return;
    await removeWorkloads(cluster);
    await client.close();
  });

  beforeEach(async () => {
    await roots.clear();
    operator = await new TrustOperator(kubeconfig).start({ id: "none" });
  });

  afterEach(async () => {
    await operator?.stop();
    await Promise.all(mirrors.splice(0).map((mirror) => mirror.stop()));
    await roots.clear();
  });

  const keys = (uri: string, change = {}) => ({
    sigstoreKeys: { certificateAuthorities: [{ subject: SUBJECT, uri, certChain: base64(authorityPem()) }], ...change },
  });

  async function mirrored(uri: string) {
    const repository = new TufRepositoryMaker();
    repository.targets.set("trusted_root.json", { content: trustedRootJson(uri) });
    const mirror = new TufMirror(repository.publish().files);
    mirrors.push(mirror);
    const url = await mirror.start();
    return { repository, mirror, spec: { remote: { mirror: url, root: repository.root() } } };
  }

  it("become entries of config-sigstore-keys, with the paths that scripts read", async () => {
    const [fulcio, intermediate, tsa] = [authorityPem(), authorityPem(), authorityPem()];
    const [rekor, ctfe] = [publicPem(), publicPem()];
    const log = (baseURL: string, pem: string) => ({ baseURL, hashAlgorithm: "sha-256", publicKey: base64(pem) });
    const authority = (pem: string) => ({ subject: SUBJECT, uri: "https://x.example", certChain: base64(pem) });
    await roots.apply("bring-your-own-sigstore-keys", {
      sigstoreKeys: {
        certificateAuthorities: [authority(intermediate + fulcio)],
        timestampAuthorities: [authority(tsa)],
        tLogs: [log("https://rekor.example", rekor)],
        ctLogs: [log("https://ctfe.example", ctfe)],
      },
    });
    for (const [type, reason] of Object.entries({
      Ready: "Ready",
      KeysInlined: "Inlined",
      ConfigMapUpdated: "Updated",
    }))
      await roots.says("bring-your-own-sigstore-keys", type, `True ${reason}`);
    const read = async (path: string) =>
      await cluster.kubectl(["-n", NAMESPACE, "get", "cm", "config-sigstore-keys", `-ojsonpath=${path}`]);
    const root = JSON.parse(await read("{.data.bring-your-own-sigstore-keys}")) as {
      certificateAuthorities: { certChain: { certificates: { rawBytes: string }[] } }[];
      timestampAuthorities: { certChain: { certificates: { rawBytes: string }[] } }[];
      tlogs: { publicKey: { rawBytes: string }; logId: { keyId: string } }[];
      ctlogs: { publicKey: { rawBytes: string }; logId: { keyId: string } }[];
    };
    const der = (pem: string) => new X509Certificate(pem).raw.toString("base64");
    const spki = (pem: string) => createPublicKey(pem).export({ type: "spki", format: "der" });
    const chain = (authorities: typeof root.certificateAuthorities) =>
      authorities[0]?.certChain.certificates.map(({ rawBytes }) => rawBytes);
    expect(chain(root.certificateAuthorities)).to.eql([der(intermediate), der(fulcio)]);
    expect(chain(root.timestampAuthorities)).to.eql([der(tsa)]);
    for (const [found, pem] of [
      [root.tlogs[0], rekor],
      [root.ctlogs[0], ctfe],
    ] as const) {
      expect(found?.publicKey.rawBytes).to.equal(spki(pem).toString("base64"));
      expect(found?.logId.keyId).to.equal(createHash("sha256").update(spki(pem)).digest("base64"));
    }
  });

  it("come and go one by one, and what somebody else does to the ConfigMap does not last", async () => {
    await roots.apply("one", keys("https://one.example"));
    await roots.apply("two", keys("https://two.example"));
    await roots.says("one", "Ready", "True Ready");
    await roots.says("two", "Ready", "True Ready");
    expect(Object.keys((await roots.configMap())?.data ?? {})).to.have.members(["one", "two"]);
    await client.mergePatch(
      Resources.configMaps,
      "config-sigstore-keys",
      { data: { one: '{"evil":true}', stranger: "{}" } },
      { namespace: NAMESPACE },
    );
    await eventually("the entries are right again", async () => {
      const data = (await roots.configMap())?.data ?? {};
      return data["stranger"] === undefined && urisOf(data["one"] ?? "{}")[0] === "https://one.example";
    });
    await roots.remove("one");
    await eventually("the entry is gone", async () => (await roots.entry("one")) === undefined);
    expect(urisOf((await roots.entry("two")) ?? "{}")).to.eql(["https://two.example"]);
    await client.delete(Resources.configMaps, "config-sigstore-keys", { namespace: NAMESPACE });
    await eventually("the ConfigMap is back", async () => (await roots.entry("two")) !== undefined);
  });

  it("are tidied up when they went while nobody looked, and let go when policy-controller held them", async () => {
    await roots.apply("gone", keys("https://gone.example"));
    await roots.says("gone", "Ready", "True Ready");
    await operator?.stop();
    await roots.remove("gone");
    await roots.apply("held", keys("https://held.example"));
    await client.mergePatch(TRUST_ROOTS, "held", { metadata: { finalizers: [FOREIGN_FINALIZER.trustRoot] } });
    expect(await roots.entry("gone")).to.be.a("string");
    operator = await new TrustOperator(kubeconfig).start({ id: "none" });
    await eventually("the entry is gone", async () => (await roots.entry("gone")) === undefined);
    await roots.says("held", "Ready", "True Ready");
    await roots.remove("held");
    await eventually("it is let go", async () => (await roots.trustRoot("held")) === undefined);
    await eventually("its entry is gone", async () => (await roots.entry("held")) === undefined);
  });

  it("keep what was good of an older generation, but not of a namesake", async () => {
    await roots.apply("edited", keys("https://good.example"));
    await roots.says("edited", "Ready", "True Ready");
    const bad = { tLogs: [{ baseURL: "https://r.example", hashAlgorithm: "sha-256", publicKey: base64("bad") }] };
    await roots.apply("edited", keys("https://bad.example", bad));
    const where = "spec.sigstoreKeys.tLogs[0].publicKey: there is no PEM block";
    await roots.says("edited", "KeysInlined", "False InliningKeysFailed", where);
    await roots.says("edited", "ConfigMapUpdated", "False InliningKeysFailed", "has generation 1");
    await roots.says("edited", "Ready", "False InliningKeysFailed", "what was read of generation 1 at 20");
    expect(urisOf((await roots.entry("edited")) ?? "{}")).to.eql(["https://good.example"]);
    await operator?.stop(); // so that it sees only the second of the two
    await roots.remove("edited");
    await roots.apply("edited", keys("https://bad.example", bad));
    operator = await new TrustOperator(kubeconfig).start({ id: "none" });
    await roots.says("edited", "Ready", "False InliningKeysFailed", "refuse every image");
    expect(await roots.entry("edited")).to.equal(undefined);
  });

  it("follow a mirror; when it dies, the last good root stays, in the next process too, and the status says so", async () => {
    const { repository, mirror, spec } = await mirrored("https://first.example");
    await roots.apply("remote", spec);
    await roots.says("remote", "Ready", "True Ready");
    expect(urisOf((await roots.entry("remote")) ?? "{}")).to.eql(["https://first.example"]);
    repository.targets.set("trusted_root.json", { content: trustedRootJson("https://second.example") });
    repository.publish();
    const isSecond = async () => urisOf((await roots.entry("remote")) ?? "{}")[0] === "https://second.example";
    await eventually("the new root is there", isSecond);
    await mirror.stop();
    await roots.says("remote", "KeysInlined", "False InliningKeysFailed", "what was read of generation 1");
    const ready = await roots.says("remote", "Ready", "True LastGood", "ECONNREFUSED");
    expect(ready.message).to.match(/^failed to update TUF client: .*2\.root\.json.*stays in use$/);
    await operator?.stop();
    operator = await new TrustOperator(kubeconfig).start({ id: "none" });
    await roots.says("remote", "Ready", "True LastGood", "ECONNREFUSED");
    expect(await isSecond()).to.equal(true);
    const reasons = async () =>
      (
        await client.list<KubeObject & { reason: string; regarding: { name: string } }>(Resources.events, {
          namespace: "default",
        })
      ).items
        .filter(({ regarding }) => regarding.name === "remote")
        .map(({ reason }) => reason);
    await eventually("Events tell it", async () => {
      const told = await reasons();
      return ["Ready", "Updated", "LastGood"].every((reason) => told.includes(reason));
    });
  });

  it("keep the last good root when metadata expires or goes back, and follow again when it is right", async () => {
    const { repository, spec } = await mirrored("https://good.example");
    const old = new Map(repository.files);
    await roots.apply("stale", spec);
    await roots.says("stale", "Ready", "True Ready");
    repository.targets.set("trusted_root.json", { content: trustedRootJson("https://next.example") });
    repository.publish({ expiresInMs: { timestamp: -1000 } });
    await roots.says("stale", "Ready", "True LastGood", "timestamp.json is expired");
    expect(urisOf((await roots.entry("stale")) ?? "{}")).to.eql(["https://good.example"]);
    repository.publish();
    await roots.says("stale", "Ready", "True Ready");
    expect(urisOf((await roots.entry("stale")) ?? "{}")).to.eql(["https://next.example"]);
    for (const [path, bytes] of old) repository.files.set(path, bytes);
    await roots.says("stale", "Ready", "True LastGood", "New timestamp version 1 is less than current version 3");
    expect(urisOf((await roots.entry("stale")) ?? "{}")).to.eql(["https://next.example"]);
  });

  it("whose mirror does not answer hold up no other", async () => {
    const { mirror, spec } = await mirrored("https://slow.example");
    mirror.answer = () => true;
    await roots.apply("a-slow", spec);
    await roots.apply("b-keys", keys("https://keys.example"));
    await roots.says("b-keys", "Ready", "True Ready");
    await roots.says("a-slow", "Ready", "False InliningKeysFailed", "it did not come within 5 s");
  });

  it("are refused a place beyond what a ConfigMap holds; what is there stays", async () => {
    const big = (uri: string) => {
      const ca = { subject: SUBJECT, uri, certChain: base64(authorityPem().repeat(16)) };
      return { sigstoreKeys: { certificateAuthorities: Array.from({ length: 75 }, () => ca) } };
    };
    await operator?.stop();
    operator = await new TrustOperator(kubeconfig).start({ id: "none" }, 60_000);
    await roots.apply("big-1", big("https://one.example"));
    await roots.says("big-1", "Ready", "True Ready");
    await roots.apply("big-2", big("https://two.example"));
    await roots.says(
      "big-2",
      "Ready",
      "False UpdatingConfigMap",
      "and may have 1048576: delete TrustRoots that no policy names",
    );
    await roots.says("big-2", "KeysInlined", "True Inlined");
    expect(Object.keys((await roots.configMap())?.data ?? {})).to.eql(["big-1"]);
    await roots.remove("big-1");
  });

  describe("with the public-good instance", () => {
    const publicGood = async () => await roots.configMap(PUBLIC_GOOD_CONFIG_MAP);
    const isOf = (uri: string) => async () =>
      urisOf((await publicGood())?.data?.["trusted_root.json"] ?? "{}")[0] === uri;
    const copy = trustedRootJson("https://installed.example").toString();
    const problem = async () => (await publicGood())?.metadata.annotations?.["entrepot.dev/problem"];

    async function restart(source: Parameters<TrustOperator["start"]>[0]): Promise<void> {
      await operator?.stop();
      operator = await new TrustOperator(kubeconfig).start(source);
    }

    it("begins with the installation's copy, and keeps what was read when reading fails", async () => {
      let give: (() => Promise<string>) | undefined = async () => new Promise<string>(() => undefined);
      const read = async (signal: AbortSignal) =>
        await abortable(give?.() ?? Promise.reject(new Error("it is away")), signal);
      await restart({ id: "a", copy, read });
      await eventually("the copy is there although nothing was read", isOf("https://installed.example"));
      give = async () => trustedRootJson("https://tuf.example").toString();
      await restart({ id: "a", copy, read });
      await eventually("what was read is there", isOf("https://tuf.example"));
      give = undefined;
      await eventually("it says so", async () => (await problem()) === "it is away; what was last read stays in use");
      expect(await isOf("https://tuf.example")()).to.equal(true);
      await restart({ id: "a", copy }); // --disable-tuf
      await eventually("nothing fails any more", async () => (await problem()) === undefined);
      expect(await isOf("https://tuf.example")()).to.equal(true);
      await restart({ id: "b", copy }); // another mirror
      await eventually("what is of another mirror is not used", isOf("https://installed.example"));
    });

    it("has nothing, and says so, when another instance was to be trusted and can't be read", async () => {
      await restart({ id: "own", read: () => Promise.reject(new Error("it is away")) });
      await eventually("it says so", async () => (await problem())?.startsWith("it is away; until then, authorities"));
      expect((await publicGood())?.data).to.equal(undefined);
    });
  });
});
