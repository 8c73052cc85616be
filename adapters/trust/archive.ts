import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { messageOf } from "../../core/errors.ts";
import { readTar, type TarLimits } from "../../core/trust/tar.ts";
import { TufError, type TufRepository } from "./repository.ts";

/** A whole repository that fits into an object of the API (1.5 MiB) has much less than this. */
const LIMITS: TarLimits = { files: 4_096, bytes: 32 * 1024 * 1024 };
const UNPACKED_LIMIT = 40 * 1024 * 1024; // with the headers

const unzip = promisify(gunzip);

/** The folder that archives of policy-controller's users begin with; it is left out where it is. */
const FOLDER = "repository/";

async function unpack(archive: Uint8Array): Promise<ReadonlyMap<string, Buffer>> {
  try {
    return readTar(await unzip(archive, { maxOutputLength: UNPACKED_LIMIT }), LIMITS);
  } catch (thrown) {
    const tooLarge = (thrown as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE";
    const why = tooLarge ? `it has more than ${UNPACKED_LIMIT} bytes` : messageOf(thrown);
    throw new TufError("TUF_INVALID", `failed to uncompress: ${why}`, thrown);
  }
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

/**
 * The TUF repository in a gzipped tar of its folder (`repository.mirrorFS`), unpacked in memory within limits; nothing is written
 * anywhere. Throws `TUF_INVALID`.
 */
export async function archivedRepository(archive: Uint8Array): Promise<TufRepository> {
  const entries = [...(await unpack(archive))].map(
    ([path, bytes]) => [path.startsWith(FOLDER) ? path.slice(FOLDER.length) : path, bytes] as const,
  );
  const files = new Map(entries);
  return {
    read: async (path, limit) => {
      // The files of roles whose names hold a slash are stored under the encoded name.
      const bytes = files.get(path) ?? files.get(decoded(path));
      if (bytes === undefined) throw new TufError("TUF_FILE_MISSING", `${decoded(path)} is not in the repository`);
      if (bytes.length > limit)
        throw new TufError("TUF_TOO_LARGE", `${decoded(path)} is longer than the ${limit} bytes that it may have`);
      return bytes;
    },
  };
}
