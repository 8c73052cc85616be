import { createHash } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import {
  installedCopy,
  PUBLIC_GOOD_MIRROR,
  publicGoodReader,
  type ReadPublicGood,
} from "../../adapters/trust/publicgood.ts";
import { DomainError, messageOf } from "../../core/errors.ts";
import { rootErrors } from "../../core/policy/validate-trustroot-material.ts";
import type { OperatorFlags } from "../flags.ts";

/** Where the trusted root comes from that authorities get which name no TrustRoot. */
export interface PublicGoodSource {
  /** Says which mirror and root it is: what was read from another is not used in its place. */
  readonly id: string;
  /** Absent with `--disable-tuf`. */
  readonly read?: ReadPublicGood;
  /** The installation's copy. Absent with a `--tuf-root` of one's own: whoever trusts another instance does not trust this one. */
  readonly copy?: string;
}

const ROOT_LIMIT = 512_000;

function rootFile(path: string): Buffer {
  const unusable = (why: string, cause?: unknown) =>
    new DomainError("CONFIG_INVALID", `operator flags: --tuf-root="${path}": ${why}`, { terminal: true, cause });
  try {
    if (statSync(path).size > ROOT_LIMIT) throw unusable(`it has more than ${ROOT_LIMIT} bytes`);
    const bytes = readFileSync(path);
    if (rootErrors(bytes.toString("base64")).length > 0) throw unusable("it is no root.json of a TUF repository");
    return bytes;
  } catch (thrown) {
    throw thrown instanceof DomainError ? thrown : unusable(messageOf(thrown), thrown);
  }
}

/** What `flags` say. Reads files, nothing from outside. Throws `CONFIG_INVALID` for a `--tuf-root` that can't be used. */
export function publicGoodSource(flags: OperatorFlags): PublicGoodSource {
  const { root: installedRoot, trustedRoot } = installedCopy();
  const root = flags.tufRoot === undefined ? installedRoot : rootFile(flags.tufRoot);
  const mirror = flags.tufMirror ?? PUBLIC_GOOD_MIRROR;
  return {
    id: createHash("sha256").update(`${mirror}\n`).update(root).digest("hex").slice(0, 32),
    ...(!flags.disableTuf && { read: publicGoodReader({ mirror, root }) }),
    ...(root.equals(installedRoot) && { copy: trustedRoot }),
  };
}
