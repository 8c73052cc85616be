// The seal keys rotate while Pods are created through two replicas, one of them late: real API server, controllers, registry and cosign.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { activeKey, type Keyring, NEXT_KEY_LEAD_SECONDS, newSealKey, parseKeyring } from "../../core/cache/keyring.ts";
import { claimedKeyId } from "../../core/cache/seal.ts";
import { ApiServer } from "../support/api-server.ts";
import { eventually } from "../support/kube.ts";
import { aged } from "../support/seal-keys.ts";
import { TcpDoor } from "../support/tcp-door.ts";
import { counter, Inheritance, sealOf } from "./inheritance-harness.ts";
import { type Item, ownedBy, workload } from "./inheritance-objects.ts";

const NAME = "sealrotation";
const VERIFICATIONS = "entrepot_verifications_total";
const SECRET = "/api/v1/namespaces/cosign-system/secrets/entrepot-seal-keys";
const MONTH = 30 * 86_400;

interface Sent {
  readonly pods: number;
  readonly refused: readonly string[];
  /** The ids of the keys that sealed what the Pods carry. */
  readonly kids: ReadonlySet<string>;
}

describe("the rotation of the seal keys, with two replicas", () => {
  let at: Inheritance;
  let api: ApiServer;
  let dir: string;
  /** Between the API server and the second replica. */
  let lag: TcpDoor;

  before(async function () {
    this.timeout(0);
    at = await Inheritance.open(NAME);
    api = await ApiServer.connect(at.cluster.kubeconfig);
    const { port } = new URL(at.cluster.server);
    lag = await TcpDoor.open(0, Number(port));
    dir = mkdtempSync(join(tmpdir(), "entrepot-late-"));
    const kubeconfig = join(dir, "kubeconfig");
    const text = readFileSync(at.cluster.kubeconfig, "utf8");
    writeFileSync(kubeconfig, text.replaceAll(at.cluster.server, `https://127.0.0.1:${lag.port}`));
    await at.toSecondReplica({ KUBECONFIG: kubeconfig });
  });

  after(async function () {
    this.timeout(120_000);
    await at?.close();
    lag?.close();
    await api?.close();
    if (dir !== undefined) rmSync(dir, { recursive: true });
  });

  afterEach(() => lag.release());

  async function ring(): Promise<Keyring> {
    const { data } = (await api.must({ method: "GET", path: SECRET })) as { data: Record<string, string> };
    return parseKeyring(Buffer.from(data["jwks.json"] ?? "", "base64").toString());
  }

  async function write(keyring: Keyring, annotations: Readonly<Record<string, string>> = {}): Promise<void> {
    const data = { "jwks.json": Buffer.from(JSON.stringify(keyring)).toString("base64") };
    await api.must({ method: "PATCH", path: SECRET, body: { metadata: { annotations }, data } });
  }

  /** As the ring will be `seconds` from now. */
  const active = async () => activeKey(await ring()).kid;
  const rotatedFrom = (kid: string) => eventually("a rotation", async () => (await active()) !== kid);
  const kidOf = (object: unknown) => claimedKeyId(sealOf(object as Item) ?? "") ?? "none";

  /** A counter of both replicas. */
  async function total(name: string): Promise<number> {
    return counter(await at.product.metrics("webhook"), name) + (await at.secondReplicasCounter(name));
  }
  const refusals = () => total("entrepot_cache_refusals_total");

  function create(object: object): Promise<{ status: number; message: string; body: unknown }> {
    return api.send({ method: "POST", path: `/api/v1/namespaces/${NAME}/pods`, body: object, dryRun: true });
  }

  /** Deployments with one Pod each; gives what more Pods of theirs look like. */
  async function sealedDeployments(prefix: string, count: number): Promise<readonly object[]> {
    const names = Array.from({ length: count }, (_, index) => `${prefix}-${index}`);
    const made: object[] = [];
    for (const name of names) {
      const { reference } = await at.signed(`${NAME}/${name}`);
      await at.apply(workload("Deployment", name, reference));
      await at.pods(name, 1);
      const [set] = await at.list("replicasets", name);
      if (set === undefined) throw new Error(`no ReplicaSet of ${name}`);
      made.push(
        workload("Pod", "", reference, 1, { generateName: `${name}-`, ...ownedBy("ReplicaSet", set.metadata) }),
      );
    }
    return made;
  }

  /** Creates Pods through both replicas, eight at a time, until `work` is done and some after it. */
  async function during(pods: readonly object[], work: () => Promise<unknown>): Promise<Sent> {
    const refused: string[] = [];
    const kids = new Set<string>();
    let [sent, left] = [0, Number.POSITIVE_INFINITY];
    const worker = async (): Promise<void> => {
      while (left-- > 0) {
        const { status, message, body } = await create(pods[sent++ % pods.length] ?? {});
        if (status === 201) kids.add(kidOf(body));
        else refused.push(message);
      }
    };
    const workers = Array.from({ length: 8 }, worker);
    await work();
    left = 100;
    await Promise.all(workers);
    return { pods: sent, refused, kids };
  }

  async function costsNothing(prefix: string, rotation: (keyring: Keyring) => Promise<void>): Promise<void> {
    const owned = await sealedDeployments(prefix, 3);
    const alone = workload("Pod", "alone", (await at.signed(`${NAME}/${prefix}-alone`)).pinned);
    const pods = [...owned, alone];
    for (const replica of ["first", "second"] as const) {
      await at.lead(replica);
      for (const pod of pods) expect(await create(pod)).to.include({ status: 201 });
    }
    await at.lead("first", "second");
    const before = { requests: at.requests(), refusals: await refusals(), kid: await active() };
    const sent = await during(pods, async () => {
      await rotation(await ring());
      await rotatedFrom(before.kid);
      await eventually("a seal of the new key", async () => kidOf((await create(alone)).body) !== before.kid);
    });
    console.error(`      ${sent.pods} Pods, ${sent.kids.size} keys`);
    expect(sent.refused).to.deep.equal([]);
    expect(sent.kids).to.include(await active());
    expect(at.requests() - before.requests, "registry requests").to.equal(0);
    expect((await refusals()) - before.refusals, "annotations not believed").to.equal(0);
  }

  it("on schedule costs no registry request, no refusal, no Pod", async () => {
    await costsNothing("scheduled", (keyring) => write(aged(keyring, MONTH)));
  });

  it("on demand costs no registry request, no refusal, no Pod", async () => {
    await costsNothing("demanded", (keyring) =>
      write(aged(keyring, NEXT_KEY_LEAD_SECONDS), { "entrepot.dev/rotate": "now" }),
    );
  });

  /** A Pod of an image that the first replica sealed while the second hears nothing of the API server. */
  async function sealedByTheFirst(repository: string, rotation: (keyring: Keyring) => Promise<void>) {
    const { pinned } = await at.signed(repository);
    const kid = await active();
    await at.lead("second");
    const warm = workload("Pod", "warm", (await at.signed(`${repository}-warm`)).pinned);
    expect(await create(warm)).to.include({ status: 201 });
    lag.hold();
    await at.lead("first");
    const probe = workload("Pod", "probe", (await at.signed(`${repository}-probe`)).pinned);
    await rotation(await ring());
    await eventually("the first replica seals with the new key", async () => kidOf((await create(probe)).body) !== kid);
    const { body } = await create(workload("Pod", "app", pinned));
    expect(kidOf(body)).to.equal(await active());
    await at.lead("second");
    const { name, annotations } = (body as Item).metadata;
    return {
      pod: workload("Pod", name, pinned, 1, { annotations }),
      requests: at.requests(),
      refusals: await refusals(),
    };
  }

  it("a replica that is late believes what the other seals with the key that just began to sign", async () => {
    const { pod, ...before } = await sealedByTheFirst(`${NAME}/late`, (keyring) =>
      write(aged(keyring, NEXT_KEY_LEAD_SECONDS), { "entrepot.dev/rotate": "now" }),
    );
    const { status, body } = await create(pod);
    expect(status).to.equal(201);
    expect(sealOf(body as Item), "byte for byte").to.equal((pod as Item).metadata.annotations && sealOf(pod as Item));
    expect(at.requests() - before.requests).to.equal(0);
    expect((await refusals()) - before.refusals).to.equal(0);
  });

  it("and would not if keys signed as soon as they were made: refused, and verified anew", async () => {
    const { pod, ...before } = await sealedByTheFirst(`${NAME}/unannounced`, async ({ keys }) => {
      const seconds = Math.floor(Date.now() / 1000);
      await write({ keys: [newSealKey(new Date()), ...keys.map((key) => ({ retired: seconds, ...key }))] });
    });
    const answer = create(pod);
    await eventually("a refusal of the annotation", async () => (await refusals()) > before.refusals);
    lag.release();
    expect((await answer).status).to.equal(201);
    expect(at.requests() - before.requests).to.be.above(0);
  });

  it("a deleted Secret is a new key set at once: nothing that the old keys sealed is believed", async () => {
    await at.lead("first", "second");
    const [pod = {}] = await sealedDeployments("deleted", 1);
    const before = { kid: await active(), verified: await total(VERIFICATIONS) };
    await api.must({ method: "DELETE", path: SECRET });
    await eventually("new keys", async () => (await api.send({ method: "GET", path: SECRET })).status === 200);
    expect((await ring()).keys.map(({ kid }) => kid)).to.not.include(before.kid);
    await eventually("another seal", async () => kidOf((await create(pod)).body) === (await active()));
    expect((await total(VERIFICATIONS)) - before.verified).to.be.above(0);
  });
});
