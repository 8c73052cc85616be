import { RE2JS } from "re2js";
import type { Authority, Identity, KeylessRef, SignatureSource, StaticRef } from "../../crds/index.ts";
import { messageOf } from "../errors.ts";
import {
  asWarnings,
  type FieldErrors,
  invalidValue,
  missingField,
  missingOneOf,
  multipleOneOf,
  viaField,
  viaFieldIndex,
} from "./fielderror.ts";
import { attestationErrors } from "./validate-attestation.ts";
import { keyErrors } from "./validate-key.ts";
import { repositoryProblem } from "./validate-repository.ts";

interface Context {
  readonly systemNamespace: string;
}

/** What is wrong with an authority, with paths from the authority. */
export function authorityErrors(authority: Authority, context: Context): FieldErrors {
  const { key, keyless, static: fixed, source = [], attestations = [] } = authority;
  const kinds = [key, keyless, fixed].filter((kind) => kind !== undefined).length;
  // Nothing more is said of these two: what is wrong inside would only distract.
  if (kinds === 0) return missingOneOf("key", "keyless", "static");
  if (kinds > 1) return multipleOneOf("key", "keyless", "static");
  return [
    ...(key === undefined ? [] : viaField("key", keyErrors(key, context, "keys"))),
    ...(keyless === undefined ? [] : viaField("keyless", keylessErrors(keyless, context))),
    ...(fixed === undefined ? [] : [...viaField("static", staticErrors(fixed)), ...besideStatic(authority)]),
    ...(source.length > 1
      ? invalidValue("source", "source", "only single source is supported")
      : source.flatMap((one, index) => viaFieldIndex("source", index, sourceErrors(one)))),
    ...attestations.flatMap((attestation) => viaField("attestations", attestationErrors(attestation))),
    ...formatWarnings(authority.signatureFormat),
  ];
}

/** policy-controller takes any text here, and looks for classic signatures for all of them but `bundle`. */
function formatWarnings(format: string | undefined): FieldErrors {
  if (!format || format === "legacy" || format === "bundle") return [];
  const says = "unknown format: say bundle to insist on bundles; both formats are looked for now";
  return asWarnings(invalidValue(format, "signatureFormat", says));
}

function staticErrors({ action }: StaticRef): FieldErrors {
  if (!action) return missingField("action");
  return action === "pass" || action === "fail" ? [] : invalidValue(action, "action", "unsupported action");
}

/** A fixed verdict looks at nothing: what says where and how to look contradicts it. */
function besideStatic(authority: Authority): FieldErrors {
  return [
    ...((authority.attestations ?? []).length > 0 ? multipleOneOf("static", "attestations") : []),
    ...((authority.source ?? []).length > 0 ? multipleOneOf("static", "source") : []),
    ...(authority.ctlog !== undefined ? multipleOneOf("static", "ctlog") : []),
    ...(authority.rfc3161timestamp !== undefined ? multipleOneOf("static", "rfc3161timestamp") : []),
  ];
}

function keylessErrors(keyless: KeylessRef, context: Context): FieldErrors {
  const { url, "ca-cert": authority, identities = [] } = keyless;
  return [
    ...(url === undefined && authority === undefined ? missingOneOf("url", "ca-cert") : []),
    ...(url !== undefined && authority !== undefined ? multipleOneOf("url", "ca-cert") : []),
    ...(authority === undefined ? [] : viaField("ca-cert", keyErrors(authority, context, "authority"))),
    ...(identities.length === 0 ? missingField("identities") : []),
    ...identities.flatMap((identity, index) => viaFieldIndex("identities", index, identityErrors(identity))),
  ];
}

function identityErrors(identity: Identity): FieldErrors {
  const { issuer, issuerRegExp, subject, subjectRegExp } = identity;
  return [
    ...(issuer && issuerRegExp ? multipleOneOf("issuer", "issuerRegExp") : []),
    ...(subject && subjectRegExp ? multipleOneOf("subject", "subjectRegExp") : []),
    ...(issuerRegExp ? regexErrors(issuerRegExp, "issuerRegExp") : []),
    ...(subjectRegExp ? regexErrors(subjectRegExp, "subjectRegExp") : []),
    ...(subject || subjectRegExp ? [] : missingField("subject", "subjectRegExp")),
    ...(issuer || issuerRegExp ? [] : missingField("issuer", "issuerRegExp")),
  ];
}

/**
 * RE2, as Go's regexp package: the engine's messages are Go's, but for one that lacks the empty expression at its end.
 */
function regexErrors(regex: string, path: string): FieldErrors {
  try {
    RE2JS.compile(regex);
    return [];
  } catch (thrown) {
    const message = messageOf(thrown).replace(/trailing backslash at end of expression$/, "$&: ``");
    return invalidValue(regex, path, `regex is invalid: ${message}`);
  }
}

function sourceErrors({ oci, signaturePullSecrets = [] }: SignatureSource): FieldErrors {
  const problem = oci ? repositoryProblem(oci) : undefined;
  return [
    ...(oci && problem !== undefined ? invalidValue(oci, "oci", problem) : []),
    ...signaturePullSecrets.flatMap(({ name }, index) =>
      viaFieldIndex("signaturePullSecrets", index, name ? [] : missingField("name")),
    ),
  ];
}
