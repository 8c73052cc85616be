import { expect } from "chai";
import { predicateUri } from "../../core/policy/predicates.ts";

describe("predicate types", () => {
  for (const [written, uri] of [
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
    ["https://slsa.dev/provenance/v1", "https://slsa.dev/provenance/v1"],
    ["Custom", "Custom"],
    ["constructor", "constructor"],
  ] as const) {
    it(`${written} means ${uri}`, () => {
      expect(predicateUri(written)).to.equal(uri);
    });
  }
});
