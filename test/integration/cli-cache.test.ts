// `kubectl entrepot` as a plugin of the real kubectl, on Deployments that the running product sealed.
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { newSealKey } from "../../core/cache/keyring.ts";
import { writePublicJwks } from "../../core/cache/publicjwks.ts";
import { CACHE_ANNOTATION } from "../../core/cache/record.ts";
import type { AnnotationView } from "../../core/cache/view.ts";
import { LocalProduct } from "../../hack/local/product.ts";
import { type ClusterHandle, type CommandResult, sharedCluster } from "../support/cluster.ts";
import { Cosign, type KeyPair } from "../support/cosign.ts";
import { eventually } from "../support/kube.ts";
import { applyNamespace } from "../support/namespaces.ts";
import { demandRotation } from "../support/seal-keys.ts";

const ROOT = join(import.meta.dirname, "../..");
const SYSTEM = "cosign-system";
interface Annotated {
  readonly metadata: { readonly annotations: Readonly<Record<string, string>> };
}

const RUN = `clicache-${randomBytes(3).toString("hex")}`;
const INCLUDE = "policy.sigstore.dev/include";

describe("kubectl entrepot cache", function () {
  this.timeout(120_000);
  let cluster: ClusterHandle;
  let product: LocalProduct;
  let cosign: Cosign;
  let keys: KeyPair;
  let dir: string;
  let image: string;

  before(async function () {
    this.timeout(0);
    cluster = await sharedCluster();
    if (cluster.hasNode) {
      console.error(`      skipped: ${this.test?.parent?.title}: the product runs in this cluster already`);
      this.skip();
    }
    dir = mkdtempSync(join(tmpdir(), "entrepot-cli-"));
    symlinkSync(join(ROOT, "cli/main.ts"), join(dir, "kubectl-entrepot"));
    cosign = await Cosign.create();
    keys = await cosign.generateKeyPair("cli");
    product = await LocalProduct.start(cluster);
    const labels = { [INCLUDE]: "true" };
    const policy = {
      images: [{ glob: `${cluster.registry}/${RUN}/**` }],
      authorities: [{ name: "team", key: { data: keys.publicKey } }],
    };
    await applyNamespace(cluster, RUN, labels);
    await apply({
      apiVersion: "policy.sigstore.dev/v1beta1",
      kind: "ClusterImagePolicy",
      metadata: { name: RUN },
      spec: policy,
    });
    await configure({
      "dev.chainguard.enable-cip-cache": "true",
      "no-match-policy": "allow",
      "dev.entrepot.tag-ttl": "1h",
    });
    await cluster.kubectl(["wait", "--for=condition=Ready", `cip/${RUN}`, "--timeout=90s"]);
    const pushed = await cluster.pushImage({ repository: `${RUN}/app`, tag: "v1" });
    await cosign.sign(pushed.pinned, keys, "classic");
    image = pushed.reference;
    await eventually("Pods are sealed", async () => (await rehearse("probe")).includes("records:"));
    await cluster.kubectl(["-n", RUN, "create", "deployment", "app", `--image=${image}`]);
  });

  after(async () => {
    cosign?.dispose();
    await product?.remove();
    if (dir === undefined) return;
    rmSync(dir, { recursive: true, force: true });
    await cluster.kubectl(["delete", "namespace", RUN, "--wait=false", "--ignore-not-found"]);
    await cluster.kubectl(["delete", "cip", RUN, "--ignore-not-found"]);
    await cluster.kubectl(["-n", SYSTEM, "delete", "cm", "entrepot-seal-keys-public", "--ignore-not-found"]);
  });

  const apply = (object: object) => cluster.kubectl(["apply", "-f", "-"], JSON.stringify(object));
  const configure = (data: object) =>
    apply({
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "config-policy-controller", namespace: SYSTEM },
      data,
    });
  const rehearse = (name: string) =>
    cluster.kubectl(["-n", RUN, "run", name, `--image=${image}`, "--dry-run=server", "-o", "json"]);
  const read = async <T>(what: string) =>
    JSON.parse(await cluster.kubectl(["-n", RUN, "get", what, "-o", "json"])) as T;
  const sealOf = ({ metadata }: Annotated) => metadata.annotations[CACHE_ANNOTATION];
  const annotationOf = async (object: string) => sealOf(await read<Annotated>(object));
  const sealsOfSets = async () => (await read<{ items: readonly Annotated[] }>("replicasets")).items.map(sealOf);
  const plugin = (argv: readonly string[], input?: string): Promise<CommandResult> =>
    cluster.run([cluster.program("kubectl"), "entrepot", "cache", ...argv], {
      env: {
        KUBECONFIG: cluster.kubeconfig,
        PATH: [dir, join(ROOT, "node_modules/.bin"), process.env["PATH"]].join(":"),
      },
      ...(input !== undefined && { input }),
    });
  const shown = async () => {
    const { code, stdout, stderr } = await plugin(["show", "deployment/app", "-n", RUN, "-o", "json"]);
    expect(stderr).to.equal("");
    expect(code).to.equal(0);
    return JSON.parse(stdout) as AnnotationView & { object: string; notes: string[] };
  };
  const published = () =>
    cluster.kubectl(["-n", SYSTEM, "get", "cm", "entrepot-seal-keys-public", "-o", "jsonpath={.data.jwks\\.json}"]);
  const file = (name: string, text: string) => {
    writeFileSync(join(dir, name), text);
    return join(dir, name);
  };

  it("show decodes what the product sealed: image, policy, authority, times, pin and key", async () => {
    const view = await shown();
    expect(view.object).to.equal(`Deployment ${RUN}/app`);
    expect(view.seal).to.deep.include({ holds: true });
    expect(view.notes).to.deep.equal([]);
    const [tag, digest] = Object.entries(view.pins ?? {})[0] ?? [];
    expect(tag).to.equal(image);
    expect(view.records).to.have.length(1);
    const [record] = view.records ?? [];
    expect(record).to.deep.include({ image: `${image.replace(/:v1$/, "")}@${digest}`, valid: true, reasons: [] });
    expect(record?.policy.name).to.equal(RUN);
    expect(record?.expiresIn).to.match(/^23h 5\dm$/);
    expect(record?.authorities).to.have.nested.property("team.signatures[0].id").with.length(64);
    const { stdout } = await plugin(["show", "deploy/app", "-n", RUN]);
    expect(stdout)
      .to.match(/^Seal +holds$/m)
      .and.match(/^ {2}Valid +yes$/m)
      .and.match(/in 23h 5\dm\)$/m);
  });

  it("show names what is missing: the object, the keys where it looks for them, a format that it knows", async () => {
    const gone = await plugin(["show", "deploy/none", "-n", RUN]);
    expect(gone.code).to.equal(1);
    expect(gone.stderr).to.include('"none" not found').and.include(RUN);
    const table = await plugin(["show", "deploy/app", "-n", RUN, "-o", "table"]);
    expect(table.code).to.equal(2);
    expect(table.stderr).to.include("yaml or json").and.include("Usage:");
    const elsewhere = await plugin(["show", "deploy/app", "-n", RUN, "--system-namespace", "default"]);
    expect(elsewhere.code).to.equal(1);
    expect(elsewhere.stderr).to.include("default/entrepot-seal-keys-public").and.include("--system-namespace");
  });

  it("show says that a policy was written since", async () => {
    await cluster.kubectl(["label", "cip", RUN, "touched=yes"]);
    const [record] = (await shown()).records ?? [];
    expect(record?.valid).to.equal(true);
    expect(record?.hints[0]).to.include(`ClusterImagePolicy ${RUN} was written since`);
  });

  it("show says that an edited annotation is not believed, and shows nothing of it", async () => {
    const sealed = (await annotationOf("deploy/app")) ?? "";
    // Where the webhook does not look; where it does, it seals anew at once.
    await cluster.kubectl(["label", "namespace", RUN, `${INCLUDE}-`]);
    await eventually("Pods are not looked at", async () => !(await rehearse("probe")).includes("records:"));
    const annotate = (text: string) =>
      cluster.kubectl(["-n", RUN, "annotate", "--overwrite", "deploy/app", `${CACHE_ANNOTATION}=${text}`]);
    await annotate(sealed.replace(/expires: .*/, "expires: 2099-01-01T00:00:00Z"));
    const view = await shown();
    expect(view.seal).to.deep.include({ holds: false, reason: "signature" });
    expect(view).to.not.have.property("records");
    expect(view.notes[0]).to.include("ignores it");
    await annotate(sealed);
    await cluster.kubectl(["label", "namespace", RUN, `${INCLUDE}=true`]);
    await eventually("Pods are looked at", async () => (await rehearse("probe")).includes("records:"));
    await eventually("its ReplicaSet is told, too", async () => (await sealsOfSets()).join() === sealed);
    expect((await shown()).seal.holds).to.equal(true);
  });

  it("verify needs no cluster: it holds under the published keys, and not under others", async () => {
    const ours = file("ours.json", await published());
    const foreign = file("foreign.json", writePublicJwks({ keys: [newSealKey(new Date())] }));
    const object = await cluster.kubectl(["-n", RUN, "get", "deploy,rs", "-o", "yaml"]);
    const holds = await plugin(["verify", file("objects.yaml", object), "--jwks", ours]);
    expect(holds.code, holds.stderr).to.equal(0);
    expect(holds.stdout).to.include(`Deployment ${RUN}/app`).and.include("ReplicaSet").and.include(RUN);
    const annotation = (await annotationOf("deploy/app")) ?? "";
    expect((await plugin(["verify", "--jwks", ours], annotation)).code).to.equal(0);
    const refused = await plugin(["verify", "-", "--jwks", foreign], annotation);
    expect(refused.code).to.equal(1);
    expect(refused.stdout).to.include("DOES NOT HOLD (unknown-key)");
    const forged = await plugin(["verify", "--jwks", ours], annotation.replace(RUN, "other"));
    expect(forged.code).to.equal(1);
    expect(forged.stdout).to.include("DOES NOT HOLD (signature)");
    expect((await plugin(["verify", "--jwks", ours], "kind: Pod\nmetadata: {name: a}\n")).code).to.equal(1);
    const missing = await plugin(["verify", "--jwks", join(dir, "none")], annotation);
    expect(missing.code).to.equal(1);
    expect(missing.stderr).to.include("none cannot be read");
  });

  it("the running operator publishes a rotated key beside the retired one, and puts back what somebody changes", async () => {
    const kids = async () => {
      const text = await published();
      return (JSON.parse(text || '{"keys":[]}') as { keys: { kid: string; d?: string }[] }).keys.map(({ kid }) => kid);
    };
    const [first, next] = await kids();
    await demandRotation(cluster);
    await eventually("the rotated keys are published", async () => (await kids())[0] === next);
    expect(await kids())
      .to.have.length(3)
      .and.to.include(first);
    expect((await shown()).seal)
      .to.deep.include({ holds: true, kid: first })
      .and.to.have.property("retired");
    const before = await published();
    const emptied = JSON.stringify({ data: { "jwks.json": '{"keys":[]}' } });
    await cluster.kubectl(["-n", SYSTEM, "patch", "cm", "entrepot-seal-keys-public", "--type=merge", "-p", emptied]);
    await eventually("it is put back", async () => (await published()) === before);
    await cluster.kubectl(["-n", SYSTEM, "delete", "cm", "entrepot-seal-keys-public"]);
    const found = () => published().catch(() => "");
    await eventually("it is made anew", async () => (await found()) === before);
  });

  it("flush ends every record: show says so, and the next Pod is verified anew", async () => {
    const asked = () => cluster.requests().filter(({ path }) => path.includes(RUN)).length;
    await rehearse("warm");
    const before = asked();
    await rehearse("warm");
    expect(asked(), "a hit asks no registry").to.equal(before);
    const { code, stdout, stderr } = await plugin(["flush"]);
    expect(code, stderr).to.equal(0);
    const [, from, to = ""] = /^Epoch (\S+) -> (\S+) /.exec(stdout) ?? [];
    expect(from).to.equal("0");
    const view = await shown();
    expect(view.seal.holds).to.equal(true);
    expect(view.records?.[0]).to.include({ valid: false });
    expect(view.records?.[0]?.reasons[0]).to.include(`of another epoch: 0, now it is ${to}`);
    await eventually("a Pod is sealed in the new epoch", async () => (await rehearse("fresh")).includes(to));
    expect(asked(), "it was verified anew").to.be.greaterThan(before);
    const config = await cluster.kubectl(["-n", SYSTEM, "get", "cm", "config-policy-controller", "-o", "json"]);
    expect((JSON.parse(config) as { data: object }).data).to.include({ "no-match-policy": "allow" });
  });

  it("flush makes the ConfigMap where there is none, and says that the cache is off", async () => {
    await cluster.kubectl(["-n", SYSTEM, "delete", "cm", "config-policy-controller"]);
    const { code, stdout } = await plugin(["flush"]);
    expect(code).to.equal(0);
    expect(stdout).to.include("made for it").and.include("The cache is off");
    expect((await shown()).notes[0]).to.include("the cache is off");
  });
});
