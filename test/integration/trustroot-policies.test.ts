// TrustRoots of each kind from kubectl to a decision: real API server, Fulcio, Rekor, timestamp authority and cosign; the product as processes.
import { expect } from "chai";
import type { Authority, Identity } from "../../crds/index.ts";
import type { ApiAnswer } from "../support/api-server.ts";
import { eventually } from "../support/kube.ts";
import { newAuthority } from "../support/sigstore/authority.ts";
import type { HowToSign } from "../support/sigstore/keyless.ts";
import type { Bearer } from "../support/sigstore/oidc.ts";
import { ProductStage, tufOf } from "../support/sigstore/product.ts";
import type { KeylessStage, StagedImage } from "../support/sigstore/stage.ts";
import { replaceByTripwires } from "../support/sigstore/tripwires.ts";
import { sigstoreKeys, type TrustMaterial } from "../support/sigstore/trusted-root.ts";
import { TufMirror } from "../support/tuf-repository.ts";

const DEFAULT: Bearer = { kind: "kubernetes", namespace: "default", serviceAccount: "default" };
const ANYONE: Identity = { issuerRegExp: ".*kubernetes.default.*", subjectRegExp: ".*" };
const STAMPED: HowToSign = { form: "classic" };
const BUNDLE: HowToSign = { form: "bundle", log: 2 };

describe("TrustRoots and who they make believed", function () {
  this.timeout(120_000);
  let product: ProductStage;
  let stage: KeylessStage;
  const extra: { stop(): Promise<void> }[] = [];

  before(async function () {
    this.timeout(0); // the first run on a machine builds Kubernetes, the servers and the policy engine
    product = await ProductStage.open();
    stage = product.stage;
  });

  after(async function () {
    this.timeout(120_000);
    await product?.close();
    await Promise.all(extra.map((server) => server.stop()));
  });

  const keyless = (trustRootRef: string, more: Authority): Authority => ({
    keyless: { url: "https://fulcio.example.com", trustRootRef, identities: [ANYONE] },
    ...more,
  });
  const byLog = (root: string): Authority => keyless(root, { ctlog: { trustRootRef: root } });
  const byTimestamp = (root: string): Authority => keyless(root, { rfc3161timestamp: { trustRootRef: root } });
  /** The material of this Sigstore but for whose certificates are believed. */
  const strangers = (): TrustMaterial => ({
    ...stage.sigstore,
    fulcio: { url: stage.sigstore.fulcio.url, chain: [newAuthority("stranger").pem] },
  });

  function admitted({ status, message }: ApiAnswer): void {
    expect(status, message).to.equal(201);
  }

  function denied({ status, message }: ApiAnswer, policy: string, words: string): void {
    expect(status, message).to.equal(400);
    for (const part of [`failed policy: ${policy}: spec.containers[0].image`, words])
      expect(message.includes(part), `"${part}" is not in: ${message}`).to.equal(true);
  }

  async function signed(marker: string, how: HowToSign): Promise<StagedImage> {
    const image = await stage.image(marker);
    await stage.keyless.sign(image.pinned, DEFAULT, how);
    return image;
  }

  /** Policies on images called `<name>-log` and `<name>-tsa`, and what they make of signatures in both forms. */
  async function believes(name: string): Promise<void> {
    await product.policy(`${name}-log`, { images: [{ glob: `**/${name}-log-*` }], authorities: [byLog(name)] });
    await product.policy(`${name}-tsa`, { images: [{ glob: `**/${name}-tsa-*` }], authorities: [byTimestamp(name)] });
    for (const how of [BUNDLE, { ...STAMPED, log: 1, timestamp: false }] as const)
      admitted(await product.admit(await signed(`${name}-log`, how)));
    for (const how of [BUNDLE, STAMPED]) admitted(await product.admit(await signed(`${name}-tsa`, how)));
    const unlogged = await signed(`${name}-log`, STAMPED);
    denied(await product.admit(unlogged), `${name}-log`, "signature not found in transparency log");
    const unstamped = await signed(`${name}-tsa`, { ...STAMPED, log: 1, timestamp: false });
    denied(await product.admit(unstamped), `${name}-tsa`, "timestamp");
    denied(await product.admit(await stage.image(`${name}-tsa`)), `${name}-tsa`, "no signatures found");
  }

  it("of keys of one's own", async () => {
    await product.trustRoot("own-keys", { sigstoreKeys: sigstoreKeys(stage.sigstore) });
    await believes("own-keys");
  });

  it("of a mirror", async () => {
    const tuf = tufOf(stage.sigstore);
    const mirror = new TufMirror(tuf.files);
    extra.push(mirror);
    const remote = { mirror: await mirror.start(), root: tuf.root() };
    await product.trustRoot("mirrored", { remote });
    await believes("mirrored");
  });

  it("of a repository in the object itself", async () => {
    const tuf = tufOf(stage.sigstore);
    await product.trustRoot("in-place", { repository: { root: tuf.root(), mirrorFS: tuf.archive() } });
    await believes("in-place");
  });

  it("of others make nobody of ours believed", async () => {
    await product.trustRoot("strangers", { sigstoreKeys: sigstoreKeys(strangers()) });
    await product.policy("strangers", {
      images: [{ glob: "**/strangers-*" }],
      authorities: [byTimestamp("strangers")],
    });
    denied(
      await product.admit(await signed("strangers", STAMPED)),
      "strangers",
      "certificate signed by unknown authority",
    );
  });

  it("that are missing make nobody believed, and the message says which", async () => {
    const authority = byTimestamp("not-there");
    await product.apply({
      apiVersion: "policy.sigstore.dev/v1alpha1",
      kind: "ClusterImagePolicy",
      metadata: { name: "not-there" },
      spec: { images: [{ glob: "**/not-there-*" }], authorities: [authority] },
    });
    const image = await signed("not-there", STAMPED);
    await eventually("a refusal by that policy", async () => {
      const { message } = await product.admit(image);
      return message.includes("failed policy: not-there") && message.includes("trustRootRef not-there not found");
    });
    await product.trustRoot("not-there", { sigstoreKeys: sigstoreKeys(stage.sigstore) });
    await eventually("belief", async () => (await product.admit(image)).status === 201);
  });

  it("that change change who is believed, from the next Pod on", async () => {
    await product.trustRoot("rotated", { sigstoreKeys: sigstoreKeys(stage.sigstore) });
    await product.policy("rotated", { images: [{ glob: "**/rotated-*" }], authorities: [byTimestamp("rotated")] });
    const image = await signed("rotated", STAMPED);
    admitted(await product.admit(image));
    await product.trustRoot("rotated", { sigstoreKeys: sigstoreKeys(strangers()) });
    const refusal = await eventually("a refusal", async () => {
      const answer = await product.admit(image);
      return answer.status === 400 && answer;
    });
    denied(refusal, "rotated", "certificate signed by unknown authority");
    await product.trustRoot("rotated", { sigstoreKeys: sigstoreKeys(stage.sigstore) });
    await eventually("belief again", async () => (await product.admit(image)).status === 201);
  });

  it("of a mirror that changes change it too, and one that is gone changes nothing", async () => {
    const tuf = tufOf(stage.sigstore);
    const mirror = new TufMirror(tuf.files);
    extra.push(mirror);
    const remote = { mirror: await mirror.start(), root: tuf.root() };
    await product.trustRoot("moving", { remote });
    await product.policy("moving", { images: [{ glob: "**/moving-*" }], authorities: [byTimestamp("moving")] });
    const image = await signed("moving", STAMPED);
    admitted(await product.admit(image));
    tuf.targets.set(
      "trusted_root.json",
      tufOf(strangers()).targets.get("trusted_root.json") ?? { content: Buffer.of() },
    );
    tuf.publish();
    await eventually("a refusal", async () => (await product.admit(image)).status === 400);
    const asked = mirror.requests.length;
    await mirror.stop();
    expect(asked).to.be.greaterThan(0);
    denied(await product.admit(image), "moving", "certificate signed by unknown authority");
  });

  it("can be replaced by certificates in the policy", async () => {
    const { chain } = stage.sigstore.fulcio;
    const authority = (pem: string): Authority => ({
      keyless: { "ca-cert": { data: pem }, identities: [ANYONE] },
      rfc3161timestamp: { trustRootRef: "certificates" },
    });
    await product.trustRoot("certificates", { sigstoreKeys: sigstoreKeys(stage.sigstore) });
    await product.policy("ca-cert", { images: [{ glob: "**/ca-cert-*" }], authorities: [authority(chain.join(""))] });
    const image = await signed("ca-cert", STAMPED);
    admitted(await product.admit(image));
    const stranger = authority(newAuthority("stranger").pem);
    await product.policy("other-ca", { images: [{ glob: "**/ca-cert-*" }], authorities: [stranger] });
    denied(await product.admit(image), "other-ca", "certificate signed by unknown authority");
  });

  it("need no server of Sigstore, only what a signature brings", async () => {
    await product.trustRoot("offline", { sigstoreKeys: sigstoreKeys(stage.sigstore) });
    await product.policy("offline-log", { images: [{ glob: "**/offline-log-*" }], authorities: [byLog("offline")] });
    await product.policy("offline-tsa", {
      images: [{ glob: "**/offline-tsa-*" }],
      authorities: [byTimestamp("offline")],
    });
    const logged = await signed("offline-log", BUNDLE);
    const stamped = await signed("offline-tsa", STAMPED);
    const unsigned = await stage.image("offline-tsa");
    const { requests, ...tripwires } = await replaceByTripwires(stage.sigstore); // the last test: there is no way back
    extra.push(tripwires);
    for (const image of [logged, stamped]) admitted(await product.admit(image));
    denied(await product.admit(unsigned), "offline-tsa", "no signatures found");
    expect(requests).to.deep.equal([]);
  });
});
