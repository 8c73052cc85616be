import { expect } from "chai";
import { readKmsSettings } from "../../operator/kms/config.ts";

function read(env: Readonly<Record<string, string>>) {
  const problems: string[] = [];
  return { settings: readKmsSettings(env, problems), problems };
}

describe("how key management services are reached", () => {
  it("is by the SDKs' own ways where the environment says nothing", () =>
    expect(read({}).settings).to.deep.equal({ aws: {}, azure: {}, google: {} }));

  it("is by the names of the vendors' tools", () => {
    expect(read({ AWS_DEFAULT_REGION: "a" }).settings.aws).to.deep.equal({ region: "a" });
    expect(read({ AWS_REGION: "b", AWS_DEFAULT_REGION: "a" }).settings.aws).to.deep.equal({ region: "b" });
    expect(read({ AZURE_ENVIRONMENT: "AZURECHINACLOUD" }).settings.azure.authorityHost).to.contain("chinacloudapi");
    expect(read({ AZURE_ENVIRONMENT: "AZURECLOUD" }).settings.azure).to.deep.equal({});
    expect(read({ AZURE_AUTHORITY_HOST: "https://login.example" }).settings.azure.authorityHost).to.contain(
      "login.example",
    );
  });

  const address = { VAULT_ADDR: "https://vault.example:8200" };
  it("is for Vault by a token, or by the ServiceAccount with a role", () => {
    expect(read({ ...address, VAULT_TOKEN: "t", VAULT_KUBERNETES_ROLE: "r" }).settings.vault).to.deep.equal({
      address: address.VAULT_ADDR,
      transitPath: "transit",
      login: { kind: "token", token: "t" },
    });
    const more = { TRANSIT_SECRET_ENGINE_PATH: "team/transit", VAULT_NAMESPACE: "n", VAULT_KUBERNETES_ROLE: "r" };
    expect(read({ ...address, ...more }).settings.vault).to.deep.equal({
      address: address.VAULT_ADDR,
      namespace: "n",
      transitPath: "team/transit",
      login: {
        kind: "kubernetes",
        role: "r",
        mount: "kubernetes",
        tokenFile: "/var/run/secrets/kubernetes.io/serviceaccount/token",
      },
    });
    expect(read({ BAO_ADDR: "http://bao", BAO_TOKEN: "t" }).settings.vault?.login.kind).to.equal("token");
    expect(read(address).settings.vault?.login.kind).to.equal("none");
  });

  it("is refused where it can't be meant, without a secret in the words", () => {
    const { settings, problems } = read({ VAULT_ADDR: "vault.example", VAULT_TOKEN: "s3cret" });
    expect(settings.vault).to.equal(undefined);
    expect(problems.join()).to.contain("VAULT_ADDR").and.not.contain("s3cret");
    expect(read({ ...address, VAULT_CACERT: "/nonexistent/ca.pem" }).problems.join()).to.contain("VAULT_CACERT");
  });
});
