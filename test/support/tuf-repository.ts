import { createHash, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import { gzipSync } from "node:zlib";
import { Key, Metadata, MetaFile, Root, Signature, Snapshot, TargetFile, Targets, Timestamp } from "@tufjs/models";

/** A key of one TUF role: Ed25519, written as go-tuf does. */
export interface TufKey {
  readonly signer: KeyObject;
  readonly key: Key;
}

export function newTufKey(): TufKey {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const hex = publicKey.export({ type: "spki", format: "der" }).subarray(-32).toString("hex");
  const keyID = createHash("sha256").update(hex).digest("hex");
  return {
    signer: privateKey,
    key: new Key({ keyID, keyType: "ed25519", scheme: "ed25519", keyVal: { public: hex } }),
  };
}

export type TufRole = "root" | "timestamp" | "snapshot" | "targets";
const ROLES: readonly TufRole[] = ["root", "timestamp", "snapshot", "targets"];

interface Target {
  readonly content: Buffer;
  readonly custom?: object;
  /** By these algorithms alone. */
  readonly hashes?: readonly string[];
}

/** A delegated role: it is trusted with targets whose paths match. */
export interface Delegation {
  readonly name: string;
  readonly paths: readonly string[];
  readonly targets: Readonly<Record<string, Buffer>>;
}

export interface Publication {
  /** Milliseconds until the role's metadata expires; a day if absent. */
  readonly expiresInMs?: Partial<Record<TufRole, number>>;
  /** Instead of the next version, of timestamp, snapshot and targets. */
  readonly version?: number;
  /** Signs the role with a key that nobody trusts. */
  readonly forged?: TufRole;
}

const DAY_MS = 86_400_000;
const SPEC = "1.0";

function signed(metadata: Metadata<Root | Timestamp | Snapshot | Targets>, ...keys: readonly TufKey[]): Buffer {
  for (const { signer, key } of keys)
    metadata.sign((bytes) => new Signature({ keyID: key.keyID, sig: sign(null, bytes, signer).toString("hex") }));
  return Buffer.from(JSON.stringify(metadata.toJSON()));
}

const digest = (algorithm: string, bytes: Buffer) => createHash(algorithm).update(bytes).digest("hex");
const hashesOf = (bytes: Buffer, algorithms: readonly string[] = ["sha256", "sha512"]): Record<string, string> =>
  Object.fromEntries(algorithms.map((algorithm) => [algorithm, digest(algorithm, bytes)]));

/** Makes and signs a TUF repository, in memory: `files` is what a mirror serves. */
export class TufRepositoryMaker {
  readonly files = new Map<string, Buffer>();
  readonly targets = new Map<string, Target>();
  delegations: readonly Delegation[] = [];
  readonly #keys: Record<TufRole, TufKey>;
  readonly #delegated = newTufKey();
  readonly #consistent: boolean;
  #rootVersion = 0;
  #version = 0;

  constructor({ consistentSnapshot = true } = {}) {
    this.#consistent = consistentSnapshot;
    this.#keys = { root: newTufKey(), timestamp: newTufKey(), snapshot: newTufKey(), targets: newTufKey() };
    this.#writeRoot();
  }

  /** The root.json of that version, in base64, as a TrustRoot has it. */
  root(version = 1): string {
    return this.files.get(`${version}.root.json`)?.toString("base64") ?? "";
  }

  /** Replaces the keys of every role, signed with the old root key and the new one. */
  rotateRoot(expiresInMs = DAY_MS): void {
    const old = this.#keys.root;
    for (const role of ROLES) this.#keys[role] = newTufKey();
    this.#writeRoot(expiresInMs, old);
  }

  #expires(ms: number | undefined): string {
    return new Date(Date.now() + (ms ?? DAY_MS)).toISOString().replace(/\.\d+Z$/, "Z");
  }

  #writeRoot(expiresInMs?: number, ...alsoSigning: readonly TufKey[]): void {
    const version = ++this.#rootVersion;
    const root = new Root({
      specVersion: SPEC,
      version,
      expires: this.#expires(expiresInMs),
      consistentSnapshot: this.#consistent,
    });
    for (const role of ROLES) root.addKey(this.#keys[role].key, role);
    const bytes = signed(new Metadata(root), this.#keys.root, ...alsoSigning);
    this.files.set("root.json", bytes);
    this.files.set(`${version}.root.json`, bytes);
  }

  #name(file: string, version: number): string {
    return this.#consistent ? `${version}.${file}` : file;
  }

  #writeTarget(name: string, { content, hashes: algorithms }: Target): TargetFile {
    const hashes = hashesOf(content, algorithms);
    const parts = name.split("/");
    const base = parts.pop() ?? "";
    for (const hash of this.#consistent ? Object.values(hashes) : [undefined])
      this.files.set(["targets", ...parts, hash === undefined ? base : `${hash}.${base}`].join("/"), content);
    return new TargetFile({ path: name, length: content.length, hashes });
  }

  /** Signs everything anew, as the next version. */
  publish({ expiresInMs = {}, version = this.#version + 1, forged }: Publication = {}): this {
    this.#version = version;
    const key = (role: TufRole): TufKey => {
      const { key: trusted } = this.#keys[role];
      return role === forged ? { key: trusted, signer: newTufKey().signer } : this.#keys[role];
    };
    const common = (role: TufRole) => ({ specVersion: SPEC, version, expires: this.#expires(expiresInMs[role]) });
    const meta: Record<string, MetaFile> = {};
    const write = (file: string, bytes: Buffer): void => {
      this.files.set(this.#name(file, version), bytes);
      meta[file] = new MetaFile({ version, length: bytes.length, hashes: hashesOf(bytes, ["sha256"]) });
    };
    const targets = new Metadata(Targets.fromJSON({ ...this.#targetsJson(), ...this.#common(common("targets")) }));
    write("targets.json", signed(targets, key("targets")));
    for (const { name, targets: delegated } of this.delegations) {
      const role = new Targets(common("targets"));
      for (const [path, content] of Object.entries(delegated)) role.addTarget(this.#writeTarget(path, { content }));
      write(`${name}.json`, signed(new Metadata(role), this.#delegated));
    }
    const snapshot = signed(new Metadata(new Snapshot({ ...common("snapshot"), meta })), key("snapshot"));
    this.files.set(this.#name("snapshot.json", version), snapshot);
    const snapshotMeta = new MetaFile({ version, length: snapshot.length, hashes: hashesOf(snapshot) });
    const timestamp = new Metadata(new Timestamp({ ...common("timestamp"), snapshotMeta }));
    this.files.set("timestamp.json", signed(timestamp, key("timestamp")));
    return this;
  }

  #common({ version, expires }: { version: number; expires: string }) {
    return { _type: "targets", spec_version: SPEC, version, expires };
  }

  #targetsJson() {
    const targets = [...this.targets].map(([name, target]) => [
      name,
      { ...this.#writeTarget(name, target).toJSON(), ...(target.custom && { custom: target.custom }) },
    ]);
    const { key } = this.#delegated;
    const roles = this.delegations.map(({ name, paths }) => ({
      name,
      keyids: [key.keyID],
      threshold: 1,
      terminating: false,
      paths: [...paths],
    }));
    const delegations = { keys: { [key.keyID]: key.toJSON() }, roles };
    return { targets: Object.fromEntries(targets), ...(roles.length > 0 && { delegations }) };
  }

  /** The folder `repository` as a gzipped tar in base64: `spec.repository.mirrorFS`. */
  archive(): string {
    const entries = [...this.files].map(([path, content]) => ({ path: `repository/${path}`, content }));
    return gzipSync(tar([{ path: "repository/", type: "5" }, ...entries])).toString("base64");
  }
}

export interface TarEntry {
  readonly path: string;
  readonly content?: Buffer;
  /** As in the header; "0", a file, if absent. */
  readonly type?: string;
}

function tarHeader(name: string, size: number, type: string): Buffer {
  const header = Buffer.alloc(512);
  header.write(name.slice(0, 100), 0, "utf8");
  header.write("0000644\0", 100);
  header.write("0000000\0", 108);
  header.write("0000000\0", 116);
  header.write(`${size.toString(8).padStart(11, "0")}\0`, 124);
  header.write("00000000000\0", 136);
  header.write("        ", 148);
  header.write(type, 156);
  header.write("ustar\u000000", 257, "latin1");
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return header;
}

/** A tar archive; names over 100 bytes are written as pax headers (`long: "gnu"`: as GNU tar's). */
export function tar(entries: readonly TarEntry[], long: "pax" | "gnu" = "pax"): Buffer {
  const padded = (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]);
  const blocks = entries.flatMap(({ path, content = Buffer.alloc(0), type = "0" }) => {
    const file = [tarHeader(path, content.length, type), padded(content)];
    if (Buffer.byteLength(path) <= 100) return file;
    if (long === "gnu") {
      const name = Buffer.from(`${path}\0`);
      return [tarHeader("././@LongLink", name.length, "L"), padded(name), ...file];
    }
    const record = ` path=${path}\n`;
    const length = [2, 3, 4].map((digits) => record.length + digits).find((n, i) => String(n).length === i + 2) ?? 0;
    const body = Buffer.from(`${length}${record}`);
    return [tarHeader("PaxHeaders.0/x", body.length, "x"), padded(body), ...file];
  });
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

/** Serves a repository's files over HTTP on loopback. `answer`, if set, takes requests over: a hostile mirror. */
export class TufMirror {
  readonly #files: ReadonlyMap<string, Buffer>;
  readonly #server: Server;
  readonly requests: string[] = [];
  answer: ((path: string, ...args: Parameters<RequestListener>) => boolean) | undefined;

  constructor(files: ReadonlyMap<string, Buffer>) {
    this.#files = files;
    this.#server = createServer((request, response) => {
      const path = decodeURIComponent((request.url ?? "/").slice(1));
      this.requests.push(path);
      if (this.answer?.(path, request, response) === true) return;
      const bytes = this.#files.get(path);
      response.writeHead(bytes === undefined ? 404 : 200);
      response.end(bytes);
    });
  }

  /** Resolves to the mirror's URL; a port may be given to come back at the same one. */
  async start(port = 0): Promise<string> {
    this.#server.listen(port, "127.0.0.1");
    await once(this.#server, "listening");
    return `http://127.0.0.1:${this.port}`;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    if (!this.#server.listening) return;
    this.#server.close();
    await once(this.#server, "close");
  }
}
