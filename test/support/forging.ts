import { sign } from "node:crypto";
import { systemClock } from "../../adapters/clock.ts";
import { createRegistryClient, type RegistryClient } from "../../adapters/registry/client.ts";
import type { Candidate } from "../../adapters/sigstore/candidate.ts";
import { createCandidateVerifier } from "../../adapters/sigstore/verification.ts";
import { type Digest, parseReference } from "../../core/image/reference.ts";
import type { AuthorityOutcome } from "../../core/policy/types.ts";
import { ANONYMOUS } from "../../core/registry/keychain.ts";
import { OCI_INDEX, OCI_MANIFEST, SIMPLE_SIGNING } from "../../core/registry/media-types.ts";
import { Cosign, type KeyPair } from "./cosign.ts";
import { generatePem, type PemPair } from "./keys.ts";
import { pushTinyImage, putBlob, putManifest, startRegistry, type TestRegistry } from "./registry.ts";
import { keyAuthority, verifierOf } from "./verifying.ts";

export const SIGNATURE = "dev.cosignproject.cosign/signature";
export const BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json";
/** Where all images and signatures of a forger lie. */
export const REPOSITORY = "app";

/** A copy with one bit changed. */
export function flipped(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
}

/** A simple-signing payload as cosign makes it. */
export function payloadFor(digest: string, critical: object = {}): Buffer {
  const image = { "docker-manifest-digest": digest };
  const identity = { "docker-reference": "anything at all" };
  return Buffer.from(
    JSON.stringify({
      critical: { identity, image, type: "cosign container image signature", ...critical },
      optional: null,
    }),
  );
}

/** An in-toto statement as cosign makes it. */
export function statementFor(digest: string, more: object = {}): Buffer {
  const subject = [{ digest: { sha256: digest.slice("sha256:".length) } }];
  const predicateType = "https://sigstore.dev/cosign/sign/v1";
  return Buffer.from(
    JSON.stringify({ _type: "https://in-toto.io/Statement/v1", subject, predicateType, predicate: {}, ...more }),
  );
}

/** A bundle around a DSSE envelope. */
export function envelope(
  payload: Buffer,
  signatures: readonly Buffer[],
  payloadType = "application/vnd.in-toto+json",
): object {
  const sigs = signatures.map((sig) => ({ sig: sig.toString("base64"), keyid: "" }));
  return {
    mediaType: BUNDLE,
    verificationMaterial: { publicKey: { hint: "" } },
    dsseEnvelope: { payload: payload.toString("base64"), payloadType, signatures: sigs },
  };
}

/** The annotation that makes a layer a signature. */
export function annotated(signature: Buffer): Readonly<Record<string, string>> {
  return { [SIGNATURE]: signature.toString("base64") };
}

/** Makes and stores signatures that cosign would not make. */
export class Forger {
  readonly registry: TestRegistry;
  readonly cosign: Cosign;
  /** Signs with the real cosign. */
  readonly alice: KeyPair;
  /** Signs here. */
  readonly own: PemPair = generatePem("P-256");
  readonly #client: RegistryClient = createRegistryClient();
  #serial = 0;

  private constructor(registry: TestRegistry, cosign: Cosign, alice: KeyPair) {
    this.registry = registry;
    this.cosign = cosign;
    this.alice = alice;
  }

  /** Builds cosign and the registry first if this machine has none yet: call it in `before` with `this.timeout(0)`. */
  static async start(): Promise<Forger> {
    const cosign = await Cosign.create();
    return new Forger(await startRegistry(), cosign, await cosign.generateKeyPair("alice"));
  }

  async stop(): Promise<void> {
    await this.#client.close();
    await this.registry.stop();
    this.cosign.dispose();
  }

  push(): Promise<Digest> {
    return pushTinyImage(this.registry, REPOSITORY, `t${++this.#serial}`);
  }

  sign(data: Buffer): Buffer {
    return sign("sha256", data, this.own.signer);
  }

  verify(digest: Digest, publicKey = this.own.publicKey): Promise<AuthorityOutcome> {
    const reference = parseReference(`${this.registry.host}/${REPOSITORY}@${digest}`);
    const signal = AbortSignal.timeout(30_000);
    return verifierOf(this.#client)({ reference, digest }, keyAuthority([publicKey]), ANONYMOUS, signal);
  }

  /** Whether a candidate is one of alice's. */
  async counts(candidate: Candidate): Promise<boolean> {
    const verify = createCandidateVerifier({ clock: systemClock });
    const { kind } = await verify(candidate, keyAuthority([this.alice.publicKey]), new AbortController().signal);
    return kind === "verified";
  }

  /** Stores a classic signature for `digest`, whatever it says. */
  async putClassic(digest: Digest, payload: Buffer, annotations: Readonly<Record<string, string>>): Promise<void> {
    const config = await putBlob(this.registry, REPOSITORY, Buffer.from("{}"));
    const layer = {
      mediaType: SIMPLE_SIGNING,
      digest: await putBlob(this.registry, REPOSITORY, payload),
      size: payload.length,
      annotations,
    };
    await putManifest(this.registry, REPOSITORY, `${digest.replace(":", "-")}.sig`, {
      schemaVersion: 2,
      mediaType: OCI_MANIFEST,
      config: { mediaType: "application/json", digest: config, size: 2 },
      layers: [layer],
    });
  }

  /** Stores a bundle that refers to `digest`, whatever it says. */
  async putBundle(digest: Digest, bundle: object | Buffer, mediaType: string = BUNDLE): Promise<void> {
    const bytes = Buffer.isBuffer(bundle) ? bundle : Buffer.from(JSON.stringify(bundle));
    const config = await putBlob(this.registry, REPOSITORY, Buffer.from("{}"));
    const layer = { mediaType, digest: await putBlob(this.registry, REPOSITORY, bytes), size: bytes.length };
    const manifest = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: OCI_MANIFEST,
        artifactType: mediaType,
        config: { mediaType: "application/vnd.oci.empty.v1+json", digest: config, size: 2 },
        layers: [layer],
      }),
    );
    const referrer = await putManifest(this.registry, REPOSITORY, `referrer-${++this.#serial}`, manifest);
    const descriptor = { mediaType: OCI_MANIFEST, artifactType: mediaType, digest: referrer, size: manifest.length };
    await putManifest(
      this.registry,
      REPOSITORY,
      digest.replace(":", "-"),
      { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [descriptor] },
      OCI_INDEX,
    );
  }
}
