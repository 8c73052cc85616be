import { expect } from "chai";
import { Resources } from "../../adapters/kube/resources.ts";
import type { KubeObject } from "../../adapters/kube/types.ts";
import { parseKeyring } from "../../core/cache/keyring.ts";
import { findCondition } from "../../core/conditions.ts";
import { canonicalJson } from "../../core/json.ts";
import { CACHE_REGISTRIES, type Condition } from "../../crds/index.ts";
import type { SecretObject } from "../../operator/resources.ts";
import type { ClusterHandle } from "../support/cluster.ts";
import { eventually } from "../support/kube.ts";
import { demandRotation } from "../support/seal-keys.ts";
import { NAMESPACE, type OperatorProcess } from "./operator-harness.ts";
import { OperatorObjects } from "./operator-objects.ts";

describe("The operator on a real API server", function () {
  this.timeout(120_000);
  let at: OperatorObjects;
  let cluster: ClusterHandle;
  let operator: OperatorProcess;

  before(async function () {
    this.timeout(0);
    const opened = await OperatorObjects.open(this.test?.parent?.title, "operator-alone", "2s");
    if (opened === undefined) return this.skip();
    at = opened;
    ({ cluster, operator } = at.stage);
  });

  after(async () => await at?.close());

  describe("on its own", () => {
    it("leads with its own ServiceAccount's rights", async () => {
      await eventually("it leads", () => operator.log.includes('"msg":"leading"'));
      const denied = ["list secrets -n default", "list pods -A", "create pods -n cosign-system", "delete namespaces"];
      for (const action of denied) {
        const as = `system:serviceaccount:${NAMESPACE}:operator`;
        const answer = await cluster.run(
          [cluster.program("kubectl"), "auth", "can-i", ...action.split(" "), "--as", as],
          {
            env: { KUBECONFIG: cluster.kubeconfig },
          },
        );
        expect(answer.stdout.trim(), action).to.equal("no");
      }
    });

    it("makes certificates and webhook configurations, and puts them right when they are changed", async () => {
      const get = (name = "policy.sigstore.dev") =>
        at.live<
          KubeObject & {
            webhooks: {
              failurePolicy: string;
              matchConditions?: { name: string }[];
              clientConfig: { caBundle: string };
            }[];
          }
        >(Resources.validatingWebhookConfigurations, name);
      const first = await eventually("the configuration exists", () => get());
      expect(first.webhooks[0]?.failurePolicy).to.equal("Fail");
      const certs = await at.live<SecretObject>(Resources.secrets, "webhook-certs");
      expect(Object.keys(certs?.data ?? {})).to.have.members([
        "server-key.pem",
        "server-cert.pem",
        "ca-cert.pem",
        "ca-key.pem",
      ]);
      expect(first.webhooks[0]?.clientConfig.caBundle).to.equal(certs?.data?.["ca-cert.pem"]);

      const patch = JSON.stringify([
        { op: "replace", path: "/webhooks/0/failurePolicy", value: "Ignore" },
        { op: "add", path: "/webhooks/0/matchConditions", value: [{ name: "never", expression: "false" }] },
      ]);
      for (const name of ["updates.policy.sigstore.dev", "policy.sigstore.dev"]) {
        const found = await eventually(`${name} exists`, () => get(name));
        const right = canonicalJson(found.webhooks[0]?.matchConditions ?? []);
        await cluster.kubectl(["patch", "validatingwebhookconfiguration", name, "--type=json", "-p", patch]);
        await eventually(`the drift of ${name} is corrected`, async () => {
          const [webhook] = (await get(name))?.webhooks ?? [];
          return webhook?.failurePolicy === "Fail" && canonicalJson(webhook.matchConditions ?? []) === right;
        });
        await cluster.kubectl(["delete", "mutatingwebhookconfiguration", name]);
        await eventually(`the deleted ${name} is back`, () => at.live(Resources.mutatingWebhookConfigurations, name));
      }
    });

    it("replaces lost certificates, and the configurations follow", async () => {
      const before = await at.live<SecretObject>(Resources.secrets, "webhook-certs");
      await cluster.kubectl(["-n", NAMESPACE, "delete", "secret", "webhook-certs"]);
      await eventually("new certificates are trusted", async () => {
        const certs = await at.live<SecretObject>(Resources.secrets, "webhook-certs");
        const live_ = await at.live<KubeObject & { webhooks: { clientConfig: { caBundle: string } }[] }>(
          Resources.mutatingWebhookConfigurations,
          "policy.sigstore.dev",
        );
        const bundle = live_?.webhooks[0]?.clientConfig.caBundle;
        return (
          bundle !== undefined && bundle !== before?.data?.["ca-cert.pem"] && bundle === certs?.data?.["ca-cert.pem"]
        );
      });
    });

    it("makes seal keys, rotates them on demand, and shows them to nobody", async () => {
      const read = async () => {
        const found = await at.live<SecretObject>(Resources.secrets, "entrepot-seal-keys");
        const text = found?.data?.["jwks.json"];
        return text === undefined
          ? undefined
          : { keyring: parseKeyring(Buffer.from(text, "base64").toString()), found };
      };
      const before = await eventually("the keys exist", read);
      await demandRotation(cluster);
      const after = await eventually("the keys are rotated", async () => {
        const now = await read();
        return now !== undefined &&
          now.keyring.keys.length === 3 &&
          now.found?.metadata.annotations?.["entrepot.dev/rotate"] === undefined
          ? now
          : undefined;
      });
      expect(after.keyring.keys.map(({ kid, retired }) => [kid, retired === undefined])).to.deep.include([
        before.keyring.keys[0]?.kid,
        false,
      ]);
      for (const { d } of after.keyring.keys) expect(operator.log).to.not.contain(d);
    });

    it("says why it can't sign in to a registry, on it and on its rules, and lets both go in the end", async () => {
      await at.apply({
        ...at.registry("harbor-test"),
        spec: { harbor: { url: "https://harbor.example", auth: { secretRef: { name: "x" } } } },
      });
      await at.registrySays("harbor-test", "False SecretNotFound");
      await at.apply(at.rule("harbor-rule", "quay.io/*", "quay/*", { registryRef: { name: "harbor-test" } }));
      const refused = await at.ruleSays("harbor-rule", "Synced", "False SecretNotFound");
      expect(findCondition(refused.status?.conditions as readonly Condition[], "Ready")?.message).to.contain(
        'Secret "x"',
      );
      await at.apply(at.rule("orphan", "quay.io/*", "*", { registryRef: { name: "nowhere" } }));
      await at.ruleSays("orphan", "Ready", "False RegistryNotFound");
      await at.remove("cacherules", "harbor-rule", "orphan");
      await at.remove("cacheregistry", "harbor-test");
      await eventually("they are gone", async () => (await at.live(CACHE_REGISTRIES, "harbor-test")) === undefined);
    });

    it("never needed a right that it has not", () => at.expectRights());
  });
});
