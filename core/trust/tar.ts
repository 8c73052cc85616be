import { DomainError } from "../errors.ts";

export type TarErrorCode = "TAR_INVALID";

/** How much an archive may hold. */
export interface TarLimits {
  readonly files: number;
  readonly bytes: number;
}

const BLOCK = 512;
const PATH_LIMIT = 4096;

function invalid(why: string): DomainError<TarErrorCode> {
  return new DomainError("TAR_INVALID", why, { terminal: true });
}

/** The characters of a field up to the first NUL. */
function text(block: Buffer, start: number, length: number): string {
  const field = block.subarray(start, start + length);
  const end = field.indexOf(0);
  return field.subarray(0, end < 0 ? length : end).toString("utf8");
}

function octal(block: Buffer, start: number, length: number): number {
  const digits = text(block, start, length).trim();
  if (!/^[0-7]{1,12}$/.test(digits)) throw invalid("a header has no valid number");
  return Number.parseInt(digits, 8);
}

function checkHeader(header: Buffer): void {
  // The sum is over the header with its own field as spaces.
  let sum = 8 * 0x20;
  for (let index = 0; index < BLOCK; index++) if (index < 148 || index >= 156) sum += header[index] ?? 0;
  if (sum !== octal(header, 148, 8)) throw invalid("the checksum of a header is wrong");
}

/** The records of a pax header: `<length> <key>=<value>\n`. */
function paxRecords(body: Buffer): ReadonlyMap<string, string> {
  const records = new Map<string, string>();
  for (let at = 0; at < body.length; ) {
    const space = body.indexOf(0x20, at);
    const length = Number(body.subarray(at, space).toString("latin1"));
    if (space < 0 || !Number.isInteger(length) || length < 5 || at + length > body.length)
      throw invalid("a pax header is malformed");
    const record = body.subarray(space + 1, at + length - 1).toString("utf8");
    const equals = record.indexOf("=");
    if (equals < 1) throw invalid("a pax header is malformed");
    records.set(record.slice(0, equals), record.slice(equals + 1));
    at += length;
  }
  return records;
}

/** The path without `./` and leading slashes. Paths that lead upwards, or that no file has, are errors. */
function cleanPath(path: string): string {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  if (path.length > PATH_LIMIT || path.includes("\0") || path.includes("\\") || parts.includes(".."))
    throw invalid(`content filepath is tainted: ${JSON.stringify(path.slice(0, 80))}`);
  return parts.join("/");
}

/** What the headers before a file's own say of it. */
interface Extension {
  readonly path?: string;
  readonly size?: number;
}

function fromPax(body: Buffer): Extension {
  const records = paxRecords(body);
  const path = records.get("path");
  const size = records.get("size");
  if (size !== undefined && !/^[0-9]{1,12}$/.test(size)) throw invalid("a pax header is malformed");
  return { ...(path !== undefined && { path }), ...(size !== undefined && { size: Number(size) }) };
}

function pathOf(header: Buffer): string {
  const isPosix = text(header, 257, 6) === "ustar"; // GNU's magic goes on with spaces, and its prefix field is none
  const prefix = isPosix ? text(header, 345, 155) : "";
  const name = text(header, 0, 100);
  return prefix === "" ? name : `${prefix}/${name}`;
}

/**
 * The regular files of a tar archive by path: ustar (POSIX.1-1988), pax (POSIX.1-2001) and GNU's long names, which is what Go's
 * archive/tar and GNU tar write. Folders are passed over; links, devices and other kinds of entries are errors, as are paths that lead
 * upwards and more than `limits` allows. Throws `TAR_INVALID`.
 */
export function readTar(archive: Buffer, limits: TarLimits): ReadonlyMap<string, Buffer> {
  const files = new Map<string, Buffer>();
  let total = 0;
  let extension: Extension = {};
  let at = 0;
  while (at + BLOCK <= archive.length) {
    const header = archive.subarray(at, at + BLOCK);
    if (header.every((byte) => byte === 0)) return files;
    checkHeader(header);
    const type = String.fromCharCode(header[156] ?? 0);
    const size = extension.size ?? octal(header, 124, 12);
    const start = at + BLOCK;
    if (start + size > archive.length) throw invalid("unexpected EOF");
    const body = archive.subarray(start, start + size);
    at = start + Math.ceil(size / BLOCK) * BLOCK;
    if (type === "x") extension = fromPax(body);
    else if (type === "L") extension = { ...extension, path: text(body, 0, body.length) };
    else if (type !== "g") {
      const path = cleanPath(extension.path ?? pathOf(header));
      extension = {};
      if (type === "5") continue;
      if (type !== "0" && type !== "\0")
        throw invalid(`${JSON.stringify(path.slice(0, 80))} is neither a file nor a folder`);
      total += size;
      files.set(path, body);
      if (files.size > limits.files) throw invalid(`there are more than ${limits.files} files`);
      if (total > limits.bytes) throw invalid(`the files have more than ${limits.bytes} bytes`);
    }
  }
  if (at < archive.length) throw invalid("unexpected EOF");
  return files;
}
