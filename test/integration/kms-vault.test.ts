import { createPublicKey } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { dump, load } from "js-yaml";
import { createKms, type FetchPublicKey } from "../../adapters/kms/client.ts";
import { publicKeyOf, type VaultLogin, type VaultSettings } from "../../adapters/kms/vault.ts";
import { freePort } from "../../hack/testcluster/controlplane.ts";
import { sharedCluster } from "../support/cluster.ts";
import { kmsFailure, kmsSettings } from "../support/kms.ts";
import { Vault } from "../support/vault.ts";

const { signal } = new AbortController();

function reader(address: string, login: VaultLogin, change: Partial<VaultSettings> = {}): FetchPublicKey {
  return createKms(kmsSettings({ vault: { address, login, transitPath: "transit", ...change } }), 5_000);
}

describe("A public key from HashiCorp Vault (a real one)", function () {
  this.timeout(120_000);
  let vault: Vault;
  let fetchKey: FetchPublicKey;

  before(async function () {
    this.timeout(0);
    vault = await Vault.start(await freePort());
    fetchKey = reader(vault.address, { kind: "token", token: vault.rootToken });
  });
  after(async () => await vault?.stop());

  for (const [type, expected] of [
    ["ecdsa-p256", "ec"],
    ["ecdsa-p384", "ec"],
    ["ecdsa-p521", "ec"],
    ["ed25519", "ed25519"],
    ["rsa-2048", "rsa"],
  ] as const) {
    it(`is read of a key of type ${type}`, async () => {
      await vault.write(`transit/keys/${type}`, { type });
      const pem = await fetchKey(`hashivault://${type}`, signal);
      expect(createPublicKey(pem).asymmetricKeyType).to.equal(expected);
    });
  }

  it("is that of the latest version, after a rotation too", async () => {
    await vault.write("transit/keys/turning", { type: "ecdsa-p256" });
    const before = await fetchKey("hashivault://turning", signal);
    expect(await fetchKey("hashivault://turning", signal)).to.equal(before);
    await vault.write("transit/keys/turning/rotate");
    expect(await fetchKey("hashivault://turning", signal)).to.not.equal(before);
  });

  it("is read from where the engine is mounted", async () => {
    await vault.write("sys/mounts/team/transit", { type: "transit" });
    await vault.write("team/transit/keys/own", { type: "ed25519" });
    const own = reader(vault.address, { kind: "token", token: vault.rootToken }, { transitPath: "team/transit" });
    expect(await own("hashivault://own", signal)).to.contain("BEGIN PUBLIC KEY");
    expect(await kmsFailure("KMS_KEY_NOT_FOUND", fetchKey("hashivault://own", signal))).to.contain("transit/keys/own");
  });

  it("is refused of a symmetric key, without a right, with a wrong token and without any", async () => {
    await vault.write("transit/keys/symmetric", { type: "aes256-gcm96" });
    await kmsFailure("KMS_KEY_UNUSABLE", fetchKey("hashivault://symmetric", signal));
    const { auth } = await vault.write("auth/token/create", { policies: ["default"] });
    const weak = (auth as { client_token: string }).client_token;
    for (const token of [weak, "hvs.wrong"]) {
      const message = await kmsFailure(
        "KMS_FORBIDDEN",
        reader(vault.address, { kind: "token", token })("hashivault://ed25519", signal),
      );
      expect(message).to.not.contain(token);
    }
    await kmsFailure("KMS_NOT_CONFIGURED", reader(vault.address, { kind: "none" })("hashivault://ed25519", signal));
    await kmsFailure("KMS_NOT_CONFIGURED", createKms(kmsSettings())("hashivault://ed25519", signal));
  });

  it("says that Vault is sealed, or not there", async () => {
    await vault.write("sys/seal").catch(() => undefined);
    await kmsFailure("KMS_UNREACHABLE", fetchKey("hashivault://ed25519", signal));
    const gone = reader("http://127.0.0.1:1", { kind: "token", token: "t" });
    expect(await kmsFailure("KMS_UNREACHABLE", gone("hashivault://a", signal))).to.contain("ECONNREFUSED");
  });
});

describe("A public key from HashiCorp Vault (a real one), by the operator's ServiceAccount", function () {
  this.timeout(120_000);
  const namespace = `vault-${process.pid}`;
  let vault: Vault;
  let folder: string;
  let login: Extract<VaultLogin, { kind: "kubernetes" }>;
  let cleanUp: () => Promise<unknown> = async () => undefined;

  before(async function () {
    this.timeout(0);
    const cluster = await sharedCluster();
    vault = await Vault.start(await freePort());
    const account = (name: string) => ({ apiVersion: "v1", kind: "ServiceAccount", metadata: { name, namespace } });
    const reviewer = {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "ClusterRoleBinding",
      metadata: { name: namespace },
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "system:auth-delegator" },
      subjects: [{ kind: "ServiceAccount", name: "reviewer", namespace }],
    };
    const objects = [
      { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } },
      account("operator"),
      account("reviewer"),
      reviewer,
    ];
    cleanUp = async () =>
      await cluster.kubectl(["delete", "--wait=false", "-f", "-"], objects.map((each) => dump(each)).join("---\n"));
    await cluster.kubectl(["apply", "-f", "-"], objects.map((each) => dump(each)).join("---\n"));
    const token = async (name: string) => (await cluster.kubectl(["-n", namespace, "create", "token", name])).trim();
    const config = load(readFileSync(cluster.kubeconfig, "utf8")) as {
      clusters: {
        cluster: { server: string; "certificate-authority-data"?: string; "certificate-authority"?: string };
      }[];
    };
    const server = config.clusters[0]?.cluster;
    const ca = server?.["certificate-authority-data"];
    await vault.write("sys/auth/kubernetes", { type: "kubernetes" });
    await vault.write("auth/kubernetes/config", {
      kubernetes_host: server?.server,
      kubernetes_ca_cert:
        ca === undefined
          ? readFileSync(server?.["certificate-authority"] ?? "", "utf8")
          : Buffer.from(ca, "base64").toString(),
      token_reviewer_jwt: await token("reviewer"),
    });
    await vault.write("sys/policies/acl/keys", { policy: 'path "transit/keys/*" { capabilities = ["read"] }' });
    await vault.write("auth/kubernetes/role/operator", {
      bound_service_account_names: "operator",
      bound_service_account_namespaces: namespace,
      policies: "keys",
    });
    await vault.write("transit/keys/release", { type: "ecdsa-p256" });
    folder = mkdtempSync(join(tmpdir(), "entrepot-vault-"));
    const tokenFile = join(folder, "token");
    writeFileSync(tokenFile, `${await token("operator")}\n`);
    writeFileSync(join(folder, "other"), await token("reviewer"));
    login = { kind: "kubernetes", role: "operator", mount: "kubernetes", tokenFile };
  });

  after(async () => {
    await cleanUp();
    await vault?.stop();
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  });

  it("is read, and the token got for it is given back", async () => {
    const before = await vault.tokens();
    expect(await reader(vault.address, login)("hashivault://release", signal)).to.contain("BEGIN PUBLIC KEY");
    expect(await vault.tokens()).to.equal(before);
  });

  it("is refused to another ServiceAccount and for another role", async () => {
    const other = { ...login, tokenFile: join(folder, "other") };
    for (const wrong of [other, { ...login, role: "nobody" }]) {
      const message = await kmsFailure(
        "KMS_UNAUTHENTICATED",
        reader(vault.address, wrong)("hashivault://release", signal),
      );
      expect(message).to.not.contain(readFileSync(wrong.tokenFile, "utf8").trim());
    }
  });
});

describe("A public key from a server that is no Vault (a fake)", () => {
  it("is bounded in bytes and time", async () => {
    const server = createServer((request, response) => {
      if (request.url?.endsWith("/long") === true) response.end(`{"data":"${"x".repeat(2_000_000)}"}`);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const settings = {
      vault: { address: `http://127.0.0.1:${port}`, transitPath: "transit", login: { kind: "token", token: "t" } },
    } as const;
    const within = (ms: number) => createKms(kmsSettings(settings), ms);
    await kmsFailure("KMS_UNREACHABLE", within(20_000)("hashivault://long", signal));
    await kmsFailure("KMS_TIMEOUT", within(300)("hashivault://never", signal));
    server.closeAllConnections();
    server.close();
  });

  for (const data of [
    {},
    { keys: [] },
    { keys: { 1: {} }, latest_version: 1 },
    { keys: { 1: { public_key: "x" } }, latest_version: 2 },
  ]) {
    it(`is not read from ${JSON.stringify(data)}`, () => expect(() => publicKeyOf(data)).to.throw("symmetric"));
  }
});
