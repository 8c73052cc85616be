import { parseArgs } from "node:util";

/** How the conformance suite of sigstore's clients calls for a verification (sigstore/sigstore-conformance, docs/cli_protocol.md). */
export interface VerifyBundle {
  readonly bundle: string;
  readonly staging: boolean;
  readonly signer:
    | { readonly kind: "key"; readonly path: string }
    | { readonly kind: "identity"; readonly subject: string; readonly issuer: string };
  readonly trustedRoot?: string;
  /** A path, or `sha256:` and 64 hexadecimal digits. */
  readonly artifact: string;
}

export const USAGE = `Usage: conformance.ts verify-bundle [--staging] --bundle FILE
         (--certificate-identity IDENTITY --certificate-oidc-issuer URL | --key FILE)
         [--trusted-root FILE] FILE_OR_DIGEST`;

const OPTIONS = {
  staging: { type: "boolean", default: false },
  bundle: { type: "string" },
  "certificate-identity": { type: "string" },
  "certificate-oidc-issuer": { type: "string" },
  key: { type: "string" },
  "trusted-root": { type: "string" },
} as const;

function signerOf(
  key: string | undefined,
  subject: string | undefined,
  issuer: string | undefined,
): VerifyBundle["signer"] {
  if (key !== undefined && subject === undefined && issuer === undefined) return { kind: "key", path: key };
  if (key === undefined && subject && issuer) return { kind: "identity", subject, issuer };
  throw new Error("either --key, or --certificate-identity and --certificate-oidc-issuer, must be given");
}

/** Reads the arguments after `verify-bundle`. Throws when they are not as the protocol has them. */
export function parseVerifyBundle(args: readonly string[]): VerifyBundle {
  const { values, positionals } = parseArgs({
    args: [...args],
    options: OPTIONS,
    allowPositionals: true,
    strict: true,
  });
  const [artifact, ...more] = positionals;
  const { bundle, staging, key, "trusted-root": trustedRoot } = values;
  if (bundle === undefined || artifact === undefined || more.length > 0)
    throw new Error("--bundle and one artifact must be given");
  return {
    bundle,
    staging,
    artifact,
    signer: signerOf(key, values["certificate-identity"], values["certificate-oidc-issuer"]),
    ...(trustedRoot !== undefined && { trustedRoot }),
  };
}
