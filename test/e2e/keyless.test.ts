import { expect } from "chai";
import { Stage } from "../support/e2e.ts";
import { Keyless } from "../support/sigstore/keyless.ts";
import type { Bearer } from "../support/sigstore/oidc.ts";
import { type Sigstore, startSigstore } from "../support/sigstore/sigstore.ts";
import { sigstoreKeys } from "../support/sigstore/trusted-root.ts";

const NS = "keyless";
const ACCOUNT: Bearer = { kind: "kubernetes", namespace: "default", serviceAccount: "default" };
const STRANGER: Bearer = { kind: "email", address: "stranger@example.com" };

describe("keyless signatures on a real node", () => {
  let stage: Stage;
  let sigstore: Sigstore;
  let keyless: Keyless;

  before(async function () {
    stage = await Stage.open(this);
    sigstore = await startSigstore();
    keyless = new Keyless(stage.cosign, sigstore);
    await stage.namespace(NS);
    await apply("TrustRoot", { sigstoreKeys: sigstoreKeys(sigstore) });
    await stage.wait("condition=Ready", "trustroot/keyless");
    await apply("ClusterImagePolicy", {
      images: [{ glob: `${stage.cluster.registry}/keyless/**` }],
      authorities: [
        {
          keyless: {
            url: sigstore.fulcio.url,
            trustRootRef: "keyless",
            identities: [
              {
                issuerRegExp: ".*kubernetes.default.*",
                subjectRegExp: ".*kubernetes.io/namespaces/default/serviceaccounts/default",
              },
            ],
          },
          ctlog: { trustRootRef: "keyless" },
        },
      ],
    });
    await stage.wait("condition=Ready", "clusterimagepolicy/keyless");
  });

  after(async () => {
    if (stage === undefined) return;
    await stage.kubectl("delete", "namespace", NS, "--ignore-not-found", "--wait=false");
    await stage.kubectl("delete", "clusterimagepolicy/keyless", "trustroot/keyless", "--ignore-not-found");
    keyless?.dispose();
    await sigstore?.stop();
    stage.close();
  });

  async function apply(kind: string, spec: object): Promise<void> {
    const object = { apiVersion: "policy.sigstore.dev/v1alpha1", kind, metadata: { name: "keyless" }, spec };
    await stage.apply(JSON.stringify(object));
  }

  const pod = (name: string, image: string) => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: ${NS}}
spec: {containers: [{name: app, image: ${image}}]}`;

  async function signed(repository: string, bearer: Bearer): Promise<string> {
    const image = await stage.cluster.pushImage({ repository: `keyless/${repository}`, tag: "v1" });
    await keyless.sign(image.pinned, bearer, { form: "bundle", log: 2, flags: ["--allow-http-registry"] });
    return image.reference;
  }

  it("run what the expected identity signed", async () => {
    await stage.apply(pod("believed", await signed("believed", ACCOUNT)));
    await stage.wait("condition=Ready", "pod/believed", "-n", NS);
  });

  it("refuse what another signed, and say who", async () => {
    const refusal = await stage.refusal(pod("stranger", await signed("stranger", STRANGER)));
    expect(refusal).to.contain('admission webhook "policy.sigstore.dev" denied the request: validation failed: ');
    expect(refusal).to.contain("none of the expected identities matched what was in the certificate, got subjects");
    expect(refusal).to.contain(`[stranger@example.com] with issuer ${sigstore.oidc.issuer("email")}`);
  });
});
