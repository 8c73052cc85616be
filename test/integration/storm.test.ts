// Hundreds of Pods of one image at once: real API server, both webhooks, registry and cosign; requests counted before the registry.
import { expect } from "chai";
import { type ApiAnswer, ApiServer } from "../support/api-server.ts";
import { type Failure, RegistryDoor } from "../support/registry-door.ts";
import { counter, Inheritance, sealOf } from "./inheritance-harness.ts";
import { type Item, ownedBy, workload } from "./inheritance-objects.ts";

const NAME = "storm";
const PODS = 200;
/** Requests for a new image by tag: the tag, the signature's manifest, its payload. */
const COLD = 3;
/** For how long a denial is remembered, and evidence. */
const REMEMBERED_MS = 5_000;

interface Storm {
  readonly admitted: readonly Item[];
  readonly refused: readonly string[];
  readonly requests: number;
  readonly ms: number;
}

describe("a storm of Pods", () => {
  let at: Inheritance;
  let api: ApiServer;
  let door: RegistryDoor;

  before(async function () {
    this.timeout(0);
    at = await Inheritance.open(NAME);
    api = await ApiServer.connect(at.cluster.kubeconfig);
    door = await RegistryDoor.open(at.cluster.registry);
    await at.apply({
      apiVersion: "policy.sigstore.dev/v1beta1",
      kind: "ClusterImagePolicy",
      metadata: { name: `${NAME}-door`, labels: { "made-by": NAME } },
      spec: { images: [{ glob: `${door.host}/**` }], authorities: [{ key: { data: at.keys.publicKey } }] },
    });
    await at.cluster.kubectl(["wait", "--for=condition=Ready", `cip/${NAME}-door`, "--timeout=90s"]);
  });

  after(async function () {
    this.timeout(120_000);
    await at?.close();
    door?.close();
    await api?.close();
  });

  beforeEach(async () => {
    door.delayMs = 50;
    door.failure = undefined;
    await at.endSecondReplica();
  });

  const through = (reference: string) => reference.replace(at.cluster.registry, door.host);

  async function signed(repository: string): Promise<string> {
    return through((await at.signed(repository)).reference);
  }

  async function unsigned(repository: string): Promise<string> {
    return through((await at.cluster.pushImage({ repository, tag: "v1" })).reference);
  }

  function create(object: object): Promise<ApiAnswer> {
    return api.send({ method: "POST", path: `/api/v1/namespaces/${NAME}/pods`, body: object, dryRun: true });
  }

  /** Creates Pods all at once. */
  async function storm(image: string, metadata: object = {}): Promise<Storm> {
    const [before, began] = [door.asked.length, performance.now()];
    const answers = await Promise.all(
      Array.from({ length: PODS }, (_, index) => create(workload("Pod", `p-${index}`, image, 1, metadata))),
    );
    const [ms, requests] = [Math.round(performance.now() - began), door.asked.length - before];
    const admitted = answers.filter(({ status }) => status === 201).map(({ body }) => body as Item);
    const refused = answers.filter(({ status }) => status !== 201).map(({ message }) => message);
    console.error(`      ${admitted.length} admitted, ${refused.length} refused, ${requests} requests, ${ms} ms`);
    return { admitted, refused, requests, ms };
  }

  it("of one new image costs what one Pod costs, and all are admitted with one seal", async () => {
    const { admitted, refused, requests } = await storm(await signed(`${NAME}/new`));
    expect(refused).to.deep.equal([]);
    expect(requests).to.equal(COLD);
    expect(new Set(admitted.map(sealOf)).size).to.equal(1);
  });

  it("costs each of two replicas that once at most", async () => {
    await at.toSecondReplica();
    await at.lead("first", "second");
    const { refused, requests } = await storm(await signed(`${NAME}/two`));
    expect(refused).to.deep.equal([]);
    expect(requests).to.be.within(COLD, 2 * COLD);
  });

  it("of a Deployment that was never sealed costs what one Pod costs", async () => {
    const image = await signed(`${NAME}/unsealed`);
    await at.configure({ "dev.chainguard.enable-cip-cache": "false" });
    await at.apply(workload("Deployment", "unsealed", image));
    const [pod] = await at.pods("unsealed", 1);
    const [set] = await at.list("replicasets", "unsealed");
    expect(pod && sealOf(pod)).to.equal(undefined);
    await at.configure({ "dev.entrepot.cache-epoch": "sealed" });
    await at.restartWebhook();
    const { refused, requests } = await storm(image, ownedBy("ReplicaSet", set?.metadata ?? { name: "", uid: "" }));
    expect(refused).to.deep.equal([]);
    expect(requests).to.equal(COLD);
    expect(
      counter(await at.product.metrics("webhook"), "entrepot_owner_reads_total"),
      "the set, its Deployment; anew where one took too long, not once for each Pod",
    ).to.be.within(2, 10);
  });

  it("of an unsigned image is refused, every Pod, for what a few Pods cost", async () => {
    const image = await unsigned(`${NAME}/unsigned`);
    const { admitted, refused, requests, ms } = await storm(image);
    expect(admitted).to.deep.equal([]);
    for (const message of refused) expect(message).to.include(`failed policy: ${NAME}-door`);
    expect(requests).to.be.at.most(1 + 4 * Math.ceil(ms / REMEMBERED_MS));
  });

  for (const failure of ["503", "reset", "silence"] as const satisfies readonly Failure[])
    describe(`where a registry fails: ${failure}`, () => {
      const storms = new Map<string, { readonly image: string; readonly storm: Storm; readonly requests: number }>();
      const repositoryOf = (by: string) => `${NAME}/failing-${failure}-${by}`;

      before(async function () {
        this.timeout(180_000);
        const [byTag, byDigest] = [await at.signed(repositoryOf("tag")), await at.signed(repositoryOf("digest"))];
        door.failure = failure;
        const both = { tag: through(byTag.reference), digest: through(byDigest.pinned) };
        // Together: of silence, each waits for as long as a registry is waited for.
        const blown = await Promise.all(
          Object.entries(both).map(async ([by, image]) => ({ by, image, storm: await storm(image) })),
        );
        for (const { by, ...one } of blown) storms.set(by, { ...one, requests: door.count(repositoryOf(by)) });
      });

      for (const by of ["tag", "digest"])
        it(`by ${by} is refused and not passed on to it`, async () => {
          const { image, storm, requests } = storms.get(by) ?? expect.fail("no storm");
          expect(storm.admitted).to.deep.equal([]);
          for (const message of storm.refused)
            expect(message).to.include("could not").and.to.not.include("no signatures found");
          expect(requests).to.be.within(1, (PODS / 10) * Math.ceil(storm.ms / REMEMBERED_MS));
          expect(requests).to.be.below(PODS / 2);
          const { status } = await create(workload("Pod", "after", image));
          expect(status, "it is back").to.equal(201);
        });
    });
});
