import { RE2JS } from "re2js";
import type { Authority, Identity, KeylessRef } from "../../crds/index.ts";
import { messageOf } from "../errors.ts";
import { parseReference, repositoryName } from "../image/reference.ts";
import { compileEvaluator } from "./compile-evaluator.ts";
import { hashAlgorithmOf, keyText, type Lookups, publicKeyPems } from "./compile-key.ts";
import { missingRoot, observersOf } from "./observers.ts";
import type {
  CertificateIdentity,
  CertificateIssuers,
  CompiledAuthority,
  RequiredAttestation,
  SignatureSource,
  StaticAuthority,
  TextMatcher,
} from "./types.ts";
import { uncompilable } from "./uncompilable.ts";

const CERTIFICATE = "-----BEGIN CERTIFICATE-----";

function sourceOf(authority: Authority): SignatureSource {
  const source = authority.source?.[0];
  const oci = source?.oci;
  const pullSecrets = (source?.signaturePullSecrets ?? []).flatMap(({ name }) => (name ? [name] : []));
  return {
    pullSecrets,
    ...(oci ? { repository: repositoryName(parseReference(oci)) } : {}),
    ...(source?.tagPrefix ? { tagPrefix: source.tagPrefix } : {}),
  };
}

function attestationsOf(authority: Authority, lookups: Lookups): readonly RequiredAttestation[] {
  return (authority.attestations ?? []).map(({ name = "", predicateType = "", policy }) => ({
    name,
    predicateType,
    ...(policy !== undefined && { evaluator: compileEvaluator(policy, lookups) }),
  }));
}

function matcher(exact: string | undefined, pattern: string | undefined, field: string): TextMatcher {
  if (exact) return { kind: "exact", text: exact };
  if (!pattern) throw uncompilable(`an identity has neither ${field} nor ${field}RegExp`);
  try {
    RE2JS.compile(pattern);
  } catch (thrown) {
    throw uncompilable(`${field}RegExp: ${messageOf(thrown)}`);
  }
  return { kind: "pattern", text: pattern };
}

function identityOf({ issuer, issuerRegExp, subject, subjectRegExp }: Identity): CertificateIdentity {
  return { issuer: matcher(issuer, issuerRegExp, "issuer"), subject: matcher(subject, subjectRegExp, "subject") };
}

/** undefined: the trust root is not there. */
function issuersOf(keyless: KeylessRef, name: string, lookups: Lookups): CertificateIssuers | undefined {
  const ca = keyless["ca-cert"];
  if (ca !== undefined) {
    const text = keyText(ca, `authority ${name}: ca-cert`, lookups);
    if (text.text.includes(CERTIFICATE)) return { kind: "certificates", pem: text.text };
    return { kind: "key", pem: publicKeyPems(text).join("") };
  }
  const trustedRoot = lookups.trustedRoot(keyless.trustRootRef || undefined);
  return trustedRoot === undefined ? undefined : { kind: "trusted-root", trustedRoot };
}

function staticOf(action: string | undefined, message: string, base: { name: string; index: number }): StaticAuthority {
  if (action !== "pass" && action !== "fail")
    throw uncompilable(`authority ${base.name}: static.action must be pass or fail`);
  return { ...base, kind: "static", action, message };
}

/** One authority with everything that it names inlined. Throws `POLICY_UNCOMPILABLE`. */
export function compileAuthority(authority: Authority, index: number, lookups: Lookups): CompiledAuthority {
  const base = { name: authority.name || `authority-${index}`, index };
  const { key, keyless, static: fixed } = authority;
  if (fixed !== undefined) return staticOf(fixed.action, fixed.message ?? "", base);
  const observers = observersOf(authority, lookups.trustedRoot);
  if (observers.kind === "missing") return { ...base, kind: "unusable", reason: observers.reason };
  const signed = {
    ...base,
    source: sourceOf(authority),
    log: observers.log,
    ...(observers.timestamps !== undefined && { timestamps: observers.timestamps }),
    bundlesOnly: authority.signatureFormat === "bundle",
    attestations: attestationsOf(authority, lookups),
  };
  if (key !== undefined) {
    const keys = publicKeyPems(keyText(key, `authority ${base.name}: key`, lookups));
    return { ...signed, kind: "key", keys, hashAlgorithm: hashAlgorithmOf(key.hashAlgorithm) };
  }
  if (keyless === undefined) throw uncompilable(`authority ${base.name} has none of key, keyless, static`);
  const identities = (keyless.identities ?? []).map(identityOf);
  if (identities.length === 0) throw uncompilable(`authority ${base.name}: keyless.identities is empty`);
  const issuers = issuersOf(keyless, base.name, lookups);
  if (issuers === undefined) {
    return { ...base, kind: "unusable", reason: missingRoot(keyless.trustRootRef || undefined) };
  }
  return { ...signed, kind: "keyless", issuers, identities, ignoreSct: keyless.insecureIgnoreSCT === true };
}
