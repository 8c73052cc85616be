import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { DomainError } from "../../core/errors.ts";
import { fieldsOf, parseJson, stringField } from "../../core/json.ts";
import { TufClient } from "./client.ts";
import { httpMirror, type MirrorOptions } from "./mirror.ts";
import { readTrustedRoot, TRUSTED_ROOT_TARGET } from "./read.ts";
import { checkedTrustedRoot } from "./trustedroot.ts";

/** Where Sigstore's public-good instance publishes what it trusts. */
export const PUBLIC_GOOD_MIRROR = "https://tuf-repo-cdn.sigstore.dev";

/** What the installation has of the public-good instance. */
export interface InstalledCopy {
  /** The root.json that trust begins with. */
  readonly root: Buffer;
  /** The TrustedRoot in protobuf JSON as of when the installation was made, checked. */
  readonly trustedRoot: string;
}

/** Reads the copy that comes with `@sigstore/tuf`. Throws `INSTALLATION_BROKEN` if it is not there. */
export function installedCopy(): InstalledCopy {
  const path = createRequire(import.meta.url).resolve("@sigstore/tuf/seeds.json");
  const seed = fieldsOf(parseJson(readFileSync(path, "utf8")))?.[PUBLIC_GOOD_MIRROR];
  const root = stringField(seed, "root.json");
  const trustedRoot = stringField(fieldsOf(seed)?.["targets"], TRUSTED_ROOT_TARGET);
  if (root === undefined || trustedRoot === undefined)
    throw new DomainError("INSTALLATION_BROKEN", `the installation has no copy of ${PUBLIC_GOOD_MIRROR}`);
  const text = Buffer.from(trustedRoot, "base64").toString("utf8");
  return { root: Buffer.from(root, "base64"), trustedRoot: checkedTrustedRoot(text, "the copy in the installation") };
}

export interface PublicGoodOptions extends MirrorOptions {
  readonly mirror: string;
  readonly root: Buffer;
  /** For one refresh; 60 s if absent. */
  readonly refreshMs?: number;
}

/** Reads the trusted root of the public-good instance, or of another that takes its place, through TUF. Throws `DomainError`. */
export type ReadPublicGood = (signal: AbortSignal) => Promise<string>;

/** A reader that remembers what it has seen, so that the repository cannot go back. Two calls must not overlap. */
export function publicGoodReader({ mirror, root, refreshMs, ...options }: PublicGoodOptions): ReadPublicGood {
  const client = new TufClient({ root, ...(refreshMs !== undefined && { refreshMs }) });
  return async (signal) => {
    const files = httpMirror(mirror, options);
    try {
      return await client.refresh(files, signal, (targets) => readTrustedRoot(targets));
    } finally {
      await files.close();
    }
  };
}
