import { sign } from "node:crypto";
import { preAuthEncoding } from "../../adapters/sigstore/envelope.ts";
import type { Digest } from "../../core/image/reference.ts";
import { parseManifest } from "../../core/registry/descriptor.ts";
import { OCI_INDEX, OCI_MANIFEST } from "../../core/registry/media-types.ts";
import { generatePem, type PemPair } from "./keys.ts";
import { getBlob, getManifest, putBlob, putManifest } from "./registry.ts";
import type { PushedImage, SigningBench } from "./signing.ts";

export const DSSE = "application/vnd.dsse.envelope.v1+json";
export const IN_TOTO = "application/vnd.in-toto+json";
export const TYPE = "https://example.com/predicate/v1";

/** A layer to be stored: its bytes, and what the manifest says of it. */
export interface Layer {
  readonly bytes: Buffer;
  readonly mediaType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** An in-toto statement about an image, as cosign makes it. */
export function statementAbout(digest: Digest, more: object = {}): Buffer {
  const subject = [{ name: "anything at all", digest: { sha256: digest.slice("sha256:".length) } }];
  const statement = { _type: "https://in-toto.io/Statement/v0.1", predicateType: TYPE, subject, predicate: {} };
  return Buffer.from(JSON.stringify({ ...statement, ...more }));
}

/** A DSSE envelope around `payload` with these signatures. */
export function envelopeOf(payload: Buffer, signatures: readonly Buffer[], payloadType = IN_TOTO): Buffer {
  const all = signatures.map((sig) => ({ keyid: "", sig: sig.toString("base64") }));
  return Buffer.from(JSON.stringify({ payloadType, payload: payload.toString("base64"), signatures: all }));
}

/** Makes and stores attestations that cosign would not make. */
export class Attester {
  readonly pair: PemPair = generatePem("P-256");
  readonly #bench: SigningBench;
  #serial = 0;

  constructor(bench: SigningBench) {
    this.#bench = bench;
  }

  /** The signature of an envelope's content. */
  sign(payload: Buffer, payloadType = IN_TOTO): Buffer {
    return sign("sha256", preAuthEncoding(payloadType, payload), this.pair.signer);
  }

  /** An envelope that is signed as it should be. */
  signed(payload: Buffer): Buffer {
    return envelopeOf(payload, [this.sign(payload)]);
  }

  async #manifest(image: PushedImage, layers: readonly Layer[], artifactType?: string): Promise<Buffer> {
    const { registry } = this.#bench;
    const { repository } = image.reference;
    const config = { mediaType: "application/json", digest: await putBlob(registry, repository, Buffer.from("{}")) };
    const stored = layers.map(async ({ bytes, mediaType = DSSE, annotations = {} }) => ({
      mediaType,
      digest: await putBlob(registry, repository, bytes),
      size: bytes.length,
      annotations: { "dev.cosignproject.cosign/signature": "", ...annotations },
    }));
    return Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: OCI_MANIFEST,
        ...(artifactType !== undefined && { artifactType }),
        config: { ...config, size: 2 },
        layers: await Promise.all(stored),
      }),
    );
  }

  /** Stores layers under the `.att` tag of `image`. */
  async tag(image: PushedImage, ...layers: readonly Layer[]): Promise<void> {
    const tag = `${image.digest.replace(":", "-")}.att`;
    await putManifest(this.#bench.registry, image.reference.repository, tag, await this.#manifest(image, layers));
  }

  /** Stores layers as one referrer of `image`, under the fallback tag. */
  async refer(image: PushedImage, layers: readonly Layer[], artifactType: string = IN_TOTO): Promise<void> {
    const { repository } = image.reference;
    const manifest = await this.#manifest(image, layers, artifactType);
    const digest = await putManifest(this.#bench.registry, repository, `referrer-${++this.#serial}`, manifest);
    const descriptor = { mediaType: OCI_MANIFEST, artifactType, digest, size: manifest.length };
    const index = { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [descriptor] };
    await putManifest(this.#bench.registry, repository, image.digest.replace(":", "-"), index, OCI_INDEX);
  }

  /** The layers that cosign stored under the `.att` tag of `image`. */
  async layers(image: PushedImage): Promise<readonly (Layer & { readonly digest: Digest })[]> {
    const { registry } = this.#bench;
    const { repository } = image.reference;
    const bytes = await getManifest(registry, repository, `${image.digest.replace(":", "-")}.att`);
    const layers = parseManifest(bytes.toString("utf8"))?.layers ?? [];
    const read = layers.map(async ({ digest, mediaType, annotations }) => ({
      digest,
      mediaType,
      annotations: Object.fromEntries(annotations),
      bytes: await getBlob(registry, repository, digest),
    }));
    return Promise.all(read);
  }
}
