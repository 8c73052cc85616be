import { createPublicKey } from "node:crypto";
import { join } from "node:path";
import { expect } from "chai";
import { dump } from "js-yaml";
import type { ConnectedKubeClient } from "../../adapters/kube/client.ts";
import { isKubeError } from "../../adapters/kube/errors.ts";
import { Resources } from "../../adapters/kube/resources.ts";
import type { Condition } from "../../core/conditions.ts";
import { RESOLVED_FIELD, type Resolution, readResolved, resolvedName, sha256sum } from "../../core/policy/resolved.ts";
import { CLUSTER_IMAGE_POLICIES, type ClusterImagePolicyObject, FOREIGN_FINALIZER } from "../../crds/index.ts";
import type { ConfigMapObject } from "../../operator/clusterimagepolicy/configmap.ts";
import { type ClusterHandle, sharedCluster } from "../support/cluster.ts";
import { FakeHttps, json } from "../support/fake-https.ts";
import { install } from "../support/install.ts";
import { generatePem } from "../support/keys.ts";
import { withEnvironment } from "../support/kms.ts";
import { adminClient, eventually } from "../support/kube.ts";
import { NAMESPACE, serviceAccountKubeconfig } from "./operator-harness.ts";
import { PolicyOperator } from "./operator-policies-harness.ts";

const ROOT = join(import.meta.dirname, "../..");
const NAME = "resolved-test";
const ARN = "arn:aws:kms:eu-west-1:111122223333:alias/release";
const CUE = 'predicateType: "https://example.com/x"\n';
const RESYNC_MS = 1_500;

describe("What policies need from outside the cluster, on a real API server (AWS KMS is a fake)", function () {
  this.timeout(120_000);
  const kms = new FakeHttps();
  const web = new FakeHttps(kms.identity);
  let cluster: ClusterHandle;
  let client: ConnectedKubeClient;
  let operator: PolicyOperator;
  let restore: () => void = () => undefined;
  let key = generatePem("P-256").publicKey;

  before(async function () {
    this.timeout(0);
    cluster = await sharedCluster();
    client = await adminClient(cluster);
    await install(cluster, "crds");
    for (const file of ["namespace.yaml", "operator-rbac.yaml"])
      await cluster.kubectl(["apply", "--server-side", "--force-conflicts", "-f", join(ROOT, "deploy/base", file)]);
    await Promise.all([kms.start(), web.start()]);
    restore = withEnvironment({
      AWS_ACCESS_KEY_ID: "AKIAIOSFODNN7EXAMPLE",
      AWS_SECRET_ACCESS_KEY: "not-a-secret",
      AWS_CONFIG_FILE: "/nonexistent",
      AWS_SHARED_CREDENTIALS_FILE: "/nonexistent",
    });
    kms.answer = () => {
      const der = createPublicKey(key).export({ format: "der", type: "spki" }).toString("base64");
      return json(200, { KeyId: ARN, PublicKey: der, KeyUsage: "SIGN_VERIFY" });
    };
    web.answer = () => ({ body: CUE });
    const kubeconfig = await serviceAccountKubeconfig(cluster, "operator");
    operator = new PolicyOperator({ kubeconfig, ca: kms.ca, policyResyncMs: RESYNC_MS });
    await operator.start();
  });

  after(async () => {
    restore();
    if (operator === undefined) return;
    await operator.stop();
    await cluster.kubectl(["delete", "clusterimagepolicy", NAME, `${NAME}-plain`, "--ignore-not-found"]);
    await cluster.kubectl(["-n", NAMESPACE, "delete", "configmap", "-l", "entrepot.dev/resolved-policy"]);
    await Promise.all([kms.stop(), web.stop(), client.close()]);
  });

  const uri = () => `awskms://${kms.host}/${ARN}`;

  async function apply(spec: object, name = NAME): Promise<ClusterImagePolicyObject> {
    const policy = { apiVersion: "policy.sigstore.dev/v1alpha1", kind: "ClusterImagePolicy", metadata: { name }, spec };
    await cluster.kubectl(
      ["apply", "--server-side", "--force-conflicts", "--field-manager=test", "-f", "-"],
      dump(policy),
    );
    return await live(name);
  }

  function spec(sum = sha256sum(CUE)): object {
    const policy = { type: "cue", remote: { url: `https://${web.host}/a.cue`, sha256sum: sum } };
    return { images: [{ glob: "**" }], authorities: [{ name: "a", key: { kms: uri() } }], policy };
  }

  async function live(name = NAME): Promise<ClusterImagePolicyObject> {
    return (await client.get(CLUSTER_IMAGE_POLICIES, name)) as unknown as ClusterImagePolicyObject;
  }

  async function configMap(name = NAME): Promise<ConfigMapObject | undefined> {
    const { uid } = (await live(name)).metadata;
    try {
      return await client.get<ConfigMapObject>(Resources.configMaps, resolvedName(uid), { namespace: NAMESPACE });
    } catch (thrown) {
      if (isKubeError(thrown, "NOT_FOUND")) return undefined;
      throw thrown;
    }
  }

  async function resolution(): Promise<Resolution | undefined> {
    return readResolved((await configMap())?.data?.[RESOLVED_FIELD]);
  }

  /** Waits until the conditions say this of the present generation, and gives their messages. */
  async function says(wanted: Readonly<Record<string, string>>, name = NAME): Promise<Record<string, string>> {
    let last = "";
    const found = eventually(`the policy says ${JSON.stringify(wanted)}`, async () => {
      const { metadata, status } = await live(name);
      if (status?.observedGeneration !== metadata.generation) return undefined;
      const conditions = (status.conditions ?? []) as readonly Condition[];
      const said = Object.fromEntries(conditions.map((each) => [each.type, `${each.status} ${each.reason}`]));
      last = JSON.stringify(conditions);
      if (!Object.entries(wanted).every(([type, value]) => said[type] === value)) return undefined;
      return Object.fromEntries(conditions.map(({ type, message }) => [type, message]));
    });
    return await found.catch((thrown: Error) => {
      throw new Error(`${thrown.message}; it says ${last}; writes: ${operator.writes.join(", ")}`);
    });
  }

  const GOOD = { KeysInlined: "True Enforced", PoliciesInlined: "True Enforced", Ready: "True Enforced" };

  async function asked(more: number): Promise<void> {
    const before = kms.received.length;
    await eventually(`the KMS is asked ${more} times more`, () => kms.received.length >= before + more);
  }

  it("is handed to the webhooks in a ConfigMap that the policy owns", async () => {
    const { metadata } = await apply(spec());
    await says({ ...GOOD, ConfigMapUpdated: "True Enforced" });
    const found = await configMap();
    expect(found?.metadata.labels).to.include({
      "app.kubernetes.io/managed-by": "entrepot",
      "entrepot.dev/resolved-policy": metadata.uid,
    });
    expect(found?.metadata.ownerReferences).to.deep.equal([
      { apiVersion: "policy.sigstore.dev/v1alpha1", kind: "ClusterImagePolicy", name: NAME, uid: metadata.uid },
    ]);
    expect(await resolution()).to.deep.include({
      generation: metadata.generation,
      keys: { [uri()]: key },
      documents: { [sha256sum(CUE)]: CUE },
      problems: {},
    });
  });

  it("is no ConfigMap where nothing is needed", async () => {
    const plain = { images: [{ glob: "**" }], authorities: [{ static: { action: "pass" } }] };
    await apply(plain, `${NAME}-plain`);
    await says(GOOD, `${NAME}-plain`);
    expect(await configMap(`${NAME}-plain`)).to.equal(undefined);
  });

  it("costs a request to the KMS at each resync, none for a document that is there, and no write", async () => {
    await asked(1);
    const before = { config: await configMap(), policy: await live(), web: web.received.length };
    operator.writes.length = 0;
    await asked(3);
    expect(operator.writes).to.deep.equal([]);
    expect(await configMap()).to.deep.equal(before.config);
    expect((await live()).metadata.resourceVersion).to.equal(before.policy.metadata.resourceVersion);
    expect(web.received.length).to.equal(before.web);
  });

  it("follows a key that the KMS rotates, with one write", async () => {
    operator.writes.length = 0;
    key = generatePem("P-384").publicKey;
    await eventually("the new key is there", async () => (await resolution())?.keys[uri()] === key);
    await asked(1);
    expect(operator.writes.filter((write) => write.startsWith("apply"))).to.have.length(1);
  });

  it("stays what it was when the KMS is gone, is enforced, and the status says so until it is back", async () => {
    const before = await resolution();
    operator.events.length = 0;
    await kms.stop();
    const said = await says({
      KeysInlined: "False InliningKeysFailed",
      PoliciesInlined: "True Enforced",
      Ready: "True LastGood",
    });
    for (const type of ["KeysInlined", "Ready"]) {
      expect(said[type])
        .to.contain(uri())
        .and.contain("ECONNREFUSED")
        .and.contain(`; the key fetched at ${before?.fetchedAt[uri()]} is still enforced`);
    }
    const during = await resolution();
    expect(during?.keys).to.deep.equal(before?.keys);
    expect(during?.documents).to.deep.equal(before?.documents);
    expect(operator.events.map(({ type, reason }) => `${type} ${reason}`)).to.deep.equal(["Warning LastGood"]);
    await kms.start();
    await says(GOOD);
    expect((await resolution())?.problems).to.deep.equal({});
  });

  it("survives an operator that starts while everything outside is gone", async () => {
    const before = await resolution();
    await operator.stop();
    await Promise.all([kms.stop(), web.stop()]);
    await operator.start();
    await says({ KeysInlined: "False InliningKeysFailed", PoliciesInlined: "True Enforced", Ready: "True LastGood" });
    expect((await resolution())?.keys).to.deep.equal(before?.keys);
    expect((await resolution())?.documents).to.deep.equal(before?.documents);
    await Promise.all([kms.start(), web.start()]);
    await says(GOOD);
  });

  it("is refused with a wrong sum, without a loss of the keys, and right when the sum is", async () => {
    const wrong = sha256sum("something else");
    await apply(spec(wrong));
    const said = await says({
      KeysInlined: "True Enforced",
      PoliciesInlined: "False InliningPoliciesFailed",
      Ready: "False InliningPoliciesFailed",
    });
    expect(said["PoliciesInlined"])
      .to.contain(wrong)
      .and.contain(sha256sum(CUE))
      .and.contain(`https://${web.host}/a.cue`);
    expect((await resolution())?.keys).to.deep.equal({ [uri()]: key });
    await apply(spec());
    await says(GOOD);
  });

  it("is fetched when its server comes up, not at the next resync alone", async () => {
    await web.stop();
    const body = "x: 1\n";
    web.answer = () => ({ body });
    await apply(spec(sha256sum(body)));
    await says({ PoliciesInlined: "False InliningPoliciesFailed" });
    await web.start();
    await says(GOOD);
    web.answer = () => ({ body: CUE });
    await apply(spec());
    await says(GOOD);
  });

  it("is put back when somebody changes or deletes it", async () => {
    const found = await configMap();
    const name = found?.metadata.name ?? "";
    await client.mergePatch(Resources.configMaps, name, { data: { [RESOLVED_FIELD]: "{}" } }, { namespace: NAMESPACE });
    await eventually(
      "it is as it was",
      async () => (await configMap())?.data?.[RESOLVED_FIELD] === found?.data?.[RESOLVED_FIELD],
    );
    await client.delete(Resources.configMaps, name, { namespace: NAMESPACE });
    await eventually(
      "it is there again",
      async () => (await configMap())?.data?.[RESOLVED_FIELD] === found?.data?.[RESOLVED_FIELD],
    );
  });

  it("says what a replica can't use or compile", async () => {
    operator.loaded.set(NAME, { degraded: "authority a: it is not what it was" });
    const said = await says({ KeysInlined: "False InliningKeysFailed", Ready: "False InliningKeysFailed" });
    expect(said["Ready"]).to.equal("authority a: it is not what it was");
    operator.loaded.set(NAME, { problem: "the glob does not compile" });
    await says({ KeysInlined: "Unknown CompileFailed", Ready: "False CompileFailed" });
    operator.loaded.delete(NAME);
    await says(GOOD);
  });

  it("goes with the need for it", async () => {
    await apply({ images: [{ glob: "**" }], authorities: [{ static: { action: "pass" } }] });
    await cluster
      .kubectl(["patch", "clusterimagepolicy", NAME, "--type=json", "-p", '[{"op":"remove","path":"/spec/policy"}]'])
      .catch(() => undefined);
    await eventually("the ConfigMap is gone", async () => (await configMap()) === undefined);
    await says(GOOD);
  });

  it("lets go of a deleted policy that policy-controller's finalizer holds", async () => {
    const name = `${NAME}-held`;
    await apply({ images: [{ glob: "held/**" }], authorities: [{ static: { action: "pass" } }] }, name);
    await client.mergePatch(CLUSTER_IMAGE_POLICIES, name, { metadata: { finalizers: [FOREIGN_FINALIZER.policy] } });
    await cluster.kubectl(["delete", "clusterimagepolicy", name, "--timeout=20s"]);
  });
});
