import { expect } from "chai";
import { readConfig } from "../../core/admission/config.ts";
import { ADMISSION_NAME, type WebhookConfiguration, webhookConfigurations } from "../../core/webhookconfig/desired.ts";
import { hasDrifted } from "../../core/webhookconfig/drift.ts";
import { READS_NOTHING } from "../../core/webhookconfig/reads.ts";
import { REWRITING_NAME, type RewriteMode, rewritingConfiguration } from "../../core/webhookconfig/rewriting.ts";
import { type EnforcementScope, OPT_IN } from "../../core/webhookconfig/scope.ts";

const INPUT = {
  servicePort: 443,
  namespace: "cosign-system",
  caBundle: "PEM-A\n",
  namespaceUid: "uid-ns",
  scope: OPT_IN,
  reads: READS_NOTHING,
};

function configuration(mode: RewriteMode, scope: EnforcementScope = OPT_IN): WebhookConfiguration {
  const found = rewritingConfiguration({ ...INPUT, scope }, mode);
  if (found === undefined) throw new Error(`no configuration for ${mode}`);
  return found;
}

const modeOf = (value: string | undefined): RewriteMode =>
  readConfig(value === undefined ? undefined : { "dev.entrepot.rewrite-images": value }).config.rewriteImages;

describe("the webhook configuration of rewriting", () => {
  it("holds up no Pod, and asks about new Pods and their ephemeral containers alone", () => {
    expect(configuration("labelled")).to.deep.equal({
      apiVersion: "admissionregistration.k8s.io/v1",
      kind: "MutatingWebhookConfiguration",
      metadata: { ...webhookConfigurations(INPUT)[0]?.metadata, name: "rewriting.entrepot.dev" },
      webhooks: [
        {
          name: "rewriting.entrepot.dev",
          admissionReviewVersions: ["v1"],
          clientConfig: {
            caBundle: Buffer.from("PEM-A\n").toString("base64"),
            service: { namespace: "cosign-system", name: "webhook", path: "/rewriting", port: 443 },
          },
          failurePolicy: "Ignore",
          matchPolicy: "Equivalent",
          sideEffects: "None",
          reinvocationPolicy: "IfNeeded",
          timeoutSeconds: 5,
          rules: [
            { apiGroups: [""], apiVersions: ["v1"], operations: ["CREATE"], resources: ["pods"], scope: "Namespaced" },
            {
              apiGroups: [""],
              apiVersions: ["v1"],
              operations: ["UPDATE"],
              resources: ["pods/ephemeralcontainers"],
              scope: "Namespaced",
            },
          ],
          namespaceSelector: {
            matchExpressions: [
              { key: "entrepot.dev/rewrite", operator: "In", values: ["enabled"] },
              { key: "kubernetes.io/metadata.name", operator: "NotIn", values: ["cosign-system", "kube-system"] },
            ],
          },
          objectSelector: {
            matchExpressions: [{ key: "entrepot.dev/rewrite", operator: "NotIn", values: ["disabled"] }],
          },
        },
      ],
    });
  });

  it("comes after verification of a new Pod, in the order of the API server: by name", () => {
    expect([REWRITING_NAME, ADMISSION_NAME].sort()).to.deep.equal([ADMISSION_NAME, REWRITING_NAME]);
  });

  it("is not there when rewriting is off", () => {
    expect(rewritingConfiguration(INPUT, "off")).to.equal(undefined);
  });

  it("goes by the ConfigMap; without it, and for what it does not know, by label", () => {
    expect(["off", "labelled", "all", undefined, "On"].map(modeOf)).to.deep.equal([
      "off",
      "labelled",
      "all",
      "labelled",
      "labelled",
    ]);
  });

  const scopes: readonly EnforcementScope["kind"][] = ["opt-in", "cluster"];
  const selected = {
    labelled: { key: "entrepot.dev/rewrite", operator: "In", values: ["enabled"] },
    all: { key: "entrepot.dev/rewrite", operator: "NotIn", values: ["disabled"] },
  };
  for (const kind of scopes)
    for (const mode of ["labelled", "all"] as const)
      it(`mode ${mode}, verification ${kind}: looks at these namespaces, and never at those excluded by name`, () => {
        const { webhooks } = configuration(mode, { kind, excluded: ["monitoring", "kube-system"] });
        expect(webhooks[0]?.["namespaceSelector"]).to.deep.equal({
          matchExpressions: [
            selected[mode],
            {
              key: "kubernetes.io/metadata.name",
              operator: "NotIn",
              values: ["cosign-system", "kube-system", "monitoring"],
            },
          ],
        });
      });

  it("has drifted when it is of another mode, or holds up Pods", () => {
    const wanted = configuration("labelled");
    expect(hasDrifted(wanted, structuredClone(wanted))).to.equal(false);
    expect(hasDrifted(wanted, configuration("all"))).to.equal(true);
    const blocking = { ...wanted, webhooks: wanted.webhooks.map((one) => ({ ...one, failurePolicy: "Fail" })) };
    expect(hasDrifted(wanted, blocking)).to.equal(true);
  });
});
