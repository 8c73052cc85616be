/** The predicate of cosign's image signatures in bundles: such a statement is a signature, any other an attestation. */
export const SIGN_PREDICATE = "https://sigstore.dev/cosign/sign/v1";

/** cosign's short names of predicate types (its `options.PredicateTypeMap`). */
const SHORT_NAMES: ReadonlyMap<string, string> = new Map([
  ["custom", "https://cosign.sigstore.dev/attestation/v1"],
  ["slsaprovenance", "https://slsa.dev/provenance/v0.2"],
  ["slsaprovenance02", "https://slsa.dev/provenance/v0.2"],
  ["slsaprovenance1", "https://slsa.dev/provenance/v1"],
  ["spdx", "https://spdx.dev/Document"],
  ["spdxjson", "https://spdx.dev/Document"],
  ["cyclonedx", "https://cyclonedx.org/bom"],
  ["link", "https://in-toto.io/Link/v1"],
  ["vuln", "https://cosign.sigstore.dev/attestation/vuln/v1"],
  ["openvex", "https://openvex.dev/ns"],
]);

/** The predicate type that a statement must have for `predicateType` as a policy writes it: a short name's URI, anything else as it is. */
export function predicateUri(predicateType: string): string {
  return SHORT_NAMES.get(predicateType) ?? predicateType;
}
