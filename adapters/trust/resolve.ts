import { createHash } from "node:crypto";
import { defaultTrustRoot } from "../../core/policy/defaults.ts";
import { formatErrors } from "../../core/policy/fielderror.ts";
import { trustRootErrors } from "../../core/policy/validate-trustroot.ts";
import { decodeBase64 } from "../../core/policy/validate-trustroot-material.ts";
import { trustedRootOfKeys } from "../../core/trust/sigstorekeys.ts";
import { invalidTrustRoot } from "../../core/trust/trustedroot.ts";
import type { TrustRootSpec, TufRemote, TufRepository } from "../../crds/index.ts";
import { archivedRepository } from "./archive.ts";
import { TufClient } from "./client.ts";
import { httpMirror, type MirrorOptions } from "./mirror.ts";
import { readTrustedRoot } from "./read.ts";
import { checkedTrustedRoot } from "./trustedroot.ts";

export interface ResolverOptions extends MirrorOptions {
  /** For one refresh of a TUF repository; 60 s if absent. */
  readonly refreshMs?: number;
}

function bytesOf(field: string, base64: string | undefined): Buffer {
  const bytes = decodeBase64(base64 ?? "");
  if (bytes === undefined) throw invalidTrustRoot(field, "illegal base64 data");
  return Buffer.from(bytes);
}

/**
 * The trusted root in a TUF repository that the TrustRoot itself holds. Each call begins anew: which repository is the newest, the
 * object says. Throws `TufError`, `TRUST_ROOT_INVALID`.
 */
async function inlineRoot(repository: TufRepository, signal: AbortSignal): Promise<string> {
  const { targets, trustedRootTarget } = repository;
  const client = new TufClient({
    root: bytesOf("spec.repository.root", repository.root),
    ...(targets !== undefined && { targets }),
  });
  const files = await archivedRepository(bytesOf("spec.repository.mirrorFS", repository.mirrorFS));
  return await client.refresh(files, signal, (current) => readTrustedRoot(current, trustedRootTarget));
}

interface Remembered {
  readonly source: string;
  readonly client: TufClient;
}

/** Turns TrustRoots into trusted roots. It remembers what it has seen of each remote repository, so that none can go back. */
export class TrustRootResolver {
  readonly #options: ResolverOptions;
  readonly #clients = new Map<string, Remembered>();

  constructor(options: ResolverOptions = {}) {
    this.#options = options;
  }

  /**
   * The Sigstore TrustedRoot (protobuf JSON) that `spec` leads to now, checked. `uid` is the object's. Two calls for one uid must not
   * overlap. Throws `DomainError` with words for the status: `terminal` when only a change of the object can help.
   */
  async resolve(uid: string, spec: TrustRootSpec, signal: AbortSignal): Promise<string> {
    const whole = defaultTrustRoot({ spec });
    // The webhook says the same; what was written while it was away is checked here.
    const errors = formatErrors(trustRootErrors(whole), "error");
    if (errors !== undefined) throw invalidTrustRoot("the TrustRoot is not valid", errors.replaceAll("\n", ", "));
    if (whole.remote !== undefined) return await this.#remote(uid, whole.remote, signal);
    this.#clients.delete(uid);
    if (whole.repository !== undefined) return await inlineRoot(whole.repository, signal);
    return checkedTrustedRoot(trustedRootOfKeys(whole.sigstoreKeys ?? {}), "spec.sigstoreKeys");
  }

  /** Forgets every TrustRoot but these. */
  retain(uids: ReadonlySet<string>): void {
    for (const uid of this.#clients.keys()) if (!uids.has(uid)) this.#clients.delete(uid);
  }

  async #remote(uid: string, remote: TufRemote, signal: AbortSignal): Promise<string> {
    const { mirror = "", targets, trustedRootTarget } = remote;
    const root = bytesOf("spec.remote.root", remote.root);
    const source = createHash("sha256").update(`${mirror}\n${targets}\n`).update(root).digest("hex");
    const known = this.#clients.get(uid);
    const { refreshMs } = this.#options;
    const client =
      known?.source === source
        ? known.client
        : new TufClient({
            root,
            ...(targets !== undefined && { targets }),
            ...(refreshMs !== undefined && { refreshMs }),
          });
    this.#clients.set(uid, { source, client });
    const files = httpMirror(mirror, this.#options);
    try {
      return await client.refresh(files, signal, (current) => readTrustedRoot(current, trustedRootTarget));
    } finally {
      await files.close();
    }
  }
}
