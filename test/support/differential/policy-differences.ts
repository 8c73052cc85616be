import type { DifferenceName } from "./differences.ts";

/** By case or file: policies about which we say something else than policy-controller does, and why. */
export const POLICY_DIFFERENCES: Readonly<Record<string, DifferenceName>> = {
  "invalid/empty-keyref-and-keylessref.yaml": "missing-lists",
  "invalid/missing-identity.yaml": "missing-lists",
  "nothing at all": "missing-lists",
  "keyless of nothing": "missing-lists",
  "keyless with url and ca-cert": "missing-lists",
  "keyless without identities": "missing-lists",
  "key and keyless": "missing-lists",
  "all three": "missing-lists",
  "certificate authority in a malformed KMS": "missing-lists",
  "two authorities of one name": "duplicate-names",
  "CUE that does not compile": "compiled-at-admission",
  "Rego that does not compile": "compiled-at-admission",
  CEL: "common-expression-language",
};
