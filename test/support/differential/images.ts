// The images that both systems are asked about: made and signed once by the real cosign, as v0.13.1 of policy-controller can verify it.
import type { Digest } from "../../../core/image/reference.ts";
import { OCI_INDEX, OCI_MANIFEST } from "../../../core/registry/media-types.ts";
import type { Cosign, KeyPair } from "../cosign.ts";
import { getBlob, getManifest, pushTinyImage, putBlob, putManifest, sha256, type TestRegistry } from "../registry.ts";

/** What is known of an image: who signed it, in what form, what is attested. */
export type ImageKind =
  | "unsigned"
  | "signed"
  | "other"
  | "both"
  | "prefixed"
  | "attested"
  | "scanned"
  | "everything"
  | "bundle"
  | "bundle-attested"
  | "multi";

export interface Keys {
  readonly a: KeyPair;
  readonly b: KeyPair;
}

export const CUSTOM = "https://cosign.sigstore.dev/attestation/v1";
export const VULN = "https://cosign.sigstore.dev/attestation/vuln/v1";
const OFFLINE = ["--use-signing-config=false", "--tlog-upload=false", "--yes"] as const;
const CLASSIC = "--new-bundle-format=false";
const BUNDLE = "--new-bundle-format=true";
const CONFIG = "application/vnd.oci.image.config.v1+json";

/** Makes and copies images in one registry. */
export class Images {
  readonly #registry: TestRegistry;
  readonly #cosign: Cosign;
  readonly #keys: Keys;
  readonly #made = new Map<ImageKind, Promise<Digest>>();

  constructor(registry: TestRegistry, cosign: Cosign, keys: Keys) {
    this.#registry = registry;
    this.#cosign = cosign;
    this.#keys = keys;
  }

  /** Puts an image of that kind, with all that is said about it, into a repository of `to` under the tag v1. */
  async put(kind: ImageKind, to: TestRegistry, repository: string): Promise<Digest> {
    const digest = this.#made.get(kind) ?? this.#make(kind);
    this.#made.set(kind, digest);
    await digest;
    await copyRepository([this.#registry, `made/${kind}`], [to, repository]);
    return digest;
  }

  async #make(kind: ImageKind): Promise<Digest> {
    const repository = `made/${kind}`;
    const digest =
      kind === "multi"
        ? await this.#pushIndex(repository)
        : await pushTinyImage(this.#registry, repository, "v1", kind);
    const image = `${this.#registry.host}/${repository}@${digest}`;
    const { a, b } = this.#keys;
    const sign = (by: KeyPair, form: string) => this.#cosign.run("sign", "--key", by.key, ...OFFLINE, form, image);
    const attest = (by: KeyPair, type: string, predicate: string, form: string) =>
      this.#cosign.run("attest", "--key", by.key, ...OFFLINE, form, "--type", type, "--predicate", predicate, image);
    if (kind === "signed" || kind === "both" || kind === "everything" || kind === "prefixed") await sign(a, CLASSIC);
    if (kind === "prefixed") await this.#prefix(repository, `${digest.replace(":", "-")}.sig`);
    if (kind === "other" || kind === "both") await sign(b, CLASSIC);
    if (kind === "bundle") await sign(a, BUNDLE);
    if (kind === "attested" || kind === "everything") await attest(a, "custom", this.#file("foobar"), CLASSIC);
    if (kind === "scanned" || kind === "everything") await attest(a, "vuln", this.#file(SCAN), CLASSIC);
    if (kind === "bundle-attested") await attest(a, "custom", this.#file("foobar"), BUNDLE);
    return digest;
  }

  /** Moves a signature to a tag with a prefix, as `COSIGN_TAG_PREFIX` of older versions would have put it. */
  async #prefix(repository: string, tag: string): Promise<void> {
    const signature = await getManifest(this.#registry, repository, tag);
    await putManifest(this.#registry, repository, `prefix-${tag}`, signature);
  }

  /** For two platforms, with configurations that say who runs. */
  async #pushIndex(repository: string): Promise<Digest> {
    const manifests = await Promise.all(
      [
        { os: "linux", architecture: "amd64" },
        { os: "linux", architecture: "arm", variant: "v7" },
      ].map(async (platform) => {
        const config = Buffer.from(
          JSON.stringify({ ...platform, config: { User: "65532" }, rootfs: { type: "layers", diff_ids: [] } }),
        );
        const digest = await putBlob(this.#registry, repository, config);
        const manifest = Buffer.from(
          JSON.stringify({
            schemaVersion: 2,
            mediaType: OCI_MANIFEST,
            config: { mediaType: CONFIG, digest, size: config.length },
            layers: [],
          }),
        );
        await putManifest(this.#registry, repository, sha256(manifest), manifest);
        return { mediaType: OCI_MANIFEST, digest: sha256(manifest), size: manifest.length, platform };
      }),
    );
    return putManifest(
      this.#registry,
      repository,
      "v1",
      { schemaVersion: 2, mediaType: OCI_INDEX, manifests },
      OCI_INDEX,
    );
  }

  #file(predicate: string | object): string {
    const text = typeof predicate === "string" ? predicate : JSON.stringify(predicate);
    return this.#cosign.file(`${sha256(Buffer.from(text)).slice(7, 19)}.json`, text);
  }
}

/** A report of a scanner, in the form that cosign asks for. */
const SCAN = {
  invocation: { parameters: null, uri: "invocation.example.com/testing", event_id: "", "builder.id": "" },
  scanner: { uri: "scanner.example.com/testing", version: "", db: { uri: "", version: "" }, result: null },
  metadata: { scanStartedOn: "2022-04-12T00:00:00Z", scanFinishedOn: "2022-04-12T00:10:00Z" },
};

interface Manifest {
  readonly mediaType: string;
  readonly config?: { readonly digest: string };
  readonly layers?: readonly { readonly digest: string }[];
  readonly manifests?: readonly { readonly digest: string }[];
}

type Repository = readonly [TestRegistry, string];

/** Copies every tag of a repository, and what hangs on it, byte for byte. */
async function copyRepository(from: Repository, to: Repository): Promise<void> {
  const [registry, repository] = from;
  const listed = await fetch(`http://${registry.host}/v2/${repository}/tags/list`);
  const { tags } = (await listed.json()) as { readonly tags: readonly string[] };
  const done = new Set<string>();
  for (const tag of tags) await copyManifest(from, to, tag, done);
}

async function copyManifest(from: Repository, to: Repository, reference: string, done: Set<string>): Promise<void> {
  if (done.has(reference)) return;
  done.add(reference);
  const bytes = await getManifest(...from, reference);
  const manifest = JSON.parse(bytes.toString("utf8")) as Manifest;
  for (const { digest } of manifest.manifests ?? []) await copyManifest(from, to, digest, done);
  for (const blob of [manifest.config, ...(manifest.layers ?? [])]) {
    if (blob === undefined || done.has(blob.digest)) continue;
    done.add(blob.digest);
    await putBlob(...to, await getBlob(...from, blob.digest));
  }
  await putManifest(...to, reference, bytes, manifest.mediaType);
}
