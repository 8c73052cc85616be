import { type TargetFile, Updater, type UpdaterOptions } from "tuf-js";
import { DownloadHTTPError } from "tuf-js/dist/error.js";
import { TufError, type TufRepository } from "./repository.ts";

/** The signed metadata of a repository, by role: what protects against older versions of it. */
export type MetadataStore = Map<string, Buffer>;

/** What tuf-js (6.0.2) keeps to itself and is needed here: where metadata is kept, and the top-level targets. */
interface UpdaterParts {
  refresh(): Promise<void>;
  getTargetInfo(path: string): Promise<TargetFile | undefined>;
  loadLocalMetadata(role: string): Buffer;
  persistMetadata(role: string, bytes: Buffer): void;
  readonly trustedSet: {
    readonly root: { readonly signed: { readonly consistentSnapshot: boolean } };
    readonly targets?: { readonly signed: { readonly targets?: Readonly<Record<string, TargetFile>> } };
  };
}

/** One pass of TUF's client workflow (specification 1.0, section 5). */
export type MemoryUpdater = Pick<UpdaterParts, "refresh" | "getTargetInfo" | "trustedSet">;

// tuf-js reads and writes metadata through two methods that TypeScript calls private, and the files of a folder are all that it
// offers. A container has no folder that may be written to, so the two are replaced; a test fails if they ever get other names.
const BaseUpdater = Updater as unknown as new (options: UpdaterOptions) => UpdaterParts;

const BASE = "https://tuf.invalid/";
const BUDGET = 32 * 1024 * 1024;
const STORE_LIMIT = 16 * 1024 * 1024;
const LIMITS = {
  maxRootRotations: 256,
  maxDelegations: 32,
  rootMaxLength: 512_000,
  timestampMaxLength: 16_384,
  snapshotMaxLength: 2_000_000,
  targetsMaxLength: 5_000_000,
};

function checkJson(path: string, bytes: Buffer): void {
  try {
    JSON.parse(bytes.toString("utf8"));
  } catch {
    // The parser's own words quote what was read.
    throw new TufError("TUF_INVALID", `${path} is no JSON`);
  }
}

/** Reads metadata files for tuf-js, which takes an absent file for the end of the roots only as an HTTP error of its own. */
function fetcherOf(repository: TufRepository, signal: AbortSignal) {
  let left = BUDGET;
  return {
    downloadBytes: async (url: string, maxLength: number): Promise<Buffer> => {
      const path = url.slice(BASE.length);
      // Lengths come from metadata too: signed, but not for that reason reasonable.
      const limit = Math.min(maxLength, LIMITS.targetsMaxLength, left);
      const bytes = await repository.read(path, limit, signal).catch((thrown: unknown) => {
        if (thrown instanceof TufError && thrown.code === "TUF_FILE_MISSING")
          throw new DownloadHTTPError(thrown.message, 404);
        throw thrown;
      });
      left -= bytes.length;
      checkJson(path, bytes);
      return bytes;
    },
    downloadFile: (): Promise<never> => {
      throw new Error("targets are not read by way of files");
    },
  };
}

/**
 * A pass over `repository` that begins with what `store` has and leaves there what it verified: `store` has at least the role `root`.
 * One pass sees one time of day, and is not used again. Throws what tuf-js throws.
 */
export function memoryUpdater(repository: TufRepository, store: MetadataStore, signal: AbortSignal): MemoryUpdater {
  class InMemory extends BaseUpdater {
    override loadLocalMetadata(role: string): Buffer {
      const bytes = store.get(role);
      if (bytes === undefined) throw new Error(`no metadata of ${role} yet`);
      return bytes;
    }

    override persistMetadata(role: string, bytes: Buffer): void {
      const others = [...store].reduce((sum, [name, known]) => (name === role ? sum : sum + known.length), 0);
      if (others + bytes.length > STORE_LIMIT)
        throw new TufError("TUF_TOO_LARGE", `the repository's metadata has more than ${STORE_LIMIT} bytes`);
      store.set(role, bytes);
    }
  }
  return new InMemory({
    metadataDir: "",
    metadataBaseUrl: BASE,
    fetcher: fetcherOf(repository, signal),
    config: LIMITS,
  });
}
