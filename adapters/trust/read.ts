import { type CustomTarget, customMetadata, trustedRootOfTargets } from "../../core/trust/custommetadata.ts";
import type { TufTargets } from "./client.ts";
import { TufError } from "./repository.ts";
import { checkedTrustedRoot } from "./trustedroot.ts";

export const TRUSTED_ROOT_TARGET = "trusted_root.json";
/** Sigstore has a handful. */
const CUSTOM_LIMIT = 64;

async function customTargets({ listed, read }: TufTargets): Promise<readonly CustomTarget[]> {
  const wanted = listed.flatMap(({ name, custom }) => {
    const metadata = customMetadata(custom);
    return metadata === undefined ? [] : [{ name, ...metadata }];
  });
  if (wanted.length > CUSTOM_LIMIT)
    throw new TufError("TUF_INVALID", `more than ${CUSTOM_LIMIT} TUF targets are of Sigstore`);
  const found: CustomTarget[] = [];
  for (const target of wanted) {
    const content = await read(target.name);
    if (content !== undefined) found.push({ ...target, content });
  }
  return found;
}

/**
 * The trusted root that a TUF repository has in the target `name`, delegated ones included, or, if it has no such target, in targets
 * whose custom metadata says what they are for. Checked: see `checkedTrustedRoot`. Throws `TufError`, or `TRUST_ROOT_INVALID`.
 */
export async function readTrustedRoot(targets: TufTargets, name: string = TRUSTED_ROOT_TARGET): Promise<string> {
  const content = await targets.read(name);
  if (content !== undefined)
    return checkedTrustedRoot(content.toString("utf8"), `TUF target ${JSON.stringify(name.slice(0, 80))}`);
  const custom = await customTargets(targets);
  if (custom.length === 0)
    throw new TufError(
      "TUF_INVALID",
      `the repository has no target ${JSON.stringify(name.slice(0, 80))}, and none with custom metadata of Sigstore`,
    );
  return checkedTrustedRoot(trustedRootOfTargets(custom), "TUF targets");
}
