import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import type { ConnectedKubeClient } from "../../adapters/kube/client.ts";
import { installedCopy } from "../../adapters/trust/publicgood.ts";
import { PUBLIC_GOOD_CONFIG_MAP } from "../../core/trust/names.ts";
import { removeWebhooks } from "../../hack/local/product.ts";
import { freePort } from "../../hack/testcluster/controlplane.ts";
import { type OperatorFlags, parseOperatorFlags } from "../../operator/flags.ts";
import { publicGoodSource } from "../../operator/trustroot/source.ts";
import { type ClusterHandle, requireNoOperator, sharedCluster } from "../support/cluster.ts";
import { install } from "../support/install.ts";
import { adminClient, eventually } from "../support/kube.ts";
import { trustedRootJson, urisOf } from "../support/trusted-root.ts";
import { TufMirror, TufRepositoryMaker } from "../support/tuf-repository.ts";
import { OperatorProcess, removeWorkloads, serviceAccountKubeconfig } from "./operator-harness.ts";
import { TrustRootCluster } from "./trustroot-harness.ts";

const ROOT = join(import.meta.dirname, "../..");

describe("The operator process and trust roots", function () {
  this.timeout(120_000);
  const folder = mkdtempSync(join(tmpdir(), "entrepot-trustroot-"));
  const rootFile = join(folder, "root.json");
  let cluster: ClusterHandle;
  let client: ConnectedKubeClient;
  let roots: TrustRootCluster;
  let operator: OperatorProcess | undefined;
  const mirrors: TufMirror[] = [];

  before(async function () {
    this.timeout(0);
    cluster = await sharedCluster();
    requireNoOperator(this, cluster);
    client = await adminClient(cluster);
    roots = new TrustRootCluster(client);
    await install(cluster, "deploy/dev");
    await removeWebhooks(cluster);
    await roots.clear();
  });

  afterEach(async () => {
    await operator?.stop("SIGTERM");
    operator = undefined;
  });

  after(async () => {
    rmSync(folder, { recursive: true, force: true });
    await Promise.all(mirrors.map((mirror) => mirror.stop()));
    if (client === undefined) return;
    await removeWebhooks(cluster);
    await roots.clear();
    await removeWorkloads(cluster);
    await client.close();
  });

  async function mirrored(uri: string) {
    const repository = new TufRepositoryMaker();
    repository.targets.set("trusted_root.json", { content: trustedRootJson(uri) });
    const mirror = new TufMirror(repository.publish().files);
    mirrors.push(mirror);
    return { repository, url: await mirror.start() };
  }

  async function start(...flags: readonly string[]): Promise<void> {
    const env = {
      PATH: process.env["PATH"],
      KUBECONFIG: await serviceAccountKubeconfig(cluster, "operator"),
      GATEWAY_IMAGE: "registry.example/entrepot:test",
      STATUS_PORT: String(await freePort()),
      LEASE_DURATION: "15s",
    };
    operator = new OperatorProcess(env, flags);
    await operator.start();
  }

  const publicGood = async () => await roots.configMap(PUBLIC_GOOD_CONFIG_MAP);
  const publicUris = async () => urisOf((await publicGood())?.data?.["trusted_root.json"] ?? "{}");

  it("reads TrustRoots and, by its flags, another instance in the public one's place", async () => {
    const remote = await mirrored("https://remote.example");
    const own = await mirrored("https://own.example");
    writeFileSync(rootFile, Buffer.from(own.repository.root(), "base64"));
    await roots.apply("process-test", { remote: { mirror: remote.url, root: remote.repository.root() } });
    await start(`--tuf-mirror=${own.url}`, "-tuf-root", rootFile, "--trustroot-resync-period=1s");
    await roots.says("process-test", "Ready", "True Ready");
    expect(urisOf((await roots.entry("process-test")) ?? "{}")).to.eql(["https://remote.example"]);
    await eventually("the own instance is there", async () => (await publicUris())[0] === "https://own.example");
    own.repository.targets.set("trusted_root.json", { content: trustedRootJson("https://rotated.example") });
    own.repository.publish();
    await eventually("it is followed", async () => (await publicUris())[0] === "https://rotated.example");
  });

  it("has the installation's copy with --disable-tuf, and while the mirror is away", async () => {
    const gone = await mirrored("https://gone.example");
    await mirrors.at(-1)?.stop();
    for (const flags of [["--disable-tuf"], [`--tuf-mirror=${gone.url}`]]) {
      await roots.clear();
      await start(...flags);
      await eventually("Sigstore's own is there", async () =>
        (await publicUris()).includes("https://fulcio.sigstore.dev"),
      );
      const problem = async () => (await publicGood())?.metadata.annotations?.["entrepot.dev/problem"];
      if (flags[0] === "--disable-tuf") expect(await problem()).to.equal(undefined);
      else
        await eventually("it says why", async () =>
          (await problem())?.includes("start the operator with --disable-tuf"),
        );
      await operator?.stop("SIGTERM");
    }
  });

  it("does not start with a root that it can't use", () => {
    writeFileSync(rootFile, "{}");
    const why = (flags: OperatorFlags) => {
      try {
        return Object.keys(publicGoodSource(flags)).join();
      } catch (thrown) {
        return (thrown as Error).message;
      }
    };
    const flags = parseOperatorFlags([]);
    expect(why(flags)).to.equal("id,read,copy");
    expect(why({ ...flags, tufRoot: rootFile })).to.contain(`--tuf-root="${rootFile}": it is no root.json`);
    expect(why({ ...flags, tufRoot: join(folder, "absent") })).to.contain("ENOENT");
    writeFileSync(rootFile, Buffer.from(new TufRepositoryMaker().root(), "base64"));
    expect(why({ ...flags, tufRoot: rootFile }), "another's root brings no copy").to.equal("id,read");
    writeFileSync(rootFile, installedCopy().root);
    expect(why({ ...flags, tufRoot: rootFile })).to.equal("id,read,copy");
    expect(why({ ...flags, disableTuf: true })).to.equal("id,copy");

    const env = { PATH: process.env["PATH"], GATEWAY_IMAGE: "x", KUBECONFIG: "/nonexistent" };
    const argv = [join(ROOT, "main.ts"), "operator", "--tuf-root=/absent"];
    const { status, stderr } = spawnSync(process.execPath, argv, { env });
    expect(status).to.equal(1);
    expect(stderr.toString()).to.contain('operator flags: --tuf-root=\\"/absent\\"');
  });
});
