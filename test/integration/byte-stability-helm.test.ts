// What Helm does to a sealed Deployment, in each of its ways to write: real Helm, API server, controllers, registry and cosign.
import { expect } from "chai";
import { Helm, type Values, valueFlags } from "../support/helm.ts";
import { cost, settled } from "./byte-stability-objects.ts";
import { Inheritance, sealOf } from "./inheritance-harness.ts";
import { imagesOf } from "./inheritance-objects.ts";

const TAG_ALONE = 1;
const NEW_IMAGE = 3;

describe("byte stability under Helm", () => {
  let at: Inheritance;
  let helm: Helm;

  before(async function () {
    this.timeout(0);
    at = await Inheritance.open("helm");
    helm = await Helm.create(at.cluster, at.name);
  });

  after(async function () {
    this.timeout(120_000);
    helm?.dispose();
    await at?.close();
  });

  for (const [way, release, flags] of [
    ["server-side apply", "applied", ["--server-side=true"]],
    ["three-way merge, as Helm 3", "merged", ["--server-side=false"]],
    ["replacing the object", "replaced", ["--server-side=false", "--force-replace"]],
  ] as const) {
    describe(way, () => {
      let first: { reference: string; digest: string };
      let second: typeof first;
      let sealed: string | undefined;

      before(async () => {
        first = await at.signed(`helm/${release}`);
        second = await at.signed(`helm/${release}`, "v2");
      });

      const upgrade = (values: Values, ...more: readonly string[]) =>
        helm.run("upgrade", release, helm.chart, ...flags, ...valueFlags(values), ...more);

      /** A Pod made now runs `image` and carries `seal`. */
      async function runs(image: typeof first, count: number, seal: string | undefined) {
        const pods = await at.pods(release, count);
        expect(imagesOf(pods)).to.deep.equal([`${image.reference}@${image.digest}`]);
        expect(new Set(pods.map(sealOf))).to.deep.equal(new Set([seal]));
      }

      it("install: the image is verified once, and its Pods cost nothing", async () => {
        const install = [
          "install",
          release,
          helm.chart,
          flags[0],
          ...valueFlags({ image: first.reference, replicas: 1 }),
        ];
        const spent = await cost(at, async () => {
          await helm.run(...install);
          sealed = (await settled(at, release)).seal;
          await runs(first, 1, sealed);
        });
        expect(sealed).to.include(first.digest);
        expect(spent).to.equal(NEW_IMAGE);
      });

      it("upgrade with no change: the annotation stays, nobody is asked", async () => {
        const before = await settled(at, release);
        const spent = await cost(at, () => upgrade({ image: first.reference, replicas: 1 }));
        const after = await settled(at, release);
        expect(after.seal).to.equal(before.seal);
        // Replaced, it loses the annotations of its controller, who writes them again.
        if (release !== "replaced") expect(after.resourceVersion).to.equal(before.resourceVersion);
        expect(spent).to.equal(0);
      });

      it("upgrade with other replicas: the annotation stays, nobody is asked", async () => {
        const spent = await cost(at, async () => {
          await upgrade({ image: first.reference, replicas: 3 });
          await runs(first, 3, sealed);
        });
        expect((await settled(at, release)).seal).to.equal(sealed);
        expect(spent).to.equal(0);
      });

      it("upgrade --dry-run=server with another image changes nothing", async () => {
        const before = await settled(at, release);
        await upgrade({ image: second.reference, replicas: 3 }, "--dry-run=server");
        expect(await settled(at, release)).to.deep.equal(before);
      });

      it("upgrade with another image: verified once, and a new annotation", async () => {
        const spent = await cost(at, async () => {
          await upgrade({ image: second.reference, replicas: 3 });
          const { seal } = await settled(at, release);
          expect(seal).to.include(second.digest).and.not.include(first.digest);
          await runs(second, 3, seal);
        });
        expect(spent).to.be.at.most(NEW_IMAGE);
      });

      it("get manifest is what the chart renders: the annotation is not in it", async () => {
        const values = valueFlags({ image: second.reference, replicas: 3 });
        const rendered = await helm.run("template", release, helm.chart, ...values);
        expect((await helm.run("get", "manifest", release)).trim()).to.equal(rendered.trim());
      });

      it("rollback: the registry is asked what the tag is, no more; the annotation says the old image's results", async () => {
        const spent = await cost(at, async () => {
          await helm.run("rollback", release, "3", ...flags);
          const { seal } = await settled(at, release);
          expect(seal).to.equal(sealed);
          await runs(first, 3, sealed);
        });
        expect(spent).to.equal(TAG_ALONE);
      });

      it("rollback by tag with the registry off and nothing remembered is refused, as every changed template is", async () => {
        await at.cluster.stop("registry");
        try {
          await at.restartWebhook();
          const said = await helm.run("rollback", release, "4", ...flags).catch(String);
          expect(said).to.include("the tag could not be resolved to a digest");
        } finally {
          await at.cluster.start("registry");
        }
        expect((await settled(at, release)).seal).to.equal(sealed);
      });
    });
  }
});
