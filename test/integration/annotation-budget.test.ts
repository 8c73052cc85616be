// Objects near the 256 KiB that Kubernetes grants to all annotations together: real API server, both webhooks, registry and cosign.
import { expect } from "chai";
import { CACHE_ANNOTATION } from "../../core/cache/record.ts";
import { type ApiAnswer, ApiServer } from "../support/api-server.ts";
import { eventually } from "../support/kube.ts";
import { Inheritance, sealOf } from "./inheritance-harness.ts";
import { type Item, workload } from "./inheritance-objects.ts";

const NAME = "budget";
const KIB = 1024;
/** apimachinery's TotalAnnotationSizeLimitB: keys and values of all annotations. */
const LIMIT = 256 * KIB;
const KEY = "example.com/filler";

/** Annotations of exactly this many bytes together. */
const filler = (bytes: number) => ({ [KEY]: "x".repeat(bytes - KEY.length) });

function total({ metadata }: Item): number {
  return Object.entries(metadata.annotations ?? {}).reduce((sum, [key, value]) => sum + key.length + value.length, 0);
}

describe("annotations near the limit of an object", () => {
  let at: Inheritance;
  let api: ApiServer;
  let images: readonly string[];

  before(async function () {
    this.timeout(0);
    at = await Inheritance.open(NAME);
    api = await ApiServer.connect(at.cluster.kubeconfig);
    images = await Promise.all(
      ["a", "b", `the-largest/${"long/".repeat(30)}name`].map(
        async (repository) => (await at.signed(`${NAME}/${repository}`)).pinned,
      ),
    );
  });

  after(async function () {
    this.timeout(120_000);
    await at?.close();
    await api?.close();
  });

  const create = (plural: string, object: object, dryRun = true): Promise<ApiAnswer> => {
    const group = plural === "pods" ? "/api/v1" : "/apis/apps/v1";
    return api.send({ method: "POST", path: `${group}/namespaces/${NAME}/${plural}`, body: object, dryRun });
  };
  const withAnnotations = (bytes: number) => ({ annotations: filler(bytes) });

  /** A Pod of all images, beside so many bytes of other annotations. */
  const pod = (bytes: number) => ({
    ...workload("Pod", "many", ""),
    metadata: { name: "many", ...withAnnotations(bytes) },
    spec: { containers: images.map((image, index) => ({ name: `c${index}`, image })) },
  });

  it("never cost an object its admission: ours is there as long as there is room, and left out after", async () => {
    for (const plural of ["pods", "deployments"] as const) {
      const kind = plural === "pods" ? "Pod" : "Deployment";
      const sealed = new Map<number, boolean>();
      for (const bytes of [KIB, 128 * KIB, 190 * KIB, 220 * KIB, 224 * KIB, 240 * KIB, 255 * KIB, LIMIT - 1, LIMIT]) {
        const { status, message, body } = await create(
          plural,
          workload(kind, "near", images[0] ?? "", 1, withAnnotations(bytes)),
        );
        expect(status, `${kind} with ${bytes} bytes: ${message}`).to.equal(201);
        expect(total(body as Item)).to.be.at.most(LIMIT);
        sealed.set(bytes, sealOf(body as Item) !== undefined);
      }
      expect([...sealed.values()], kind).to.deep.equal([true, true, true, true, false, false, false, false, false]);
    }
  });

  it("a byte more than the limit is refused by the API server, for what the user wrote", async () => {
    const { status, message } = await create(
      "pods",
      workload("Pod", "over", images[0] ?? "", 1, withAnnotations(LIMIT + 1)),
    );
    expect(status).to.equal(422);
    expect(message).to.include("262144 bytes");
  });

  it("what does not fit is dropped largest first, and verified when it is needed", async () => {
    const recorded = async (bytes: number) => {
      const { status, message, body } = await create("pods", pod(bytes));
      expect(status, message).to.equal(201);
      return images.filter((image) => sealOf(body as Item)?.includes(`${image}:\n`));
    };
    const whole = sealOf((await create("pods", pod(KIB))).body as Item) ?? "";
    const room = 224 * KIB - Buffer.byteLength(whole);
    expect(await recorded(room - KIB)).to.deep.equal(images);
    expect(await recorded(room + 100)).to.deep.equal(images.slice(0, 2));
    const [first = "", second = ""] = await recorded(room + 100 + Buffer.byteLength(images[2] ?? ""));
    expect([first, second]).to.deep.equal(images.slice(0, 2));
    expect(await recorded(224 * KIB)).to.deep.equal([]);
  });

  it("a Deployment that has a seal and is filled up loses it with its next image rather than be refused", async () => {
    const path = `/apis/apps/v1/namespaces/${NAME}/deployments/filled`;
    await at.apply(workload("Deployment", "filled", images[0] ?? ""));
    expect(sealOf(await at.get("deployment/filled"))).to.be.a("string");
    const template = { spec: { containers: [{ name: "app", image: images[1] }] } };
    const body = { metadata: { annotations: filler(255 * KIB) }, spec: { template } };
    const { status, message, body: patched } = await api.send({ method: "PATCH", path, body });
    expect(status, message).to.equal(200);
    expect((patched as Item).metadata.annotations).to.not.have.property(CACHE_ANNOTATION);
    expect((patched as Item).metadata.annotations).to.have.property(KEY);
  });

  it("one that has a seal may be filled up without a new image, its seal included", async () => {
    const path = `/apis/apps/v1/namespaces/${NAME}/deployments/grown`;
    await at.apply(workload("Deployment", "grown", images[0] ?? ""));
    const before = await eventually("its controller has annotated it", async () => {
      const found = await at.get("deployment/grown");
      return found.metadata.annotations?.["deployment.kubernetes.io/revision"] !== undefined && found;
    });
    const body = { metadata: { annotations: filler(LIMIT - total(before)) } };
    const { status, message, body: patched } = await api.send({ method: "PATCH", path, body });
    expect(status, message).to.equal(200);
    expect(sealOf(patched as Item)).to.equal(sealOf(before));
    expect(total(patched as Item)).to.equal(LIMIT);
  });
});
