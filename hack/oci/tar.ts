import { readFileSync } from "node:fs";

/** One member of an archive: a file with its bytes (in memory or on disk), a symbolic link, or (neither) a folder. */
export interface Entry {
  readonly path: string;
  readonly mode: number;
  readonly data?: Buffer;
  readonly file?: string;
  readonly link?: string;
}

const BLOCK = 512;
const NAME_LIMIT = 100; // of the ustar header; longer names go into a pax header

/**
 * An archive that depends on nothing but its entries: sorted by path, missing parent folders made explicit, owned by root, dated `mtime`
 * (seconds). Format: POSIX ustar, with pax headers for names over 100 bytes.
 */
export function tar(entries: readonly Entry[], mtime = 0): Buffer {
  const chunks = withParents(entries).flatMap((entry) => member(entry, mtime));
  return Buffer.concat([...chunks, Buffer.alloc(2 * BLOCK)]);
}

/** The entries by path, last one wins, with a folder for every path above them, in the order of their bytes. */
export function withParents(entries: readonly Entry[]): Entry[] {
  const all = new Map<string, Entry>();
  for (const entry of entries) {
    const path = entry.path.replace(/^\/+|\/+$/g, "");
    for (let at = path.indexOf("/"); at > 0; at = path.indexOf("/", at + 1)) {
      const parent = path.slice(0, at);
      if (!all.has(parent)) all.set(parent, { path: parent, mode: 0o755 });
    }
    all.set(path, { ...entry, path });
  }
  return [...all.values()].sort((a, b) => Buffer.compare(Buffer.from(a.path), Buffer.from(b.path)));
}

function member(entry: Entry, mtime: number): Buffer[] {
  const data = entry.file === undefined ? entry.data : readFileSync(entry.file);
  const type = data !== undefined ? "0" : entry.link !== undefined ? "2" : "5";
  const name = type === "5" ? `${entry.path}/` : entry.path;
  const link = entry.link ?? "";
  const long = {
    ...(Buffer.byteLength(name) > NAME_LIMIT && { path: name }),
    ...(Buffer.byteLength(link) > NAME_LIMIT && { linkpath: link }),
  };
  const main = header({ name, mode: entry.mode, size: data?.length ?? 0, type, link, mtime });
  return [...pax(long), main, ...(data === undefined ? [] : padded(data))];
}

function pax(records: Readonly<Record<string, string>>): Buffer[] {
  const lines = Object.entries(records).map(([key, value]) => {
    const rest = Buffer.byteLength(` ${key}=${value}\n`);
    const digits = String(rest + String(rest).length).length; // the length counts its own digits
    return `${rest + digits} ${key}=${value}\n`;
  });
  if (lines.length === 0) return [];
  const body = Buffer.from(lines.join(""));
  return [header({ name: "pax", mode: 0o644, size: body.length, type: "x", link: "", mtime: 0 }), ...padded(body)];
}

interface Header {
  readonly name: string;
  readonly mode: number;
  readonly size: number;
  readonly type: string;
  readonly link: string;
  readonly mtime: number;
}

function header(of: Header): Buffer {
  const block = Buffer.alloc(BLOCK);
  const octal = (value: number, length: number, at: number) =>
    block.write(`${value.toString(8).padStart(length - 1, "0")}\0`, at);
  block.write(of.name, 0, NAME_LIMIT);
  octal(of.mode, 8, 100);
  octal(0, 8, 108); // uid
  octal(0, 8, 116); // gid
  octal(of.size, 12, 124);
  octal(of.mtime, 12, 136);
  block.write("        ", 148); // the checksum counts its own field as spaces
  block.write(of.type, 156);
  block.write(of.link, 157, NAME_LIMIT);
  block.write("ustar\x0000", 257);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return block;
}

function padded(data: Buffer): Buffer[] {
  return [data, Buffer.alloc((BLOCK - (data.length % BLOCK)) % BLOCK)];
}
