import type {
  CertificateAuthority,
  SigstoreKeys,
  TransparencyLog,
  TrustRootSpec,
  TufRepository,
} from "../../crds/index.ts";
import { defaultTrustRoot, type TrustRootSource, withoutNulls } from "./defaults.ts";
import {
  type FieldErrors,
  formatErrors,
  invalidValue,
  missingField,
  missingOneOf,
  multipleOneOf,
  viaField,
  viaFieldIndex,
} from "./fielderror.ts";
import type { Validation } from "./validate.ts";
import { authorityChainErrors, decodeBase64, rootErrors } from "./validate-trustroot-material.ts";

/**
 * What is wrong with a TrustRoot, once defaults are in place, in policy-controller's words. Whether its TUF metadata is
 * valid is not judged here.
 */
export function validateTrustRoot(trustRoot: TrustRootSource): Validation {
  const errors = trustRootErrors(defaultTrustRoot(trustRoot));
  return { errors: formatErrors(errors, "error"), warnings: formatErrors(errors, "warning")?.split("\n") ?? [] };
}

/** The same as values, for a spec as it is, without defaults. */
export function trustRootErrors(spec: TrustRootSpec): FieldErrors {
  return viaField("spec", specErrors(withoutNulls(spec)));
}

function specErrors({ remote, repository, sigstoreKeys }: TrustRootSpec): FieldErrors {
  const forms = [remote, repository, sigstoreKeys].filter((form) => form !== undefined).length;
  if (forms === 0) return missingOneOf("repository", "remote", "sigstoreKeys");
  if (forms > 1) return multipleOneOf("repository", "remote", "sigstoreKeys");
  if (repository !== undefined) return viaField("repository", repositoryErrors(repository));
  if (sigstoreKeys !== undefined) return viaField("sigstoreKeys", keysErrors(sigstoreKeys));
  return viaField("remote", [...(remote?.mirror ? [] : missingField("mirror")), ...rootErrors(remote?.root)]);
}

function repositoryErrors({ targets, root, mirrorFS }: TufRepository): FieldErrors {
  const before = [...(targets ? [] : missingField("targets")), ...rootErrors(root)];
  // The field is mirrorFS, but "repository" is what has always been said.
  if (!mirrorFS) return [...before, ...missingField("repository")];
  return before.length > 0 ? before : mirrorErrors(mirrorFS);
}

/** RFC 1952: a gzip file begins with these. */
const GZIP = [0x1f, 0x8b, 0x08];

function mirrorErrors(mirrorFS: string): FieldErrors {
  const bytes = decodeBase64(mirrorFS);
  if (bytes === undefined) return invalidValue("failed to decode", "mirrorFS", "illegal base64 data");
  return GZIP.every((byte, index) => bytes[index] === byte)
    ? []
    : invalidValue("failed to construct a TUF client", "mirrorFS", "failed to uncompress: gzip: invalid header");
}

/**
 * Every item is checked; policy-controller reports the last one alone. The paths of the first list are singular, as
 * they have always been.
 */
function keysErrors(keys: SigstoreKeys): FieldErrors {
  const { certificateAuthorities = [], timestampAuthorities = [], ctLogs = [], tLogs = [] } = keys;
  return [
    ...(certificateAuthorities.length === 0 && timestampAuthorities.length === 0
      ? missingOneOf("certificateAuthority", "timestampAuthorities")
      : []),
    ...certificateAuthorities.flatMap((ca, index) => viaFieldIndex("certificateAuthority", index, authorityErrors(ca))),
    ...timestampAuthorities.flatMap((tsa, index) =>
      viaFieldIndex("timestampAuthorities", index, [...authorityErrors(tsa), ...authorityChainErrors(tsa.certChain)]),
    ),
    ...ctLogs.flatMap((log, index) => viaFieldIndex("ctLogs", index, logErrors(log))),
    ...tLogs.flatMap((log, index) => viaFieldIndex("tLogs", index, logErrors(log))),
  ];
}

function authorityErrors({ subject, uri, certChain, validFor }: CertificateAuthority): FieldErrors {
  return [
    ...(subject?.organization ? [] : missingField("subject.organization")),
    ...(subject?.commonName ? [] : missingField("subject.commonName")),
    ...(uri ? [] : missingField("uri")),
    ...(certChain ? [] : missingField("certchain")),
    ...periodErrors(validFor),
  ];
}

function logErrors({ baseURL, hashAlgorithm, publicKey, validFor }: TransparencyLog): FieldErrors {
  return [
    ...(baseURL ? [] : missingField("baseURL")),
    ...(hashAlgorithm ? [] : missingField("hashAlgorithm")),
    ...(publicKey ? [] : missingField("publicKey")),
    ...periodErrors(validFor),
  ];
}

function periodErrors(period: TransparencyLog["validFor"]): FieldErrors {
  const { start, end } = period ?? {};
  const backwards = start !== undefined && end !== undefined && Date.parse(end) <= Date.parse(start);
  return backwards ? invalidValue(end, "validFor.end", "the end must be after the start") : [];
}
