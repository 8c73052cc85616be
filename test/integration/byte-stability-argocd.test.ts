// What Argo CD's ServerSideDiff asks (gitops-engine, pkg/diff and pkg/utils/kube): a forced server-side apply on trial as
// `argocd-controller`, whose answer is compared with the live object. Real API server, controllers, registry and cosign.
import { expect } from "chai";
import { NEXT_KEY_LEAD_SECONDS, newSealKey, parseKeyring, rotateKeyring } from "../../core/cache/keyring.ts";
import { claimedKeyId } from "../../core/cache/seal.ts";
import { eventually } from "../support/kube.ts";
import {
  cost,
  kubectl,
  live,
  type ManifestChange,
  manifest,
  type Standing,
  settled,
} from "./byte-stability-objects.ts";
import { Inheritance, sealOf } from "./inheritance-harness.ts";
import { type Item, workload } from "./inheritance-objects.ts";

const TAG_ALONE = 1;
const NEW_IMAGE = 3;
const FLAG = "dev.chainguard.enable-cip-cache";
const ARGO = ["apply", "--server-side", "--force-conflicts", "--field-manager=argocd-controller", "--validate=false"];

describe("byte stability under Argo CD's dry runs", () => {
  let at: Inheritance;
  let probe: string;

  before(async function () {
    this.timeout(0);
    at = await Inheritance.open("argo");
    ({ reference: probe } = await at.signed("argo/other-probe"));
  });

  after(async function () {
    this.timeout(120_000);
    await at?.close();
  });

  const sync = (object: object) => kubectl(at, object, ...ARGO, "-f", "-");

  async function predicted(object: object): Promise<Item> {
    const flags = ["--dry-run=server", "-o", "json", "--show-managed-fields", "-f", "-"];
    return JSON.parse(await kubectl(at, object, ...ARGO, ...flags)) as Item;
  }

  const withoutManagers = (object: Item) => ({ ...object, metadata: { ...object.metadata, managedFields: undefined } });

  /** A synced app: its file, and how it stands. */
  async function synced(name: string, change?: ManifestChange): Promise<{ file: object; before: Standing }> {
    const { reference } = await at.signed(`argo/${name}`);
    const file = manifest(name, reference, change);
    await sync(file);
    return { file, before: await settled(at, name) };
  }

  /** Argo CD sees no difference, which costs the registry nothing and changes nothing. */
  async function expectNoDifference(name: string, file: object, before: Standing) {
    const spent = await cost(at, async () => {
      const shown = withoutManagers(await predicted(file));
      expect(JSON.stringify(shown)).to.equal(JSON.stringify(withoutManagers(await live(at, `deployment/${name}`))));
    });
    expect(spent).to.equal(0);
    expect(await settled(at, name)).to.deep.equal(before);
  }

  const trial = async () => sealOf(await at.dryRun(workload("Pod", "trial", probe)));

  /** Rotates the seal keys, as the operator does once the next key is known to everybody. */
  async function rotate(): Promise<void> {
    const secret = ["-n", "cosign-system", "secret", "entrepot-seal-keys"];
    const text = await at.cluster.kubectl(["get", ...secret, "-o", "jsonpath={.data.jwks\\.json}"]);
    const later = new Date(Date.now() + NEXT_KEY_LEAD_SECONDS * 1_000);
    const rule = { rotateAfterSeconds: 0, keepRetiredSeconds: 86_400 };
    const after = rotateKeyring(parseKeyring(Buffer.from(text, "base64").toString()), rule, later, newSealKey);
    const patch = JSON.stringify({ stringData: { "jwks.json": JSON.stringify(after) } });
    await at.cluster.kubectl(["patch", ...secret, "--type=merge", "-p", patch]);
  }

  it("a synced app shows no difference: right away, after a restart, on the other replica, with the registry off", async () => {
    const { file, before } = await synced("app");
    expect(before.seal).to.be.a("string");
    await expectNoDifference("app", file, before);
    await at.restartWebhook();
    await expectNoDifference("app", file, before);
    await at.toSecondReplica();
    await expectNoDifference("app", file, before);
    await at.cluster.stop("registry");
    try {
      await expectNoDifference("app", file, before);
    } finally {
      await at.cluster.start("registry");
      await at.endSecondReplica();
    }
  });

  it("an app synced before the cache was turned on shows none either, before and after", async () => {
    await at.configure({ [FLAG]: "false" });
    await eventually("the cache off", async () => (await trial()) === undefined);
    const { file, before } = await synced("early");
    expect(before.seal).to.equal(undefined);
    await expectNoDifference("early", file, before);
    await at.configure();
    await expectNoDifference("early", file, before);
  });

  it("an app synced while the cache was on shows none after it was turned off", async () => {
    const { file, before } = await synced("late");
    await at.configure({ [FLAG]: "false" });
    await eventually("the cache off", async () => (await trial()) === undefined);
    await expectNoDifference("late", file, before);
    await at.configure();
  });

  it("records that have ended make none", async () => {
    const { file, before } = await synced("ended");
    await at.configure({ "dev.entrepot.cache-ttl": "1s" });
    await eventually("the ttl", async () => {
      const [issued = "", expires = ""] = [...((await trial()) ?? "").matchAll(/(?:issued|expires): "?([^"\n]+)/g)]
        .map(([, time = ""]) => time)
        .sort();
      return Date.parse(expires) - Date.parse(issued) === 1_000;
    });
    await expectNoDifference("ended", file, before);
    await at.configure();
  });

  it("nor does a rotated key", async () => {
    const { file, before } = await synced("rotated");
    const old = claimedKeyId(before.seal ?? "");
    await rotate();
    await eventually("the new key", async () => claimedKeyId((await trial()) ?? "") !== old);
    await expectNoDifference("rotated", file, before);
  });

  it("a new image: the trial says what the sync then writes, byte for byte, and leaves nothing behind", async () => {
    const { before } = await synced("renewed");
    const { reference } = await at.signed("argo/renewed", "v2");
    const file = manifest("renewed", reference);
    let shown: string | undefined;
    const tried = await cost(at, async () => {
      shown = sealOf(await predicted(file));
    });
    expect(tried).to.equal(NEW_IMAGE);
    expect(shown).to.be.a("string").and.not.equal(before.seal);
    expect(await settled(at, "renewed")).to.deep.equal(before);
    expect(await cost(at, () => sync(file))).to.equal(TAG_ALONE);
    const after = await settled(at, "renewed");
    expect(after.seal).to.equal(shown);
    await expectNoDifference("renewed", file, after);
  });

  it("a new image, tried on one replica and synced by the other: the times may differ, and no difference stays", async () => {
    await synced("elsewhere");
    const { reference } = await at.signed("argo/elsewhere", "v2");
    const file = manifest("elsewhere", reference);
    const shown = sealOf(await predicted(file));
    await at.toSecondReplica();
    try {
      await sync(file);
      const after = await settled(at, "elsewhere");
      const timeless = (seal = "") => seal.replaceAll(/(issued|expires): .*|signature: .*/g, "");
      expect(timeless(after.seal)).to.equal(timeless(shown));
      await expectNoDifference("elsewhere", file, after);
    } finally {
      await at.endSecondReplica();
    }
    await expectNoDifference("elsewhere", file, await settled(at, "elsewhere"));
  });

  it("a trial of what is refused says why, and leaves no Event", async () => {
    await synced("refused");
    const { reference } = await at.cluster.pushImage({ repository: "argo/refused", tag: "unsigned" });
    const said = await predicted(manifest("refused", reference)).catch(String);
    expect(said).to.include("failed policy: argo");
    const { items } = JSON.parse(await at.kubectl("get", "events.v1.events.k8s.io", "-o", "json")) as {
      items: { regarding?: { name?: string }; reportingController?: string }[];
    };
    const ours = items.filter(({ reportingController = "" }) => reportingController.includes("entrepot"));
    expect(ours).to.deep.equal([]);
  });
});
