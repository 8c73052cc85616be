import { readFile, realpath, stat } from "node:fs/promises";
import { join } from "node:path";
import { createSecureContext } from "node:tls";
import type { TlsPair } from "../adapters/http/server.ts";
import type { Log } from "../adapters/telemetry/log.ts";
import { messageOf } from "../core/errors.ts";
import { parseAccessDocument } from "../core/gatewayaccess/document.ts";
import { ACCESS_FILE, TLS_CERT_FILE, TLS_KEY_FILE, UPSTREAMS_FILE } from "../core/gatewayaccess/names.ts";
import type { AccessDocument } from "../core/gatewayaccess/types.ts";
import { parseUpstreams, type Upstreams } from "../core/gatewayaccess/upstreams.ts";

export interface MountedOptions {
  readonly directory: string;
  readonly log: Log;
  /** Called with each new certificate that can be used. */
  readonly onTls?: (pair: TlsPair) => void | Promise<void>;
}

/** Stands for all the files where they cannot be read. */
const MOUNT = "mount";
const SIZE_LIMIT = 512 * 1024;

/** The text of a file, or undefined where there is none. Throws when it is too large or cannot be read. */
async function textOf(path: string): Promise<string | undefined> {
  try {
    const { size } = await stat(path);
    if (size > SIZE_LIMIT) throw new Error(`it is larger than ${SIZE_LIMIT} bytes`);
    return await readFile(path, "utf8");
  } catch (thrown) {
    if (thrown instanceof Error && "code" in thrown && thrown.code === "ENOENT") return undefined;
    throw thrown;
  }
}

/**
 * The files of the mounted Secret, read again whenever `poll` is called. The kubelet changes them all at once, by swapping the link
 * `..data`: they are read through where it leads, so that certificate and key are always of one version. What is new and cannot be
 * used is logged, and what was last good stays.
 */
export class MountedAccess {
  readonly #options: MountedOptions;
  readonly #used = new Map<string, string>();
  readonly #problems = new Map<string, string>();
  #document: AccessDocument | undefined;
  #upstreams: Upstreams | undefined;

  constructor(options: MountedOptions) {
    this.#options = options;
  }

  /** The last good document; undefined before there was one. */
  get document(): AccessDocument | undefined {
    return this.#document;
  }

  /** What upstreams are asked with, as last known; undefined before there was a good file. */
  get upstreams(): Upstreams | undefined {
    return this.#upstreams;
  }

  /** Whether there was a certificate that can be used. */
  get hasTls(): boolean {
    return this.#used.has(TLS_CERT_FILE);
  }

  /** Whether the last look found something that cannot be used in place of this file. */
  isUnusable(file: string): boolean {
    return this.#problems.has(file) || this.#problems.has(MOUNT);
  }

  /** Looks for changes. Never rejects. */
  async poll(): Promise<void> {
    const { directory } = this.#options;
    await this.#attempt(MOUNT, async () => {
      const data = await realpath(join(directory, "..data")).catch(() => directory);
      const [access, upstreams, cert, key] = await Promise.all(
        [ACCESS_FILE, UPSTREAMS_FILE, TLS_CERT_FILE, TLS_KEY_FILE].map(async (file) => await textOf(join(data, file))),
      );
      if (access !== undefined) await this.#attempt(ACCESS_FILE, () => this.#useDocument(access));
      if (upstreams !== undefined) await this.#attempt(UPSTREAMS_FILE, () => this.#useUpstreams(upstreams));
      if (cert !== undefined && key !== undefined)
        await this.#attempt(TLS_CERT_FILE, async () => await this.#useTls({ cert, key }));
    });
  }

  #useDocument(text: string): void {
    if (this.#used.get(ACCESS_FILE) === text) return;
    this.#document = parseAccessDocument(text);
    this.#used.set(ACCESS_FILE, text);
    this.#options.log.info("clients loaded", { users: this.#document.users.length });
  }

  #useUpstreams(text: string): void {
    if (this.#used.get(UPSTREAMS_FILE) === text) return;
    this.#upstreams = parseUpstreams(text);
    this.#used.set(UPSTREAMS_FILE, text);
    this.#options.log.info("upstreams loaded", { upstreams: this.#upstreams.size });
  }

  async #useTls(pair: TlsPair): Promise<void> {
    const text = `${pair.cert.toString()}${pair.key.toString()}`;
    if (this.#used.get(TLS_CERT_FILE) === text) return;
    createSecureContext(pair); // throws before anything in use is touched
    await this.#options.onTls?.(pair);
    this.#used.set(TLS_CERT_FILE, text);
    this.#options.log.info("serving certificate in use");
  }

  /** What goes wrong in the same way at every look is one line in the log. */
  async #attempt(what: string, work: () => void | Promise<void>): Promise<void> {
    try {
      await work();
      this.#problems.delete(what);
    } catch (thrown) {
      const error = messageOf(thrown);
      if (this.#problems.get(what) === error) return;
      this.#problems.set(what, error);
      this.#options.log.error("mounted access not usable, the last good one stays", { file: what, error });
    }
  }
}
