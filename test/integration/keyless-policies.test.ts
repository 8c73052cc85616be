// policy-controller's own end-to-end policies, against a Sigstore made here: real API server, real cosign; the product as processes.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { load } from "js-yaml";
import type { Authority, ClusterImagePolicySpec } from "../../crds/index.ts";
import type { ApiAnswer } from "../support/api-server.ts";
import { SAMPLES } from "../support/conformance.ts";
import type { KeyPair } from "../support/cosign.ts";
import type { HowToSign } from "../support/sigstore/keyless.ts";
import type { Bearer } from "../support/sigstore/oidc.ts";
import { ProductStage } from "../support/sigstore/product.ts";
import type { KeylessStage, StagedImage } from "../support/sigstore/stage.ts";

const FOLDER = join(SAMPLES, "e2e");

const DEFAULT: Bearer = { kind: "kubernetes", namespace: "default", serviceAccount: "default" };
const OTHER: Bearer = { kind: "kubernetes", namespace: "default", serviceAccount: "other" };
const OTHER_URI = "https://kubernetes.io/namespaces/default/serviceaccounts/other";
const LOGGED: HowToSign = { form: "classic", log: 1, timestamp: false };
const VULNERABILITIES = {
  invocation: { uri: "invocation.example.com/cosign-testing" },
  scanner: { uri: "fakescanner.example.com/cosign-testing" },
  metadata: { scanStartedOn: "2022-04-12T00:00:00Z", scanFinishedOn: "2022-04-12T00:10:00Z" },
};

describe("policy-controller's own scenarios with keyless signatures", function () {
  this.timeout(120_000);
  let product: ProductStage;
  let stage: KeylessStage;
  let keys: KeyPair;

  before(async function () {
    if (!existsSync(FOLDER)) {
      console.log("      skipped: policy-controller's samples are not here (set ENTREPOT_CONFORMANCE to their folder)");
      this.skip();
    }
    this.timeout(0); // the first run on a machine builds Kubernetes, the servers and the policy engine
    product = await ProductStage.open();
    stage = product.stage;
    keys = await stage.cosign.generateKeyPair("policies");
  });

  after(async function () {
    this.timeout(120_000);
    await product?.close();
  });

  /** A sample with this Sigstore's Rekor, our key, and only the images called `demo-…` by `marker`. */
  function sample(file: string, marker: string): ClusterImagePolicySpec {
    const { spec } = load(readFileSync(join(FOLDER, `${file}.yaml`), "utf8")) as { spec: ClusterImagePolicySpec };
    const adapted = (authority: Authority): Authority => ({
      ...authority,
      ...(authority.key?.data !== undefined && { key: { data: keys.publicKey } }),
      ...(authority.ctlog !== undefined && { ctlog: { url: stage.sigstore.rekorV1.url } }),
    });
    return { ...spec, images: [{ glob: `**${marker}**` }], authorities: (spec.authorities ?? []).map(adapted) };
  }

  function admitted({ status, message }: ApiAnswer): void {
    expect(status, message).to.equal(201);
  }

  function denied({ status, message }: ApiAnswer, policy: string, ...words: readonly string[]): void {
    expect(status, message).to.equal(400);
    expect(message).to.contain('admission webhook "policy.sigstore.dev" denied the request: validation failed: ');
    expect(message).to.contain(`failed policy: ${policy}: spec.containers[0].image`);
    for (const word of words) expect(message.includes(word), `"${word}" is not in: ${message}`).to.equal(true);
  }

  const byKey = (how: HowToSign = LOGGED): HowToSign => ({ ...how, key: keys.key });
  const sign = (image: StagedImage, bearer = DEFAULT, how = LOGGED) => stage.keyless.sign(image.pinned, bearer, how);
  const attest = (image: StagedImage, type: string, predicate: object | string, how = LOGGED) =>
    stage.keyless.attest(image.pinned, DEFAULT, type, predicate, how);

  /** What admission says of a new image on which `steps` were taken. A denial is remembered for seconds, so each asks once. */
  async function answerTo(
    name: string,
    ...steps: readonly ((image: StagedImage) => Promise<void>)[]
  ): Promise<ApiAnswer> {
    const image = await stage.image(name);
    for (const step of steps) await step(image);
    return product.admit(image);
  }

  it("keyless with identities: who signed decides, in either form", async () => {
    const [policy, name] = ["keyless-identities", "demo-identities"];
    await product.policy(policy, sample("cip-keyless-with-identities", name));
    denied(await answerTo(name), policy, "no signatures found");
    const issuer = stage.sigstore.oidc.issuer("kubernetes");
    const words = `got subjects [${OTHER_URI}] with issuer ${issuer}`;
    const forms: readonly HowToSign[] = [LOGGED, { form: "bundle", log: 2 }];
    for (const how of forms) {
      denied(
        await answerTo(name, (image) => sign(image, OTHER, how)),
        policy,
        `none of the expected identities matched what was in the certificate, ${words}`,
      );
      admitted(await answerTo(name, (image) => sign(image, DEFAULT, how)));
    }
    const unlogged = await answerTo(name, (image) => sign(image, DEFAULT, { form: "classic" }));
    denied(unlogged, policy, "signature not found in transparency log");
  });

  it("key in a Secret, and in the log", async () => {
    const [policy, name] = ["key-secret", "demo-secret"];
    await product.secret("cip-secret", { "cosign.pub": keys.publicKey });
    await product.policy(policy, sample("cip-key-secret", name));
    denied(await answerTo(name, sign), policy, "no matching signatures");
    admitted(await answerTo(name, (image) => sign(image, DEFAULT, byKey())));
    const unlogged = await answerTo(name, (image) =>
      sign(image, DEFAULT, byKey({ form: "classic", timestamp: false })),
    );
    denied(unlogged, policy, "signature not found in transparency log");
  });

  it("attestations by a key: CUE says what is wrong with them", async () => {
    const [policy, name] = ["key-attestations", "demo-attested"];
    await product.policy(policy, sample("cip-key-with-attestations", name));
    const saying = (text: string) => (image: StagedImage) => attest(image, "custom", text, byKey());
    denied(await answerTo(name), policy, "no matching attestations");
    const words =
      "failed evaluating cue policy for custom-match-predicate: failed to evaluate the policy with error: " +
      'predicate.Data: conflicting values "foobar wrong" and "foobar key e2e test"';
    denied(await answerTo(name, saying("foobar wrong")), policy, words);
    admitted(await answerTo(name, saying("foobar key e2e test")));
    admitted(await answerTo(name, saying("foobar wrong"), saying("foobar key e2e test")));
  });

  it("attestations under a tag prefix", async () => {
    const [policy, name] = ["source-prefix", "demo-prefix"];
    await product.policy(policy, sample("cip-keyless-with-source-prefix-tag", name));
    const text = "foobar prefix e2e test";
    denied(await answerTo(name, (image) => attest(image, "custom", text)), policy, "no matching attestations");
    const prefixed = (said: string) => (image: StagedImage) =>
      attest(image, "custom", said, { ...LOGGED, flags: ["--attachment-tag-prefix=sigprefix"] });
    denied(await answerTo(name, prefixed("foobar")), policy, `conflicting values "foobar" and "${text}"`);
    admitted(await answerTo(name, prefixed(text)));
  });

  describe("two signatures and two attestations", () => {
    const file = "cip-requires-two-signatures-and-two-attestations";
    const steps: Readonly<Record<string, (image: StagedImage) => Promise<void>>> = {
      keylesssignature: sign,
      keysignature: (image) => sign(image, DEFAULT, byKey()),
      customkeyless: (image) => attest(image, "custom", "foobar e2e test"),
      vulnkeyless: (image) => attest(image, "vuln", VULNERABILITIES),
      keyatt: (image) => attest(image, "custom", "foobar key e2e test", byKey()),
    };

    it("are enough; with nothing, every authority says what it misses", async () => {
      const [policy, name] = ["two-and-two", "demo-two"];
      await product.policy(policy, sample(file, name));
      admitted(await answerTo(name, ...Object.values(steps)));
      denied(await answerTo(name), policy, "no signatures found", "no matching attestations");
      denied(
        await answerTo(name, (image) => attest(image, "custom", "foobar e2e test")),
        policy,
        "no matching attestations with type https://cosign.sigstore.dev/attestation/vuln/v1",
      );
    });

    // The sample's CUE does not ask for what is absent (cosign validates without `Concrete`): Rego does.
    it("none of which may be missing, where the policy says so in Rego", async () => {
      const [policy, name] = ["all-of-two-and-two", "demo-all"];
      const data = `package sigstore
        isCompliant {
          count(input.authorityMatches.keylessatt.attestations) == 2
          count(input.authorityMatches.keyatt.attestations) == 1
          count(input.authorityMatches.keylesssignature.signatures) == 1
          count(input.authorityMatches.keysignature.signatures) == 1
        }`;
      await product.policy(policy, { ...sample(file, name), policy: { type: "rego", data } });
      admitted(await answerTo(name, ...Object.values(steps)));
      const without = Object.keys(steps).map((missing) => {
        const others = Object.entries(steps).flatMap(([step, take]) => (step === missing ? [] : [take]));
        return answerTo(name, ...others);
      });
      const words =
        "failed evaluating rego policy for type ClusterImagePolicy: " +
        "policy is not compliant for query 'isCompliant = data.sigstore.isCompliant'";
      for (const answer of await Promise.all(without)) denied(answer, policy, words);
    });
  });

  it("mode warn: admitted, and the same words as warnings", async () => {
    const [policy, name] = ["keyless-warns", "demo-warned"];
    await product.policy(policy, { ...sample("cip-keyless-with-identities", name), mode: "warn" });
    const warned = await answerTo(name, (image) => sign(image, OTHER));
    admitted(warned);
    const text = warned.warnings.join("\n");
    expect(text).to.contain(`failed policy: ${policy}: spec.containers[0].image`);
    expect(text).to.contain("none of the expected identities matched what was in the certificate");
    const silent = await answerTo(name, sign);
    admitted(silent);
    expect(silent.warnings).to.deep.equal([]);
  });
});
