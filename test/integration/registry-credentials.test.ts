import { expect } from "chai";
import type { ConnectedKubeClient } from "../../adapters/kube/client.ts";
import { KubeError } from "../../adapters/kube/errors.ts";
import { Resources } from "../../adapters/kube/resources.ts";
import type { KubeClient, KubeObject } from "../../adapters/kube/types.ts";
import { keychainForPod, keychainForSecrets } from "../../adapters/registry/credentials.ts";
import { sharedCluster } from "../support/cluster.ts";
import { adminClient, freshNamespace } from "../support/kube.ts";

const REGISTRY = "registry.example.com";
const within = (): AbortSignal => AbortSignal.timeout(10_000);

function dockerConfig(username: string): object {
  const config = JSON.stringify({ auths: { [REGISTRY]: { username, password: "p" } } });
  return {
    type: "kubernetes.io/dockerconfigjson",
    data: { ".dockerconfigjson": Buffer.from(config).toString("base64") },
  };
}

describe("the keychain of a Pod, on a real API server", () => {
  let client: ConnectedKubeClient;
  let namespace: string;

  async function create(resource: typeof Resources.secrets, kind: string, name: string, more: object): Promise<void> {
    await client.create(resource, { apiVersion: "v1", kind, metadata: { name, namespace }, ...more } as KubeObject);
  }

  before(async function () {
    this.timeout(0); // the first run on a machine builds Kubernetes
    client = await adminClient(await sharedCluster());
    namespace = await freshNamespace(client, "keychain");
    await create(Resources.secrets, "Secret", "of-pod", dockerConfig("pod"));
    await create(Resources.secrets, "Secret", "of-account", dockerConfig("account"));
    await create(Resources.secrets, "Secret", "of-builder", dockerConfig("builder"));
    await create(Resources.secrets, "Secret", "opaque", { type: "Opaque", data: { password: "c2VjcmV0" } });
    const accounts = Resources.serviceAccounts;
    await create(accounts, "ServiceAccount", "builder", {
      imagePullSecrets: [{ name: "of-builder" }, { name: "missing" }],
    });
    // The controller may have made `default` by now, or may be about to.
    await client.apply(accounts, {
      apiVersion: "v1",
      kind: "ServiceAccount",
      metadata: { name: "default", namespace },
      imagePullSecrets: [{ name: "of-account" }],
    } as KubeObject);
  });

  after(() => client?.close());

  async function users(imagePullSecrets: readonly string[], serviceAccountName?: string): Promise<readonly string[]> {
    const pod = { namespace, imagePullSecrets, ...(serviceAccountName !== undefined && { serviceAccountName }) };
    const keychain = await keychainForPod(client, pod, within())();
    return keychain.forRepository(REGISTRY, "app").map(({ username }) => username);
  }

  it("has the Pod's Secrets, then its ServiceAccount's", async () => {
    expect(await users(["of-pod"])).to.deep.equal(["pod", "account"]);
    expect(await users(["of-pod"], "builder")).to.deep.equal(["pod", "builder"]);
    expect(await users([], "")).to.deep.equal(["account"]);
  });

  it("ignores what is missing, as kubelet does", async () => {
    expect(await users(["nowhere", "of-pod", "of-pod"], "nobody")).to.deep.equal(["pod"]);
    expect(
      (await keychainForSecrets(client, namespace, ["nowhere"], within())()).forRepository(REGISTRY, "app"),
    ).to.deep.equal([]);
  });

  it("says which Secret is of no use, and not what is in it", async () => {
    const said: string[] = [];
    await keychainForSecrets(client, namespace, ["opaque", "of-pod"], within(), (...words) =>
      said.push(words.join(" ")),
    )();
    expect(said).to.have.length(1);
    expect(said[0]).to.contain(`${namespace} opaque its type is neither`).and.not.to.contain("secret:");
  });

  it("is read when it is first needed, once", async () => {
    let reads = 0;
    const counting: KubeClient = new Proxy(client, {
      get(target, key) {
        if (key === "get") reads++;
        const value: unknown = Reflect.get(target, key, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
    const keychain = keychainForPod(counting, { namespace, imagePullSecrets: ["of-pod"] }, within());
    expect(reads).to.equal(0);
    await Promise.all([keychain(), keychain(), keychain()]);
    expect(reads).to.equal(3); // the ServiceAccount and two Secrets
  });

  it("fails when something cannot be read, instead of going without", async () => {
    const failing = keychainForPod(client, { namespace, imagePullSecrets: ["of-pod"] }, AbortSignal.abort());
    const thrown: unknown = await failing().catch((error: unknown) => error);
    expect(thrown).to.be.instanceOf(KubeError);
  });

  it("does not read Secrets by the thousand for one Pod", async () => {
    const thrown: unknown = await users(Array.from({ length: 1000 }, (_, i) => `s${i}`)).catch(
      (error: unknown) => error,
    );
    expect(thrown).to.have.property("code", "PULL_SECRETS_EXCESSIVE");
  });
});
