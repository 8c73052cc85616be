// Pods of one private image with and without its credentials, all at once: what one's credentials reveal is not for others.
import { expect } from "chai";
import type { ExtraRegistry } from "../../hack/testcluster/handle.ts";
import { type ApiAnswer, ApiServer } from "../support/api-server.ts";
import { RegistryDoor } from "../support/registry-door.ts";
import { Inheritance } from "./inheritance-harness.ts";

const NAME = "stormcredentials";
const PODS = 100;

describe("a storm of Pods with several credentials", () => {
  let at: Inheritance;
  let api: ApiServer;
  let registry: ExtraRegistry;
  let door: RegistryDoor;

  before(async function () {
    this.timeout(0);
    at = await Inheritance.open(NAME);
    api = await ApiServer.connect(at.cluster.kubeconfig);
    registry = await at.cluster.startRegistry({ name: `${NAME}-${process.pid}`, auth: true });
    door = await RegistryDoor.open(registry.address);
    const { username = "", password = "" } = registry.user ?? {};
    await at.cosign.run("login", registry.address, "--username", username, "--password", password);
    const auth = Buffer.from(`${username}:${password}`).toString("base64");
    await at.apply({
      apiVersion: "v1",
      kind: "List",
      items: [
        account("with", "pull"),
        account("also-with", "pull"),
        account("without"),
        account("wrong", "other"),
        pullSecret("pull", { [door.host]: { auth } }),
        pullSecret("other", { [door.host]: { auth: Buffer.from("nobody:nothing").toString("base64") } }),
        {
          apiVersion: "policy.sigstore.dev/v1beta1",
          kind: "ClusterImagePolicy",
          metadata: { name: NAME, labels: { "made-by": NAME } },
          spec: { images: [{ glob: `${door.host}/**` }], authorities: [{ key: { data: at.keys.publicKey } }] },
        },
      ],
    });
    await at.cluster.kubectl(["wait", "--for=condition=Ready", `cip/${NAME}`, "--timeout=90s"]);
  });

  after(async function () {
    this.timeout(120_000);
    await at?.close();
    door?.close();
    await registry?.stop();
    await api?.close();
  });

  beforeEach(() => {
    door.delayMs = 50;
  });

  const account = (name: string, ...secrets: readonly string[]) => ({
    apiVersion: "v1",
    kind: "ServiceAccount",
    metadata: { name },
    imagePullSecrets: secrets.map((secret) => ({ name: secret })),
  });

  const pullSecret = (name: string, auths: object) => ({
    apiVersion: "v1",
    kind: "Secret",
    type: "kubernetes.io/dockerconfigjson",
    metadata: { name },
    stringData: { ".dockerconfigjson": JSON.stringify({ auths }) },
  });

  async function signed(repository: string): Promise<string> {
    const image = await at.cluster.pushImage({ repository, tag: "v1", to: registry });
    await at.cosign.sign(image.pinned, at.keys, "classic");
    return image.reference.replace(registry.address, door.host);
  }

  /** Creates Pods all at once, of the accounts in turn; gives the answers by account. */
  async function storm(image: string, accounts: readonly string[]): Promise<ReadonlyMap<string, readonly ApiAnswer[]>> {
    const pod = (index: number) => ({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: `p-${index}` },
      spec: { serviceAccountName: accounts[index % accounts.length], containers: [{ name: "app", image }] },
    });
    const path = `/api/v1/namespaces/${NAME}/pods`;
    const answers = await Promise.all(
      Array.from({ length: PODS * accounts.length }, async (_, index) => ({
        account: accounts[index % accounts.length] ?? "",
        answer: await api.send({ method: "POST", path, body: pod(index), dryRun: true }),
      })),
    );
    return new Map(
      accounts.map((name) => [name, answers.filter(({ account }) => account === name).map(({ answer }) => answer)]),
    );
  }

  const statuses = (answers: readonly ApiAnswer[] = []) => [...new Set(answers.map(({ status }) => status))];

  it("admits those who may pull it, and refuses those who may not, whoever comes first", async () => {
    const image = await signed(`${NAME}/private`);
    for (const accounts of [
      ["without", "with", "wrong"],
      ["with", "without", "wrong"],
    ]) {
      const answers = await storm(image, accounts);
      expect(statuses(answers.get("with"))).to.deep.equal([201]);
      for (const name of ["without", "wrong"]) {
        expect(statuses(answers.get(name)), name).to.deep.equal([400]);
        for (const { message } of answers.get(name) ?? [])
          expect(message).to.include("the tag could not be resolved to a digest").and.to.not.include("@sha256:");
      }
    }
  });

  it("asks once for each of the credentials, for any number of Pods", async () => {
    const repository = `${NAME}/shared`;
    const image = await signed(repository);
    await storm(image, ["with"]);
    const alone = door.count(repository);
    console.error(`      ${alone} requests for one account`);
    expect(alone).to.be.at.most(4); // what one Pod costs, and the question which credentials are wanted
    const answers = await storm(image, ["also-with"]);
    expect(statuses(answers.get("also-with"))).to.deep.equal([201]);
    expect(door.count(repository) - alone, "the tag alone: what is known of a digest holds for everybody").to.equal(1);
  });
});
