import { messageOf } from "../../core/errors.ts";
import { defaultTrustRoot } from "../../core/policy/defaults.ts";
import { formatErrors, invalidValue, viaField } from "../../core/policy/fielderror.ts";
import { decodeBase64 } from "../../core/policy/validate-trustroot-material.ts";
import type { TrustRootSpec, TufRepository } from "../../crds/index.ts";
import { archivedRepository } from "./archive.ts";
import { TufClient } from "./client.ts";
import { TRUSTED_ROOT_TARGET } from "./read.ts";
import { TufError } from "./repository.ts";

const CHECK_MS = 5_000; // an admission request has ten seconds

async function checkTargets(
  root: Uint8Array,
  mirror: Uint8Array,
  { targets, trustedRootTarget }: TufRepository,
): Promise<void> {
  const client = new TufClient({ root: Buffer.from(root), ...(targets && { targets }), refreshMs: CHECK_MS });
  const files = await archivedRepository(mirror);
  const none = new TufError("TUF_INVALID", "there are no valid targetfiles in TUF repo");
  await client.refresh(files, new AbortController().signal, async ({ listed, read }) => {
    // policy-controller looks at the top-level role alone; a trusted root that is delegated is as good.
    if (listed.length === 0 && (await read(trustedRootTarget ?? TRUSTED_ROOT_TARGET)) === undefined) throw none;
  });
}

/**
 * What is wrong with `spec.repository` as a TUF repository, in policy-controller's words and form, or undefined if nothing is (or if
 * there is no repository): it unpacks it in memory and goes through TUF's whole workflow, expiry included. For specs that
 * `validateTrustRoot` has passed. Never rejects, reads nothing from outside.
 */
export async function checkRepository(spec: TrustRootSpec): Promise<string | undefined> {
  const { repository } = defaultTrustRoot({ spec });
  const root = decodeBase64(repository?.root ?? "");
  const mirror = decodeBase64(repository?.mirrorFS ?? "");
  if (repository === undefined) return undefined;
  const invalid = (why: string) =>
    formatErrors(
      viaField("spec.repository", invalidValue("failed to construct a TUF client", "mirrorFS", why)),
      "error",
    );
  if (root === undefined || mirror === undefined) return invalid("illegal base64 data");
  try {
    await checkTargets(root, mirror, repository);
    return undefined;
  } catch (thrown) {
    return invalid(messageOf(thrown));
  }
}
