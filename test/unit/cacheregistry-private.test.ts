import { expect } from "chai";
import { load } from "js-yaml";
import { desiredObjects, manifestKey } from "../../core/cacheregistry/desired.ts";
import { changes } from "../../core/cacheregistry/diff.ts";
import { backendName } from "../../core/cacheregistry/names.ts";
import type { InClusterStorage, Manifest, Upstream } from "../../core/cacheregistry/types.ts";
import { removable } from "../../operator/incluster/readiness.ts";
import type { ExaminedUpstream } from "../../operator/incluster/upstreams.ts";

const REGISTRY = { name: "main", uid: "11111111-2222-3333-4444-555555555555" };
const INSTALLATION = {
  namespace: "cosign-system",
  gatewayImage: "entrepot:dev",
  gatewayServiceAccount: "entrepot-gateway",
  distributionImage: "docker.io/library/registry:3.1.2",
  logLevel: "info",
};
const OPEN: Upstream = { host: "quay.io", plainHTTP: false };
const PRIVATE: Upstream = { ...OPEN, credentials: { username: "u", password: "p" } };
const NAME = backendName("main", OPEN.host);
const CLAIM: InClusterStorage = { persistentVolumeClaim: { size: "1Gi" } };

function objects(storage: InClusterStorage, upstream: Upstream): readonly Manifest[] {
  return desiredObjects(REGISTRY, { pullHost: "localhost:30500", storage }, [upstream], INSTALLATION);
}

function rootOf(storage: InClusterStorage, upstream: Upstream): unknown {
  const secret = objects(storage, upstream).find((one) => manifestKey(one) === `Secret/${NAME}`);
  const data = secret?.["data"] as Record<string, string>;
  const config = load(Buffer.from(data["config.yml"] ?? "", "base64").toString("utf8")) as {
    storage: Record<string, { rootdirectory?: string }>;
  };
  return Object.values(config.storage).find(({ rootdirectory }) => rootdirectory !== undefined)?.rootdirectory;
}

const live = (manifests: readonly Manifest[]) =>
  manifests.map((one) => ({ ...one, metadata: { ...one.metadata, uid: "u" } }));

const examined = (upstream: Upstream, kind: "reachable" | "unreachable"): ExaminedUpstream =>
  ({ kind: "upstream", upstream, health: { kind } }) as ExaminedUpstream;

describe("content that is read with credentials", () => {
  const cases: readonly { name: string; storage: InClusterStorage; roots: readonly [string, string] }[] = [
    { name: "a claim", storage: CLAIM, roots: ["/var/lib/registry/open", "/var/lib/registry/private"] },
    {
      name: "the node's disk",
      storage: { emptyDir: {} },
      roots: ["/var/lib/registry/open", "/var/lib/registry/private"],
    },
    {
      name: "S3",
      storage: { s3: { bucket: "b", region: "r", rootDirectory: "x" } },
      roots: [`x/${NAME}/open`, `x/${NAME}/private`],
    },
    {
      name: "Azure",
      storage: { azure: { accountName: "a", container: "c" } },
      roots: [`${NAME}/open`, `${NAME}/private`],
    },
    { name: "Google", storage: { gcs: { bucket: "b" } }, roots: [`${NAME}/open`, `${NAME}/private`] },
  ];
  for (const { name, storage, roots } of cases) {
    it(`is in a folder of its own on ${name}`, () => {
      expect([rootOf(storage, OPEN), rootOf(storage, PRIVATE)]).to.deep.equal(roots);
    });
  }

  const claims = (manifests: readonly { readonly kind: string; readonly metadata: { readonly name: string } }[]) =>
    manifests.filter(({ kind }) => kind === "PersistentVolumeClaim").map(({ metadata }) => metadata.name);

  for (const [what, upstream, claim] of [
    ["with credentials", PRIVATE, `${NAME}-private`],
    ["without", OPEN, `${NAME}-open`],
  ] as const) {
    it(`has a claim of its own, which the Pods ${what} mount`, () => {
      const manifests = objects(CLAIM, upstream);
      expect(claims(manifests)).to.deep.equal([claim]);
      const deployment = JSON.stringify(manifests.find((one) => manifestKey(one) === `Deployment/${NAME}`));
      expect(deployment).to.contain(`"persistentVolumeClaim":{"claimName":"${claim}"}`);
    });
  }

  for (const [what, before, after] of [
    ["are taken away", PRIVATE, OPEN],
    ["come", OPEN, PRIVATE],
  ] as const) {
    it(`leaves no claim behind when they ${what}`, () => {
      const found = live(objects(CLAIM, before));
      const { remove } = changes(objects(CLAIM, after), removable(found, "main", [examined(after, "reachable")], true));
      expect(remove.map(manifestKey)).to.deep.equal([`PersistentVolumeClaim/${claims(found)[0]}`]);
    });

    it(`keeps its claim when they ${what} while the upstream does not answer`, () => {
      const found = live(objects(CLAIM, before));
      const gateway = objects(CLAIM, after).filter(({ metadata }) => !metadata.name.startsWith(NAME));
      const kept = removable(found, "main", [examined(after, "unreachable")], true);
      expect(changes(gateway, kept).remove.map(manifestKey)).to.deep.equal([]);
    });
  }

  describe("and was stored by a version that had one claim for everything", () => {
    /** As that version left it: private content at the root of a claim that is called as all the proxy's objects are. */
    const old = live(objects(CLAIM, PRIVATE)).map((one) =>
      one.kind === "PersistentVolumeClaim" ? { ...one, metadata: { ...one.metadata, name: NAME } } : one,
    );

    for (const [what, upstream] of [
      ["stays private", PRIVATE],
      ["is open now", OPEN],
    ] as const) {
      it(`goes with that claim, which nobody mounts, where its upstream ${what}`, () => {
        const { apply, remove } = changes(
          objects(CLAIM, upstream),
          removable(old, "main", [examined(upstream, "reachable")], true),
        );
        expect(remove.map(manifestKey)).to.deep.equal([`PersistentVolumeClaim/${NAME}`]);
        const deployments = objects(CLAIM, upstream).filter(({ kind }) => kind === "Deployment");
        expect(JSON.stringify(deployments)).to.not.contain(`"claimName":"${NAME}"`);
        expect(claims(apply)).to.have.lengthOf(1).and.not.include(NAME);
      });

      it(`stays with it while its upstream, which ${what}, does not answer`, () => {
        const gateway = objects(CLAIM, upstream).filter(({ metadata }) => !metadata.name.startsWith(NAME));
        const kept = removable(old, "main", [examined(upstream, "unreachable")], true);
        const { apply, remove } = changes(gateway, kept);
        expect(remove.map(manifestKey)).to.deep.equal([]);
        expect(claims(apply)).to.deep.equal([]);
      });
    }
  });
});
