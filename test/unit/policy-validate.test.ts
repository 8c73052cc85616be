import { generateKeyPairSync } from "node:crypto";
import { expect } from "chai";
import { formatErrors } from "../../core/policy/fielderror.ts";
import { clusterImagePolicyErrors, validateClusterImagePolicy } from "../../core/policy/validate.ts";
import { attestationErrors } from "../../core/policy/validate-attestation.ts";
import type { ClusterImagePolicySpec } from "../../crds/types.ts";
import { cpuMs } from "../support/cpu-time.ts";
import {
  authority,
  CASES,
  DEPRECATED,
  EC_KEY,
  IDENTITIES,
  IDENTITY,
  IMAGES,
  KMS,
  key,
  ONE_KEY,
  ONE_KIND,
} from "../support/policy-cases.ts";

const OPTIONS = { systemNamespace: "cosign-system", failOnEmptyAuthorities: true };

describe("ClusterImagePolicy validation", () => {
  for (const { name, spec, errors, warnings } of CASES) {
    it(name, () => {
      const found = clusterImagePolicyErrors(spec, OPTIONS);
      expect(formatErrors(found, "error")).to.equal(errors);
      expect(formatErrors(found, "warning")).to.equal(warnings);
    });
  }

  for (const [uri, problem] of KMS) {
    for (const [path, spec] of [
      ["key.kms", key({ kms: uri })],
      ["keyless.ca-cert.kms", authority({ keyless: { "ca-cert": { kms: uri }, identities: [IDENTITY] } })],
    ] as const) {
      it(`${path} ${uri}`, () => {
        const expected =
          problem === undefined ? undefined : `invalid value: ${uri}: spec.authorities[0].${path}\n${problem}`;
        expect(formatErrors(clusterImagePolicyErrors(spec, OPTIONS), "error")).to.equal(expected);
      });
    }
  }

  describe("of attestations", () => {
    const policy = (fields: object) => ({ name: "a", predicateType: "https://x", policy: { type: "cue", ...fields } });
    const one = "policy.configMapRef, policy.data, policy.remote";
    const https = { url: "https://example.com", sha256sum: "123" };
    for (const [name, attestation, errors] of [
      ["no name", { predicateType: "https://x" }, "missing field(s): name"],
      ["no type", { name: "a" }, "missing field(s): predicateType"],
      [
        "another language",
        policy({ type: "not-cue", data: "x" }),
        "invalid value: not-cue: policy.type\nonly [cue,rego] are supported at the moment",
      ],
      ["policy without a source", policy({}), `missing field(s): ${one}`],
      [
        "data and configMapRef",
        policy({ data: "x", configMapRef: { name: "n", key: "k" } }),
        `expected exactly one, got both: ${one}`,
      ],
      [
        "three sources",
        policy({ data: "x", configMapRef: { name: "n", key: "k" }, remote: https }),
        `expected exactly one, got both: ${one}`,
      ],
      ["remote", policy({ remote: https }), undefined],
      [
        "remote without TLS",
        policy({ remote: { ...https, url: "http://example.com" } }),
        "invalid value: http://example.com: policy.remote.url\nurl valid is invalid. host and https scheme are expected",
      ],
      [
        "remote of nothing",
        policy({ remote: {} }),
        "invalid value: : policy.remote.url\nurl valid is invalid. host and https scheme are expected\nmissing field(s): policy.remote.sha256sum",
      ],
      ["ConfigMap without a key", policy({ configMapRef: { name: "n" } }), "missing field(s): policy.configMapRef.key"],
    ] as const) {
      it(name, () => expect(formatErrors(attestationErrors(attestation), "error")).to.equal(errors));
    }

    for (const type of [
      "https://cyclonedx.org/schema",
      "urn:x",
      "/absolute/path",
      "https://x/a b",
      "https://x?q=%zz",
    ]) {
      it(`takes the type ${type}`, () =>
        expect(attestationErrors({ name: "a", predicateType: type })).to.deep.equal([]));
    }

    for (const type of [
      "custom",
      "slsaprovenance",
      "spdx",
      "spdxjson",
      "cyclonedx",
      "link",
      "vuln",
      "notsupported",
      "a/b",
      ":x",
      "https://x/%zz",
      "https://a b/",
    ]) {
      it(`warns of the type ${type}`, () => {
        const found = attestationErrors({ name: "a", predicateType: type });
        expect(formatErrors(found, "warning")).to.equal(`invalid value: ${type}: predicateType\n${DEPRECATED}`);
        expect(formatErrors(found, "error")).to.equal(undefined);
      });
    }
  });

  describe("of public keys", () => {
    const pem = (type: string, options: object = {}) => {
      const generate = generateKeyPairSync as (
        type: string,
        options: object,
      ) => { publicKey: { export(o: object): string } };
      return generate(type, options).publicKey.export({ type: "spki", format: "pem" });
    };
    const accepted = (data: string) =>
      formatErrors(clusterImagePolicyErrors(key({ data }), OPTIONS), "error") === undefined;

    it("takes what cosign verifies with", () => {
      for (const namedCurve of ["P-224", "P-256", "P-384", "P-521"])
        expect(accepted(pem("ec", { namedCurve })), namedCurve).to.equal(true);
      expect(accepted(pem("ed25519"))).to.equal(true);
      expect(accepted(pem("rsa", { modulusLength: 1024 }))).to.equal(true);
      const { publicKey } = generateKeyPairSync("rsa", { modulusLength: 1024 });
      expect(accepted(publicKey.export({ type: "pkcs1", format: "pem" }).toString())).to.equal(true);
      expect(accepted(`a comment\n${EC_KEY}\n${pem("ed25519")}`)).to.equal(true);
    });

    it("refuses other keys, other blocks and broken ones", () => {
      expect(accepted(pem("ec", { namedCurve: "secp256k1" }))).to.equal(false);
      expect(accepted(pem("x25519"))).to.equal(false);
      expect(accepted(EC_KEY.replaceAll("PUBLIC KEY", "CERTIFICATE"))).to.equal(false);
      expect(accepted(EC_KEY.replace("-----END PUBLIC KEY-----", ""))).to.equal(false);
      expect(accepted(EC_KEY.replace("MFkw", "MFkx"))).to.equal(false);
      expect(accepted(`${EC_KEY}${EC_KEY.replace("MFkw", "MFkx")}`)).to.equal(false);
      const { privateKey } = generateKeyPairSync("ed25519");
      expect(accepted(privateKey.export({ type: "pkcs8", format: "pem" }).toString())).to.equal(false);
    });

    it("is not slowed down by blocks without an end", () => {
      const evil = () => accepted("-----BEGIN PUBLIC KEY-----".repeat(50_000));
      expect(evil()).to.equal(false);
      expect(cpuMs(evil)).to.be.lessThan(500);
    });
  });

  describe("at admission", () => {
    const validate = (spec: unknown, options = OPTIONS) =>
      validateClusterImagePolicy({ spec: spec as ClusterImagePolicySpec }, options);

    it("puts defaults in place first: keyless needs no url", () => {
      const { errors } = validate(authority({ keyless: { identities: [IDENTITY] } }));
      expect(errors).to.equal(undefined);
    });

    it("says what the API server says where identities are missing", () => {
      const last = 'spec.authorities[0].keyless.identities: Invalid value: "null": name at least one identity';
      expect(validate(authority({ keyless: {} })).errors).to.equal(`${IDENTITIES}\n${last}`);
      expect(validate(authority({ keyless: {}, key: {} })).errors).to.equal(
        `expected exactly one, got both: ${ONE_KIND}\n${last}`,
      );
      expect(validate(authority({ keyless: { identities: [] } })).errors).to.equal(IDENTITIES);
    });

    it("takes null for absent", () => {
      const { errors } = validate({
        images: IMAGES,
        authorities: [{ key: {}, keyless: null, static: null, source: null }],
        policy: null,
        match: null,
      });
      expect(errors).to.equal(`expected exactly one, got neither: ${ONE_KEY}`);
    });

    it("allows a policy without authorities where the configuration does", () => {
      expect(validate({ images: IMAGES }, { ...OPTIONS, failOnEmptyAuthorities: false }).errors).to.equal(undefined);
    });

    it("takes another system namespace", () => {
      const elsewhere = key({ secretRef: { name: "s", namespace: "elsewhere" } });
      expect(validate(elsewhere, { ...OPTIONS, systemNamespace: "elsewhere" }).errors).to.equal(undefined);
    });

    it("gives warnings line by line", () => {
      const { errors, warnings } = validate(
        authority({ key: { data: EC_KEY }, attestations: [{ name: "a", predicateType: "vuln" }] }),
      );
      expect(errors).to.equal(undefined);
      expect(warnings).to.deep.equal([
        "invalid value: vuln: spec.authorities[0].attestations.predicateType",
        DEPRECATED,
      ]);
    });

    it("refuses an object without a spec", () => {
      expect(validate(undefined).errors).to.equal("missing field(s): spec.authorities, spec.images");
    });
  });
});
