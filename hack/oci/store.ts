import { createHash } from "node:crypto";
import { existsSync, linkSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { constants, gzipSync, zstdCompressSync } from "node:zlib";
import { type Entry, tar, withParents } from "./tar.ts";

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

/** A layer: what a manifest says of it, and the digest of its uncompressed bytes, which the configuration lists. */
export interface Layer extends Descriptor {
  readonly name: string;
  readonly diffId: string;
}

/** How layers are packed: `gzip` for every client there is, `zstd` for quick pulls by containerd 1.6 and newer. */
export type Compression = "gzip" | "zstd" | "none";

/** The part of an image's configuration that says how to run it (OCI image specification, `config`). */
export interface RunConfig {
  readonly User?: string;
  readonly WorkingDir?: string;
  readonly Entrypoint?: readonly string[];
  readonly Cmd?: readonly string[];
  readonly Env?: readonly string[];
  readonly StopSignal?: string;
  readonly Labels?: Readonly<Record<string, string>>;
}

export interface Manifest {
  readonly mediaType: string;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const INDEX = "application/vnd.oci.image.index.v1+json";
const CONFIG = "application/vnd.oci.image.config.v1+json";
const LAYER = "application/vnd.oci.image.layer.v1.tar";
const EPOCH = "1970-01-01T00:00:00Z"; // a date would make every build another image

const PACK: Readonly<Record<Compression, (raw: Buffer) => Buffer>> = {
  gzip: (raw) => gzipSync(raw, { level: 6 }),
  zstd: (raw) => zstdCompressSync(raw, { params: { [constants.ZSTD_c_compressionLevel]: 3 } }),
  none: (raw) => raw,
};

/** The digest of some bytes, `sha256:…`. */
export function digestOf(bytes: Buffer | string): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/** Blobs by digest in a folder, and a memory of layers by what they were made from, so that nothing is packed or compressed twice. */
export class BlobStore {
  readonly #dir: string;
  readonly #compression: Compression;

  constructor(dir: string, compression: Compression = "gzip") {
    this.#dir = dir;
    this.#compression = compression;
    for (const part of ["blobs/sha256", "layers"]) mkdirSync(join(dir, part), { recursive: true });
  }

  /** Where the blob lies. */
  path(digest: string): string {
    return join(this.#dir, "blobs", digest.replace(":", "/"));
  }

  get(digest: string): Buffer {
    return readFileSync(this.path(digest));
  }

  put(bytes: Buffer): string {
    const digest = digestOf(bytes);
    if (!existsSync(this.path(digest))) writeWhole(this.path(digest), bytes);
    return digest;
  }

  /** Packs entries into a layer. Unchanged files (same path, size, inode and times) are not read again. */
  layer(name: string, entries: readonly Entry[]): Layer {
    const memo = join(this.#dir, "layers", `${fingerprint(entries)}.${this.#compression}.json`);
    if (existsSync(memo)) {
      const known = JSON.parse(readFileSync(memo, "utf8")) as Layer;
      if (existsSync(this.path(known.digest))) return { ...known, name };
    }
    const raw = tar(entries);
    const packed = PACK[this.#compression](raw);
    const mediaType = this.#compression === "none" ? LAYER : `${LAYER}+${this.#compression}`;
    const layer = { name, mediaType, digest: this.put(packed), size: packed.length, diffId: digestOf(raw) };
    writeWhole(memo, Buffer.from(JSON.stringify(layer)));
    return layer;
  }

  /** Makes an image for this machine's architecture out of layers, lowest first; returns its manifest's descriptor. */
  image(layers: readonly Layer[], config: RunConfig): Descriptor {
    const put = (mediaType: string, value: unknown): Descriptor => {
      const bytes = Buffer.from(JSON.stringify(value));
      return { mediaType, digest: this.put(bytes), size: bytes.length };
    };
    const configuration = put(CONFIG, {
      created: EPOCH,
      ...platform(),
      config,
      rootfs: { type: "layers", diff_ids: layers.map((layer) => layer.diffId) },
      history: layers.map((layer) => ({ created: EPOCH, created_by: layer.name })),
    });
    const blobs = layers.map(({ mediaType, digest, size }) => ({ mediaType, digest, size }));
    return put(MANIFEST, { schemaVersion: 2, mediaType: MANIFEST, config: configuration, layers: blobs });
  }

  manifest(digest: string): Manifest {
    return JSON.parse(this.get(digest).toString()) as Manifest;
  }

  /** Writes the image as an OCI layout folder, replacing what was there: its blobs alone, named `reference` in the index. */
  export(image: Descriptor, reference: string, to: string): void {
    const unfinished = `${to}.tmp`;
    rmSync(unfinished, { recursive: true, force: true });
    mkdirSync(join(unfinished, "blobs/sha256"), { recursive: true });
    const { config, layers } = this.manifest(image.digest);
    for (const { digest } of [image, config, ...layers])
      this.#copy(digest, join(unfinished, "blobs", digest.replace(":", "/")));
    const named = { ...image, platform: platform(), annotations: { "org.opencontainers.image.ref.name": reference } };
    writeFileSync(join(unfinished, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
    writeFileSync(
      join(unfinished, "index.json"),
      JSON.stringify({ schemaVersion: 2, mediaType: INDEX, manifests: [named] }),
    );
    rmSync(to, { recursive: true, force: true });
    renameSync(unfinished, to);
  }

  #copy(digest: string, to: string): void {
    try {
      linkSync(this.path(digest), to);
    } catch {
      writeFileSync(to, this.get(digest)); // another file system, or one without links
    }
  }
}

function platform(): { architecture: string; os: string } {
  return { architecture: process.arch === "x64" ? "amd64" : process.arch, os: "linux" };
}

/** Names the content of entries without reading the files: a changed file has another size, inode or time of change. */
function fingerprint(entries: readonly Entry[]): string {
  const hash = createHash("sha256");
  for (const { path, mode, link, data, file } of withParents(entries)) {
    const stat = file === undefined ? undefined : statSync(file, { bigint: true });
    const of = stat && [stat.size, stat.ino, stat.mtimeNs, stat.ctimeNs].join(",");
    hash.update(`${JSON.stringify([path, mode, link, of, data && digestOf(data)])}\n`);
  }
  return hash.digest("hex");
}

function writeWhole(path: string, bytes: Buffer): void {
  mkdirSync(dirname(path), { recursive: true });
  const unfinished = `${path}.${process.pid}.tmp`;
  writeFileSync(unfinished, bytes);
  renameSync(unfinished, path);
}
