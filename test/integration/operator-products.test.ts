import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { dump } from "js-yaml";
import { findCondition } from "../../core/conditions.ts";
import {
  CACHE_REGISTRIES,
  CACHE_RULES,
  type CacheRegistryObject,
  type CacheRuleObject,
  type Condition,
} from "../../crds/index.ts";
import { FakeAzure } from "../support/azure/fake.ts";
import { KEY_VAULT, SWAGGER } from "../support/azure/harness.ts";
import { GROUP, REGISTRY, SECRET, SUBSCRIPTION, TENANT } from "../support/azure/replies.ts";
import { FakeHarbor } from "../support/harbor/fake.ts";
import { eventually } from "../support/kube.ts";
import { selfSigned } from "../support/self-signed.ts";
import { specFile } from "../support/specs.ts";
import { NAMESPACE, type OperatorStage, operatorStage } from "./operator-harness.ts";

const HARBOR = "harbor-v2.15.2-swagger.yaml";

function registryOf(name: string, spec: object): object {
  return { apiVersion: "entrepot.dev/v1alpha1", kind: "CacheRegistry", metadata: { name }, spec };
}

function ruleOf(name: string, registry: string, source: string, target: string, more: object = {}): object {
  // Never: hosts of vendors are not asked whether nodes reach them.
  const spec = { registryRef: { name: registry }, source, target, rewrite: "Never", ...more };
  return { apiVersion: "entrepot.dev/v1alpha1", kind: "CacheRule", metadata: { name }, spec };
}

function secretOf(name: string, stringData: object, type = "Opaque"): object {
  return { apiVersion: "v1", kind: "Secret", type, metadata: { name, namespace: NAMESPACE }, stringData };
}

describe("The operator and other registries (contract fakes, never run against the vendors)", function () {
  this.timeout(120_000);
  let stage: OperatorStage;
  let azure: FakeAzure;
  let harbor: FakeHarbor;
  let folder: string;

  before(async function () {
    this.timeout(0);
    const [swagger, api] = [specFile(SWAGGER), specFile(HARBOR)];
    if (swagger === undefined || api === undefined) {
      console.log(`      skipped: ${this.test?.parent?.title}: ${SWAGGER} or ${HARBOR} is missing; set ENTREPOT_SPECS`);
      return this.skip();
    }
    const identity = selfSigned();
    azure = new FakeAzure(swagger, identity);
    harbor = new FakeHarbor(api);
    await azure.start();
    await harbor.start();
    folder = mkdtempSync(join(tmpdir(), "entrepot-products-"));
    writeFileSync(join(folder, "ca.pem"), identity.cert);
    const made = await operatorStage(this.test?.parent?.title, "none", {
      env: { NODE_EXTRA_CA_CERTS: join(folder, "ca.pem"), AZURE_AUTHORITY_HOST: azure.url },
    });
    if (made === undefined) return this.skip();
    stage = made;
  });

  afterEach(() => {
    expect([...azure.deviations, ...harbor.deviations]).to.deep.equal([]);
  });

  after(async () => {
    await azure?.stop();
    await harbor?.stop();
    if (folder !== undefined) rmSync(folder, { recursive: true });
    await stage?.stop();
  });

  async function apply(...objects: readonly object[]): Promise<void> {
    for (const object of objects)
      await stage.cluster.kubectl(["apply", "--server-side", "--force-conflicts", "-f", "-"], dump(object));
  }

  async function rule(name: string): Promise<CacheRuleObject | undefined> {
    return await stage.client.get<CacheRuleObject>(CACHE_RULES, name).catch(() => undefined);
  }

  async function ruleSays(name: string, type: string, what: string): Promise<Condition> {
    let last = "nothing";
    return await eventually(`CacheRule ${name}: ${type} is ${what}`, async () => {
      const found = findCondition((await rule(name))?.status?.conditions as readonly Condition[] | undefined, type);
      last = `${found?.status} ${found?.reason}: ${found?.message}`;
      return `${found?.status} ${found?.reason}` === what ? found : undefined;
    }).catch((thrown: unknown) => {
      throw new Error(`${String(thrown)}; last: ${last}\n${stage.operator.log.slice(-2_000)}`);
    });
  }

  async function registrySays(name: string, type: string, what: string): Promise<CacheRegistryObject> {
    return await eventually(`CacheRegistry ${name}: ${type} is ${what}`, async () => {
      const found = await stage.client.get<CacheRegistryObject>(CACHE_REGISTRIES, name);
      const condition = findCondition(found.status?.conditions as readonly Condition[] | undefined, type);
      return `${condition?.status} ${condition?.reason}` === what ? found : undefined;
    });
  }

  async function askNow(kind: string, name: string): Promise<void> {
    const stamp = `entrepot.dev/reconcile-at=${Date.now()}`;
    await stage.cluster.kubectl(["annotate", "--overwrite", kind, name, stamp]);
  }

  describe("on Azure Container Registry", () => {
    const azureSpec = () => ({
      subscriptionId: SUBSCRIPTION,
      resourceGroup: GROUP,
      registryName: REGISTRY,
      endpoint: azure.url,
      auth: { clientSecretRef: { name: "azure" } },
    });

    it("says which identity must be granted the secrets, and serves the rule of Azure's page once it is", async () => {
      azure.behaviour.health = { status: "Unhealthy", errorCode: "unauthorized_client", errorMessage: "AADSTS700016" };
      await apply(
        secretOf("azure", { tenantId: TENANT, clientId: "00000000-0000-0000-0000-000000000002", clientSecret: SECRET }),
        registryOf("acr", {
          azure: azureSpec(),
          upstreams: [{ host: "docker.io", credentials: { keyVault: KEY_VAULT } }],
        }),
        ruleOf("demo-prometheus", "acr", "docker.io/lgmorand/demoappprometheus", "demo-prometheus"),
      );
      const registry = await registrySays("acr", "CredentialsHealthy", "False Unhealthy");
      const principal = registry.status?.upstreams?.[0]?.principalId ?? "none";
      const condition = registry.status?.conditions?.find(({ type }) => type === "CredentialsHealthy");
      expect(condition?.message).to.contain(principal).and.contain("Key Vault Secrets User");
      azure.behaviour.health = { status: "Healthy" };
      await askNow("cacheregistry", "acr");
      await registrySays("acr", "Ready", "True Ready");
      await ruleSays("demo-prometheus", "Ready", "True Ready");
      const table = await stage.cluster.kubectl(["get", "cacherules"]);
      expect(table).to.match(/demo-prometheus\s+acr\s.*True\s.*myregistry\.azurecr\.io\/demo-prometheus/);
      const found = await rule("demo-prometheus");
      expect(found?.status?.mapping).to.deep.equal({
        from: "docker.io/lgmorand/demoappprometheus",
        to: "myregistry.azurecr.io/demo-prometheus",
      });
      expect((await registrySays("acr", "Ready", "True Ready")).status?.rules).to.deep.equal({
        total: 1,
        limit: 1_000,
      });
    });

    it("costs nothing but looks at rest", async () => {
      await stage.operator.atRest();
      const [writes, before] = [azure.writes.length, await stage.operator.writes()];
      const looks = azure.received.length;
      for (let i = 0; i < 5; i++) {
        await askNow("cacherule", "demo-prometheus");
        await eventually("it was looked at", () => azure.received.length > looks + i);
      }
      expect([azure.writes.length, await stage.operator.writes()]).to.deep.equal([writes, before]);
    });

    it("puts right what another changed, as soon as it is asked to look", async () => {
      const properties = azure.rule("demo-prometheus");
      if (properties === undefined) throw new Error("the rule is not there");
      delete properties["credentialSetResourceId"];
      await askNow("cacherule", "demo-prometheus");
      await eventually(
        "it is corrected",
        () => azure.rule("demo-prometheus")?.["credentialSetResourceId"] !== undefined,
      );
      await eventually("the status says what it was", async () => {
        const fields = (await rule("demo-prometheus"))?.status?.drift?.fields;
        return fields?.join() === "credentialSetResourceId";
      });
      await ruleSays("demo-prometheus", "Synced", "True InSync");
      await eventually("an Event says so", async () => {
        const about = "involvedObject.name=demo-prometheus,reason=DriftCorrected";
        return (await stage.cluster.kubectl(["get", "events", "--field-selector", about, "-o", "name"])) !== "";
      });
    });

    it("never touches a foreign rule of its name", async () => {
      azure.put("cacheRules", "foreign-rule", { sourceRepository: "docker.io/else/where", targetRepository: "where" });
      const writes = azure.writes.length;
      await apply(ruleOf("foreign-rule", "acr", "docker.io/acme/app", "app"));
      const said = await ruleSays("foreign-rule", "Ready", "False ForeignRule");
      expect(said.message).to.contain("never overwritten");
      await stage.cluster.kubectl(["delete", "cacherule", "foreign-rule", "--timeout=20s"]);
      expect(azure.writes).to.have.length(writes);
      expect(azure.rule("foreign-rule")).to.include({ targetRepository: "where" });
    });

    it("names the registry's refusal, and what to do", async () => {
      azure.repositories.add("taken");
      await apply(ruleOf("taken", "acr", "docker.io/acme/taken", "taken"));
      const said = await ruleSays("taken", "Ready", "False RepositoryExists");
      expect(said.message).to.contain("taken");
      await stage.cluster.kubectl(["delete", "cacherule", "taken", "--timeout=20s"]);
    });

    it("keeps its rules as they are while signing in fails: the registry says so", async () => {
      await apply(secretOf("azure", { tenantId: TENANT, clientId: "00000000-0000-0000-0000-000000000002" }));
      await stage.cluster
        .kubectl([
          "-n",
          NAMESPACE,
          "patch",
          "secret",
          "azure",
          "--type=json",
          "-p",
          '[{"op":"remove","path":"/data/clientSecret"}]',
        ])
        .catch(() => undefined);
      const registry = await registrySays("acr", "Ready", "False SecretInvalid");
      const message = registry.status?.conditions?.find(({ type }) => type === "Ready")?.message;
      expect(message).to.contain('Secret "azure"').and.contain("clientSecret").and.not.contain(SECRET);
      await ruleSays("demo-prometheus", "Ready", "True Ready");
      await apply(
        secretOf("azure", { tenantId: TENANT, clientId: "00000000-0000-0000-0000-000000000002", clientSecret: SECRET }),
      );
      await registrySays("acr", "Ready", "True Ready");
    });

    it("takes the rule away with its object, then the credential set with the registry", async () => {
      await stage.cluster.kubectl(["delete", "cacherule", "demo-prometheus", "--timeout=90s"]);
      expect(azure.rule("demo-prometheus")).to.equal(undefined);
      expect([...azure.stored.keys()].some((key) => /credentialsets/i.test(key))).to.equal(true);
      await stage.cluster.kubectl(["delete", "cacheregistry", "acr", "--timeout=90s"]);
      expect([...azure.stored.keys()].filter((key) => /credentialsets/i.test(key))).to.deep.equal([]);
      expect(stage.operator.log).to.not.contain(SECRET);
    });
  });

  describe("on Harbor", () => {
    it("makes a proxy project with its endpoint, and takes both away", async () => {
      const ca = ["-n", NAMESPACE, "create", "configmap", "harbor-ca", `--from-literal=ca.crt=${harbor.ca}`];
      await stage.cluster.kubectl(ca);
      await apply(
        secretOf("harbor", { username: harbor.username, password: harbor.password }, "kubernetes.io/basic-auth"),
        registryOf("harbor", {
          harbor: {
            url: harbor.url,
            caBundleRef: { name: "harbor-ca", key: "ca.crt" },
            auth: { secretRef: { name: "harbor" } },
          },
        }),
        ruleOf("quay", "harbor", "quay.io/*", "quay/*"),
        ruleOf("one-image", "harbor", "quay.io/acme/app", "app"),
      );
      await ruleSays("quay", "Ready", "True Ready");
      expect((await ruleSays("one-image", "Ready", "False UnsupportedShape")).message).to.contain("quay.io/*");
      expect((await rule("quay"))?.status?.pullPrefix).to.equal(`${new URL(harbor.url).host}/quay`);
      await stage.cluster.kubectl(["delete", "cacherule", "quay", "one-image", "--timeout=90s"]);
      await stage.cluster.kubectl(["delete", "cacheregistry", "harbor", "--timeout=90s"]);
      expect(harbor.writes.map((line) => line.split(" ")[0])).to.include.members(["POST", "DELETE"]);
      expect(stage.operator.log).to.not.contain(harbor.password);
      await stage.cluster.kubectl(["-n", NAMESPACE, "delete", "configmap", "harbor-ca"]);
    });
  });

  it("needed no right that it has not", () => {
    expect(stage.operator.log).to.not.contain("FORBIDDEN");
  });
});
