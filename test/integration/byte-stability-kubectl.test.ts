// What kubectl does to a sealed Deployment, client-side and server-side: real API server, controllers, registry and cosign.
import { expect } from "chai";
import { CACHE_ANNOTATION } from "../../core/cache/record.ts";
import { attempt, cost, kubectl, live, type ManifestChange, manifest, settled } from "./byte-stability-objects.ts";
import { Inheritance } from "./inheritance-harness.ts";

const LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration";
const TAG_ALONE = 1;
const NEW_IMAGE = 3;

describe("byte stability under kubectl", () => {
  let at: Inheritance;

  before(async function () {
    this.timeout(0);
    at = await Inheritance.open("kubectl-bytes");
  });

  after(async function () {
    this.timeout(120_000);
    await at?.close();
  });

  /** Every way to apply, and what must hold of each. */
  for (const [side, flags] of [
    ["client-side", []],
    ["server-side", ["--server-side", "--field-manager=git"]],
  ] as const) {
    describe(`apply ${side}`, () => {
      const name = side;
      let tagged: string;
      let pinned: string;
      let sealed: string | undefined;
      const apply = (image: string, change?: ManifestChange) =>
        kubectl(at, manifest(name, image, change), "apply", ...flags, "-f", "-");

      before(async () => {
        ({ reference: tagged, pinned } = await at.signed(`kubectl-bytes/${side}`));
        await apply(tagged);
        sealed = (await settled(at, name)).seal;
        expect(sealed).to.include(pinned.slice(pinned.indexOf("@") + 1));
      });

      it("again and again: nothing moves, nobody is asked, and diff shows nothing", async () => {
        const before = await settled(at, name);
        const spent = await cost(at, async () => {
          for (const _ of [1, 2, 3]) await apply(tagged);
          const diff = await attempt(at, manifest(name, tagged), "diff", ...flags, "-f", "-");
          expect(diff).to.deep.include({ code: 0, stdout: "" });
        });
        expect(await settled(at, name)).to.deep.equal(before);
        expect(spent).to.equal(0);
      });

      it("with another label and other replicas: the annotation stays, nobody is asked", async () => {
        const spent = await cost(at, async () => {
          await apply(tagged, { labels: { tier: "web" } });
          expect((await settled(at, name)).seal).to.equal(sealed);
          await apply(tagged, { labels: { tier: "web" }, replicas: 3 });
          expect((await settled(at, name)).seal).to.equal(sealed);
          await at.pods(name, 3);
        });
        expect(spent).to.equal(0);
      });

      it("with another environment variable: the annotation stays, the registry is asked what the tag is, no more", async () => {
        const spent = await cost(at, async () => {
          await apply(tagged, { env: [{ name: "A", value: "b" }] });
          expect((await settled(at, name)).seal).to.equal(sealed);
        });
        expect(spent).to.equal(TAG_ALONE);
      });

      it("with that change and the image by digest: the annotation stays, nobody is asked", async () => {
        const spent = await cost(at, async () => {
          await apply(pinned);
          await apply(pinned, { env: [{ name: "A", value: "c" }] });
          expect((await settled(at, name)).seal).to.equal(sealed);
        });
        expect(spent).to.equal(0);
      });

      it("with another image: a new annotation, which stays as it is", async () => {
        const { reference } = await at.signed(`kubectl-bytes/${side}`, "v2");
        expect(await cost(at, () => apply(reference))).to.equal(NEW_IMAGE);
        const after = await settled(at, name);
        expect(after.seal).to.be.a("string").and.not.equal(sealed);
        expect(await cost(at, () => apply(reference))).to.equal(0);
        expect(await settled(at, name)).to.deep.equal(after);
        const diff = await attempt(at, manifest(name, reference), "diff", ...flags, "-f", "-");
        expect(diff).to.deep.include({ code: 0, stdout: "" });
      });

      it("never counts it as its own: neither managed fields nor the last applied configuration hold it", async () => {
        const { metadata } = await live(at, `deployment/${name}`);
        const owners = metadata.managedFields?.filter((entry) => JSON.stringify(entry).includes(CACHE_ANNOTATION));
        expect(owners).to.deep.equal([]);
        expect(metadata.annotations?.[LAST_APPLIED] ?? "").to.not.include(CACHE_ANNOTATION);
      });
    });
  }

  it("two managers, server-side: conflicts are about what both write, never about the annotation, forced or not", async () => {
    const { reference } = await at.signed("kubectl-bytes/two");
    const as = (manager: string, change: ManifestChange, ...more: readonly string[]) => {
      const flags = ["apply", "--server-side", `--field-manager=${manager}`, ...more];
      return attempt(at, manifest("two", reference, change), ...flags, "-f", "-");
    };
    expect(await as("git", {})).to.include({ code: 0 });
    const { seal } = await settled(at, "two");
    const refused = await as("team", { replicas: 2 });
    expect(refused.code).to.equal(1);
    expect(refused.stderr).to.match(/1 conflict: conflict with "git": \.spec\.replicas/);
    expect(await as("team", { replicas: 2 }, "--force-conflicts")).to.include({ code: 0 });
    expect(await as("git", {}, "--force-conflicts")).to.include({ code: 0 });
    expect((await settled(at, "two")).seal).to.equal(seal);
  });

  it("a manager that writes less than before takes its own fields away and leaves the annotation", async () => {
    const { reference } = await at.signed("kubectl-bytes/less");
    const apply = (change: ManifestChange) =>
      kubectl(at, manifest("less", reference, change), "apply", "--server-side", "--field-manager=git", "-f", "-");
    await apply({ labels: { extra: "yes" } });
    const { seal } = await settled(at, "less");
    await apply({});
    const { metadata } = await live(at, "deployment/less");
    expect(metadata).to.not.have.nested.property("labels.extra");
    expect(metadata.annotations?.[CACHE_ANNOTATION]).to.equal(seal);
  });

  it("from client-side to server-side and on to another manager: it stays, nobody is asked", async () => {
    const { reference } = await at.signed("kubectl-bytes/moved");
    await at.apply(manifest("moved", reference));
    const { seal } = await settled(at, "moved");
    const spent = await cost(at, async () => {
      for (const flags of [
        ["--server-side"],
        ["--server-side", "--force-conflicts", "--field-manager=argocd-controller"],
      ])
        await kubectl(at, manifest("moved", reference), "apply", ...flags, "-f", "-");
    });
    expect((await settled(at, "moved")).seal).to.equal(seal);
    expect(spent).to.equal(0);
  });

  it("a manager that has it in its file, and then not any more: it is put back as it was, and nobody is asked", async () => {
    const { reference } = await at.signed("kubectl-bytes/exported");
    const apply = (annotations: object) => {
      const base = manifest("exported", reference) as { metadata: object };
      const exported = { ...base, metadata: { ...base.metadata, annotations } };
      return kubectl(at, exported, "apply", "--server-side", "--field-manager=git", "-f", "-");
    };
    await apply({});
    const { seal } = await settled(at, "exported");
    const spent = await cost(at, async () => {
      await apply({ [CACHE_ANNOTATION]: seal });
      await apply({});
    });
    expect((await settled(at, "exported")).seal).to.equal(seal);
    expect(spent).to.equal(0);
  });
});
