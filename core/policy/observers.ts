import type { Authority } from "../../crds/index.ts";
import { fieldsOf, parseJson, stringField } from "../json.ts";
import type { LogRequirement, TrustedRootJson } from "./types.ts";

/** The TrustedRoot of a TrustRoot by name, of the public-good instance for undefined. */
type TrustedRoots = (name: string | undefined) => TrustedRootJson | undefined;

/** Who must have seen a signature being made. `missing`: trust material that the authority names is not there. */
export type Observers =
  | {
      readonly kind: "known";
      readonly log: LogRequirement;
      readonly timestamps?: { readonly trustedRoot: TrustedRootJson };
    }
  | { readonly kind: "missing"; readonly reason: string };

const IGNORED: LogRequirement = { kind: "ignored" };

/** Why a trust root is not there, in policy-controller's words where it has some. */
export function missingRoot(name: string | undefined): string {
  return name === undefined
    ? "the public-good trust root is not there: give the operator a TUF mirror, or name a TrustRoot in trustRootRef"
    : `trustRootRef ${name} not found`;
}

/** The URL of the last log that a root names: policy-controller's `rekorClientAndKeysFromAuthority`. */
function lastLogUrl(trustedRoot: TrustedRootJson): string | undefined {
  const logs = fieldsOf(parseJson(trustedRoot))?.["tlogs"];
  return Array.isArray(logs) ? stringField(logs.at(-1), "baseUrl") || undefined : undefined;
}

function required(root: string | undefined, url: string | undefined, roots: TrustedRoots): Observers {
  const trustedRoot = roots(root);
  if (trustedRoot === undefined) return { kind: "missing", reason: missingRoot(root) };
  const asked = (root === undefined ? undefined : lastLogUrl(trustedRoot)) ?? url;
  return { kind: "known", log: { kind: "required", trustedRoot, ...(asked !== undefined && { url: asked }) } };
}

/**
 * What an authority requires of transparency logs and timestamp authorities: policy-controller's `checkOptsFromAuthority`, row by
 * row. A timestamp authority takes the log's place; a log is required of a keyless authority on the public-good instance even
 * where it names none, and of no other that names none; `ctlog: {}` asks for nothing.
 */
export function observersOf(authority: Authority, roots: TrustedRoots): Observers {
  const { ctlog, keyless, rfc3161timestamp } = authority;
  if (rfc3161timestamp !== undefined) {
    const root = rfc3161timestamp.trustRootRef || undefined;
    const trustedRoot = roots(root);
    if (trustedRoot === undefined) return { kind: "missing", reason: missingRoot(root) };
    return { kind: "known", log: IGNORED, timestamps: { trustedRoot } };
  }
  if (ctlog?.trustRootRef) return required(ctlog.trustRootRef, ctlog.url, roots);
  if (ctlog?.url) return required(undefined, ctlog.url, roots);
  const publicGood = keyless !== undefined && ctlog === undefined && !keyless.trustRootRef;
  return publicGood ? required(undefined, undefined, roots) : { kind: "known", log: IGNORED };
}
