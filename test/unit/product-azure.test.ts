import { expect } from "chai";
import fc from "fast-check";
import { parseMapping } from "../../core/cacherule/mapping.ts";
import {
  type AzureRequest,
  type AzureRule,
  azureRuleName,
  compareAzureRule,
  desiredAzureRule,
  judgeAzureRule,
} from "../../core/product/azure.ts";
import {
  type AzureCredentialSet,
  decideSet,
  notedSets,
  setHealth,
  type WantedSet,
  wantedSet,
} from "../../core/product/azure-credentials.ts";
import { armKey, azureLoginServer, azureName, azureRegistryId, azureState } from "../../core/product/azure-names.ts";
import type { Upstream } from "../../crds/index.ts";

const AZURE = {
  subscriptionId: "00000000-0000-0000-0000-000000000000",
  resourceGroup: "Group",
  registryName: "MyRegistry",
  auth: { workloadIdentity: {} },
};
const META = { uid: "u", generation: 1, resourceVersion: "1", creationTimestamp: "2030-01-01T00:00:00Z" };
const NOW = new Date("2030-01-01T12:00:00Z");
const KEY_VAULT = {
  usernameSecretId: "https://v.vault.azure.net/secrets/u",
  passwordSecretId: "https://v.vault.azure.net/secrets/p",
};

function request(source: string, target: string, upstreams: readonly Upstream[] = [], spec: object = {}): AzureRequest {
  const mapping = parseMapping({ source, target });
  return {
    rule: { metadata: { ...META, name: "my-rule" }, spec: { registryRef: { name: "prod" }, source, target, ...spec } },
    registry: { metadata: { ...META, name: "prod" }, spec: { azure: AZURE, upstreams: [...upstreams] } },
    mapping,
    host: mapping.source.host,
  };
}

describe("Names in an Azure Container Registry", () => {
  const named = (name: string, remoteName?: string): string =>
    azureRuleName({
      metadata: { ...META, name },
      spec: { ...request("a.io/a", "a").rule.spec, ...(remoteName && { remoteName }) },
    });

  it("are the object's own where Azure takes them, else as much as fits and a hash", () => {
    expect(named("my-rule")).to.equal("my-rule");
    expect(named("my.rule")).to.match(/^my-rule-[0-9a-f]{8}$/);
    expect(named("abc")).to.match(/^abc-[0-9a-f]{8}$/);
    expect(named("x".repeat(253))).to.match(/^x{41}-[0-9a-f]{8}$/);
    expect(named("my.rule", "Given-Name")).to.equal("Given-Name");
  });

  it("are always ones that Azure takes, the same each time, and no two the same", () => {
    const part = fc.stringMatching(/^[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?$/);
    const name = fc.array(part, { minLength: 1, maxLength: 8 }).map((parts) => parts.join("."));
    fc.assert(
      fc.property(name, name, (a, b) => {
        expect(azureName(a, a))
          .to.match(/^[a-zA-Z0-9-]{5,50}$/)
          .and.equal(azureName(a, a));
        if (a !== b) expect(azureName(a, a)).to.not.equal(azureName(b, b));
      }),
    );
  });

  it("of credential sets tell upstreams and registries apart, and can be given", () => {
    const derived = (registry: string, host: string) => wantedSet(AZURE, registry, host, { keyVault: KEY_VAULT })?.name;
    expect(derived("prod", "index.docker.io")).to.match(/^entrepot-docker-io-[0-9a-f]{8}$/);
    const names = [derived("a", "a-b.io"), derived("b", "a-b.io"), derived("a", "a.b.io"), derived("a", "a.b.io:443")];
    expect(new Set(names).size).to.equal(4);
    expect(wantedSet(AZURE, "p", "ghcr.io", { keyVault: { ...KEY_VAULT, credentialSetName: "given" } })?.name).to.equal(
      "given",
    );
    expect(wantedSet(AZURE, "p", "ghcr.io", { credentialSetName: "users" })).to.deep.equal({
      name: "users",
      id: `${azureRegistryId(AZURE)}/credentialSets/users`,
      loginServer: "ghcr.io",
    });
    expect(wantedSet(AZURE, "p", "ghcr.io", undefined)).to.equal(undefined);
  });

  it("begin with the login server of the registry's cloud", () => {
    const at = (endpoint?: string) => azureLoginServer({ ...AZURE, ...(endpoint && { endpoint }) });
    expect(at()).to.equal("myregistry.azurecr.io");
    expect(at("https://management.usgovcloudapi.net/")).to.equal("myregistry.azurecr.us");
    expect(at("https://management.chinacloudapi.cn")).to.equal("myregistry.azurecr.cn");
    expect(at("https://management.usgovcloudapi.net.example.com")).to.equal("myregistry.azurecr.io");
  });
});

describe("A rule for an Azure Container Registry", () => {
  it("for Docker Hub needs credentials, and says where they go", () => {
    const refused = judgeAzureRule(request("docker.io/nginx", "nginx", [{ host: "docker.io" }]));
    expect(refused?.reason).to.equal("UnsupportedUpstream");
    expect(refused?.message).to.contain('CacheRegistry "prod"').and.contain("credentials.keyVault");
    const upstream = { host: "registry-1.docker.io", credentials: { credentialSetName: "hub-set" } };
    expect(judgeAzureRule(request("docker.io/nginx", "nginx", [upstream]))).to.equal(undefined);
    expect(judgeAzureRule(request("quay.io/a/*", "a/*"))).to.equal(undefined);
  });

  const FOUND: AzureRule = {
    name: "my-rule",
    source: "docker.io/library/nginx",
    target: "nginx",
    createdAt: "t",
    provisioningState: "Succeeded",
  };
  const compared = (change: Partial<AzureRule>, asked = request("docker.io/nginx", "nginx")) =>
    compareAzureRule(desiredAzureRule(asked, AZURE), { ...FOUND, ...change }, "id", NOW);
  const fields = (change: Partial<AzureRule>, asked?: AzureRequest) =>
    compared(change, asked).differences.map(({ field }) => field);

  it("is the same in whatever spelling", () => {
    for (const source of ["docker.io/nginx", "Docker.IO/library/nginx", "registry-1.docker.io/nginx"])
      expect(fields({ source })).to.deep.equal([]);
    const asked = request("quay.io/a", "nginx", [{ host: "quay.io", credentials: { credentialSetName: "quay-set" } }]);
    const credentialSetId = `${azureRegistryId(AZURE).toUpperCase()}/credentialsets/QUAY-set/`;
    expect(fields({ source: "quay.io/a", credentialSetId }, asked)).to.deep.equal([]);
    expect(fields({ credentialSetId: "" })).to.deep.equal([]);
  });

  it("differs where it does, and can be corrected in its credential set alone", () => {
    expect(
      compared({ source: "docker.io/library/*", target: "nginx/*", credentialSetId: "x" }).differences,
    ).to.deep.equal([
      { field: "sourceRepository", correctable: false },
      { field: "targetRepository", correctable: false },
      { field: "credentialSetResourceId", correctable: true },
    ]);
    expect(fields({ source: "docker.io/other/nginx" })).to.deep.equal(["sourceRepository"]);
    expect(fields({ source: "not a source" })).to.deep.equal(["sourceRepository"]);
  });

  it("equals what it asks for, in any case, for every mapping", () => {
    const word = fc.stringMatching(/^[a-z0-9]{1,8}$/);
    const path = fc.array(word, { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/"));
    const host = fc.constantFrom("docker.io", "index.docker.io", "quay.io", "r.example.com:5000");
    fc.assert(
      fc.property(host, path, path, fc.boolean(), (at, from, to, wildcard) => {
        const end = wildcard ? "/*" : "";
        const asked = request(`${at}/${from}${end}`, `${to}${end}`);
        const { source, target } = desiredAzureRule(asked, AZURE);
        expect(fields({ source, target }, asked)).to.deep.equal([]);
        expect(fields({ source: source.toUpperCase(), target: target.toUpperCase() }, asked)).to.deep.equal([]);
        expect(fields({ source: `${source}x`, target: `x${target}` }, asked)).to.have.length(2);
      }),
    );
  });

  it("stands as its provisioning state says, in any case", () => {
    for (const [state, wanted] of [
      ["Succeeded", "settled"],
      ["succeeded", "settled"],
      [undefined, "settled"],
      ["creating", "changing"],
      ["Deleting", "changing"],
      ["SomethingNew", "changing"],
      ["failed", "failed"],
      ["Canceled", "failed"],
    ] as const)
      expect(azureState(state)).to.equal(wanted);
    expect(armKey("/Subscriptions/A/")).to.equal("subscriptions/a");
  });

  it("counts as failed when an operation has lasted for half an hour", () => {
    const since = (minutes: number) => ({
      provisioningState: "updating",
      modifiedAt: new Date(NOW.getTime() - minutes * 60_000),
    });
    expect(compared(since(29)).state).to.equal("changing");
    expect(compared(since(31))).to.include({ state: "failed" });
    expect(compared({ provisioningState: "Failed" }).problem).to.contain("delete it in Azure");
    expect(compared({ provisioningState: "updating" }).state).to.equal("changing");
  });
});

describe("A credential set of an Azure Container Registry", () => {
  const WANTED: WantedSet = {
    name: "hub",
    id: "/i/hub",
    loginServer: "docker.io",
    secrets: { username: "https://v/u", password: "https://v/p" },
  };
  const FOUND: AzureCredentialSet = {
    name: "hub",
    loginServer: "docker.io",
    usernameSecretId: "https://V/u/",
    passwordSecretId: "https://v/p",
  };
  const { secrets: _, ...USERS } = WANTED;

  it("is only ever written to when the status has it as ours", () => {
    const write = new Set(["create", "update"]);
    const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
    const found = maybe(
      fc.record({
        name: fc.constant("hub"),
        loginServer: fc.constantFrom("docker.io", "Docker.io", "ghcr.io"),
        usernameSecretId: fc.constantFrom("https://v/u", "https://v/x"),
        provisioningState: fc.constantFrom("Succeeded", "failed", "Creating"),
      }),
    );
    const drift = fc.constantFrom("Correct" as const, "Report" as const);
    fc.assert(
      fc.property(fc.constantFrom(WANTED, USERS), found, fc.boolean(), drift, (wanted, set, noted, policy) => {
        const isWrite = write.has(decideSet(wanted, set, noted, policy).do);
        if (isWrite) expect(noted && "secrets" in wanted && set?.loginServer !== "ghcr.io").to.equal(true);
      }),
    );
  });

  it("is noted, then made, then used; corrected when it is ours", () => {
    expect(decideSet(WANTED, undefined, false, "Correct").do).to.equal("note");
    expect(decideSet(WANTED, undefined, true, "Correct").do).to.equal("create");
    expect(decideSet(WANTED, FOUND, true, "Correct").do).to.equal("use");
    expect(decideSet(WANTED, { ...FOUND, passwordSecretId: "https://v/q" }, true, "Correct").do).to.equal("update");
    expect(decideSet(WANTED, { ...FOUND, provisioningState: "updating" }, true, "Correct").do).to.equal("wait");
    expect(decideSet(WANTED, { ...FOUND, provisioningState: "Failed" }, true, "Correct")).to.include({
      reason: "RemoteError",
    });
    expect(decideSet(WANTED, { ...FOUND, loginServer: "ghcr.io" }, true, "Correct")).to.include({
      reason: "ImmutableChange",
    });
    expect(decideSet(USERS, undefined, false, "Correct")).to.include({ reason: "SecretNotFound" });
  });

  it("is read from the status, also two while one takes the place of another", () => {
    const status = { upstreams: [{ host: "docker.io", remoteId: "/a /b" }, { host: "quay.io" }] };
    expect([...notedSets({ status })]).to.deep.equal([
      ["docker.io", ["/a", "/b"]],
      ["quay.io", []],
    ]);
    expect([...notedSets({})]).to.deep.equal([]);
  });

  it("says whether its credentials work, and whom to grant what", () => {
    expect(setHealth({ ...FOUND, health: "healthy" }).status).to.equal("True");
    expect(setHealth(FOUND).status).to.equal("Unknown");
    const principalId = "aa71adbf-c0b9-4fe7-bb87-53313a182f2f";
    const sick = setHealth({
      ...FOUND,
      passwordSecretId: KEY_VAULT.passwordSecretId,
      health: "UNHEALTHY",
      principalId,
    });
    expect(sick.status).to.equal("False");
    expect(sick.message)
      .to.contain(`grant principal ${principalId} the role Key Vault Secrets User`)
      .and.contain("v.vault.azure.net");
    expect(setHealth({ name: "hub", loginServer: "a.io", health: "Unhealthy" }).message).to.contain("its identity");
  });
});
