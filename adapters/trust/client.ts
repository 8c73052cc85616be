import { Readable } from "node:stream";
import type { TargetFile } from "tuf-js";
import { DomainError, messageOf } from "../../core/errors.ts";
import { startDeadline } from "../deadline.ts";
import { TufError, type TufRepository } from "./repository.ts";
import { type MemoryUpdater, type MetadataStore, memoryUpdater } from "./updater.ts";

export interface TufClientOptions {
  /** The root.json that trust begins with. Expired ones may lead to newer ones. */
  readonly root: Buffer;
  /** The folder of the targets below the repository; `targets` if absent. */
  readonly targets?: string;
  /** For one refresh with all its files; 60 s if absent. */
  readonly refreshMs?: number;
}

/** The targets of a repository as of one refresh. */
export interface TufTargets {
  /** Names and custom metadata of the targets that the top-level role lists. */
  readonly listed: readonly { readonly name: string; readonly custom: unknown }[];
  /** A target's content, delegated ones included; undefined if there is none of that name. Throws `TufError`. */
  read(name: string): Promise<Buffer | undefined>;
}

const REFRESH_MS = 60_000;
/** A ConfigMap has no room for more. */
const TARGET_LIMIT = 1024 * 1024;
const LISTED_LIMIT = 10_000;
const MESSAGE_LIMIT = 400;

/** A message that may hold parts of what was read: one line, and not too long. */
function plain(thrown: unknown): string {
  return messageOf(thrown)
    .replace(/\p{Cc}+/gu, " ")
    .slice(0, MESSAGE_LIMIT);
}

/** Where a target lies: with consistent snapshots its file's name begins with one of its hashes (specification, section 6.2). */
function pathsOf(folder: string, { path, hashes }: TargetFile, consistent: boolean): readonly string[] {
  const segments = path.split("/");
  if (segments.some((segment) => segment === ".." || segment === "." || segment === ""))
    throw new TufError(
      "TUF_INVALID",
      `the target ${JSON.stringify(path.slice(0, 80))} has a path that is not followed`,
    );
  const base = segments.pop() ?? "";
  const prefix = [...folder.split("/").filter((segment) => segment !== ""), ...segments];
  const names = consistent ? Object.values(hashes).map((hash) => `${hash}.${base}`) : [base];
  return names.map((name) => [...prefix, name].map(encodeURIComponent).join("/"));
}

/**
 * A client of one TUF repository (specification 1.0): verifies root rotations, signatures, thresholds, expiry and versions, and takes
 * nothing older than what it has seen, for as long as it lives. It keeps its state in memory and writes no file.
 */
export class TufClient {
  readonly #store: MetadataStore;
  readonly #folder: string;
  readonly #refreshMs: number;

  constructor({ root, targets = "targets", refreshMs = REFRESH_MS }: TufClientOptions) {
    this.#store = new Map([["root", root]]);
    this.#folder = targets;
    this.#refreshMs = refreshMs;
  }

  /**
   * Brings metadata up to date from `repository` and gives `use` the targets, all within one deadline. Not to be called again before
   * it has ended. Throws `TufError`, and what `use` throws.
   */
  async refresh<T>(
    repository: TufRepository,
    signal: AbortSignal,
    use: (targets: TufTargets) => Promise<T>,
  ): Promise<T> {
    using deadline = startDeadline(this.#refreshMs, signal);
    const updater = await this.#update(repository, deadline.signal);
    const { signed } = updater.trustedSet.targets ?? {};
    const listed = Object.entries(signed?.targets ?? {}).slice(0, LISTED_LIMIT);
    return await use({
      listed: listed.map(([name, { unrecognizedFields }]) => ({ name, custom: unrecognizedFields["custom"] })),
      read: (name) => this.#read(updater, repository, name, deadline.signal),
    });
  }

  async #update(repository: TufRepository, signal: AbortSignal): Promise<MemoryUpdater> {
    let updater: MemoryUpdater;
    try {
      updater = memoryUpdater(repository, this.#store, signal);
    } catch (thrown) {
      throw new TufError("TUF_INVALID", `failed to init TUF client: ${plain(thrown)}`, thrown);
    }
    try {
      await updater.refresh();
      return updater;
    } catch (thrown) {
      const code = thrown instanceof TufError ? thrown.code : "TUF_INVALID";
      throw new TufError(code, `failed to update TUF client: ${plain(thrown)}`, thrown);
    }
  }

  async #read(
    updater: MemoryUpdater,
    repository: TufRepository,
    name: string,
    signal: AbortSignal,
  ): Promise<Buffer | undefined> {
    try {
      const target = await updater.getTargetInfo(name);
      if (target === undefined) return undefined;
      if (target.length > TARGET_LIMIT)
        throw new TufError("TUF_TOO_LARGE", `it has ${target.length} bytes and may have ${TARGET_LIMIT}`);
      // Without a hash anything of that length would do.
      if (target.hashes["sha256"] === undefined && target.hashes["sha512"] === undefined)
        throw new TufError("TUF_INVALID", "it has neither a sha256 nor a sha512 hash");
      const paths = pathsOf(this.#folder, target, updater.trustedSet.root.signed.consistentSnapshot);
      const content = await firstOf(repository, paths, target.length, signal);
      await target.verify(Readable.from([content]));
      return content;
    } catch (thrown) {
      const code = thrown instanceof DomainError ? (thrown as TufError).code : "TUF_INVALID";
      throw new TufError(code, `TUF target ${JSON.stringify(name.slice(0, 80))}: ${plain(thrown)}`, thrown);
    }
  }
}

async function firstOf(
  repository: TufRepository,
  paths: readonly string[],
  limit: number,
  signal: AbortSignal,
): Promise<Buffer> {
  let missing: unknown;
  for (const path of paths) {
    try {
      return await repository.read(path, limit, signal);
    } catch (thrown) {
      if (!(thrown instanceof TufError) || thrown.code !== "TUF_FILE_MISSING") throw thrown;
      missing = thrown;
    }
  }
  throw missing;
}
