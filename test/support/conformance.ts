import { join, resolve } from "node:path";

/** The policies of sigstore policy-controller's own tests, which are no part of this project; the folder need not exist. */
export const SAMPLES = resolve(
  process.env["ENTREPOT_CONFORMANCE"] ?? join(import.meta.dirname, "../../../shared/conformance"),
  "clusterimagepolicy",
);
