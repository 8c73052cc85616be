import { generateKeyPairSync } from "node:crypto";
import { expect } from "chai";
import { formatErrors } from "../../core/policy/fielderror.ts";
import { clusterImagePolicyErrors, validateClusterImagePolicy } from "../../core/policy/validate.ts";
import { attestationErrors } from "../../core/policy/validate-attestation.ts";
import type { Authority, ClusterImagePolicySpec, KeyRef } from "../../crds/types.ts";

const OPTIONS = { systemNamespace: "cosign-system", failOnEmptyAuthorities: true };

const EC_KEY = `-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaEOVJCFtduYr3xqTxeRWSW32CY/s
TBNZj4oIUPl8JvhVPJ1TKDPlNcuT4YphSt6t3yOmMvkdQbCj8broX6vijw==
-----END PUBLIC KEY-----
`;

const IMAGES = [{ glob: "gcr.io/*" }];
const AUTHORITIES: Authority[] = [{ key: { data: EC_KEY } }];
const IDENTITY = { issuer: "issuer", subject: "subject" };

const key = (ref: KeyRef): ClusterImagePolicySpec => ({ images: IMAGES, authorities: [{ key: ref }] });
const authority = (one: Authority): ClusterImagePolicySpec => ({ images: IMAGES, authorities: [one] });
const identity = (one: object): ClusterImagePolicySpec =>
  authority({ keyless: { url: "https://fulcio.example.com", identities: [one] } });
const match = (entry: object): ClusterImagePolicySpec => ({ images: IMAGES, authorities: AUTHORITIES, match: [entry] });

interface Case {
  readonly name: string;
  readonly spec: ClusterImagePolicySpec;
  readonly errors?: string;
  readonly warnings?: string;
}

const ONE_KEY = "spec.authorities[0].key.data, spec.authorities[0].key.kms, spec.authorities[0].key.secretref";
const ONE_KIND = "spec.authorities[0].key, spec.authorities[0].keyless, spec.authorities[0].static";
const FULCIO = "spec.authorities[0].keyless.ca-cert, spec.authorities[0].keyless.url";
const IDENTITIES = "missing field(s): spec.authorities[0].keyless.identities";
const ID = "spec.authorities[0].keyless.identities[0]";
const DEPRECATED = "deprecated value, please use RFC 3986 conformant values";
const MALFORMED_KMS = "kms key should be in the format awskms://[ENDPOINT]/[ID/ALIAS/ARN] (endpoint optional)";
const UUID = "1234abcd-12ab-34cd-56ef-1234567890ab";

/** What policy-controller's own tests expect of both versions, letter by letter. */
const CASES: readonly Case[] = [
  {
    name: "image without glob, no authorities",
    spec: { images: [{}] },
    errors: "missing field(s): spec.authorities, spec.images[0].glob",
  },
  {
    name: "glob that is no pattern",
    spec: { images: [{ glob: "[" }] },
    errors:
      "invalid value: [: spec.images[0].glob\nglob is invalid: syntax error in pattern\nmissing field(s): spec.authorities",
  },
  {
    name: "glob of other characters",
    spec: { images: [{ glob: "$FOO*" }] },
    errors:
      'invalid value: $FOO*: spec.images[0].glob\nglob is invalid: invalid glob "$FOO*"\nmissing field(s): spec.authorities',
  },
  {
    name: "glob with a character class",
    spec: { images: [{ glob: "[a-z]*" }], authorities: AUTHORITIES },
    errors: 'invalid value: [a-z]*: spec.images[0].glob\nglob is invalid: invalid glob "[a-z]*"',
  },
  { name: "nothing at all", spec: {}, errors: "missing field(s): spec.authorities, spec.images" },
  { name: "no authorities", spec: { images: IMAGES, authorities: [] }, errors: "missing field(s): spec.authorities" },
  { name: "inline key", spec: key({ data: EC_KEY }) },
  {
    name: "key in two places",
    spec: key({ data: EC_KEY, kms: "hashivault://key" }),
    errors: `expected exactly one, got both: ${ONE_KEY}`,
  },
  {
    name: "KMS and Secret",
    spec: key({ kms: "hashivault://key", secretRef: { name: "s" } }),
    errors: `expected exactly one, got both: ${ONE_KEY}`,
  },
  {
    name: "key that is none",
    spec: key({ data: "---some key data----" }),
    errors: "invalid value: ---some key data----: spec.authorities[0].key.data",
  },
  { name: "empty key", spec: key({}), errors: `expected exactly one, got neither: ${ONE_KEY}` },
  { name: "Secret", spec: key({ secretRef: { name: "s" } }) },
  { name: "Secret in the system namespace", spec: key({ secretRef: { name: "s", namespace: "cosign-system" } }) },
  {
    name: "Secret elsewhere",
    spec: key({ secretRef: { name: "s", namespace: "invalid" } }),
    errors:
      "invalid value: invalid: spec.authorities[0].key.secretref.namespace\nsecretref.namespace is invalid. If set, it should use the same namespace where the policy-controller was deployed",
  },
  { name: "hash algorithm", spec: key({ data: EC_KEY, hashAlgorithm: " SHA512 " }) },
  {
    name: "unknown hash algorithm",
    spec: key({ data: EC_KEY, hashAlgorithm: "shaINVALID" }),
    errors: "invalid value: shaINVALID: spec.authorities[0].key.hashAlgorithm",
  },
  {
    name: "keyless of nothing",
    spec: authority({ keyless: {} }),
    errors: `expected exactly one, got neither: ${FULCIO}\n${IDENTITIES}`,
  },
  {
    name: "keyless with url and ca-cert",
    spec: authority({ keyless: { url: "https://x", "ca-cert": { data: EC_KEY } } }),
    errors: `expected exactly one, got both: ${FULCIO}\n${IDENTITIES}`,
  },
  { name: "keyless without identities", spec: authority({ keyless: { url: "https://x" } }), errors: IDENTITIES },
  { name: "keyless", spec: authority({ keyless: { url: "https://x", identities: [IDENTITY] } }) },
  {
    name: "static of nothing",
    spec: authority({ static: {} }),
    errors: "missing field(s): spec.authorities[0].static.action",
  },
  {
    name: "static of another kind",
    spec: authority({ static: { action: "garbage" } }),
    errors: "invalid value: garbage: spec.authorities[0].static.action\nunsupported action",
  },
  { name: "static fail", spec: authority({ static: { action: "fail", message: "no" } }) },
  {
    name: "unknown mode",
    spec: { images: IMAGES, authorities: AUTHORITIES, mode: "garbage" },
    errors: "invalid value: garbage: spec.mode\nunsupported mode",
  },
  {
    name: "several things, sorted by message",
    spec: { images: [{}], authorities: AUTHORITIES, mode: "garbage" },
    errors: "invalid value: garbage: spec.mode\nunsupported mode\nmissing field(s): spec.images[0].glob",
  },
  { name: "mode warn", spec: { images: IMAGES, authorities: AUTHORITIES, mode: "warn" } },
  { name: "authority of nothing", spec: authority({}), errors: `expected exactly one, got neither: ${ONE_KIND}` },
  {
    name: "key and keyless",
    spec: authority({ key: {}, keyless: {} }),
    errors: `expected exactly one, got both: ${ONE_KIND}`,
  },
  {
    name: "all three",
    spec: authority({ key: {}, keyless: {}, static: {} }),
    errors: `expected exactly one, got both: ${ONE_KIND}`,
  },
  {
    name: "static with what looks",
    spec: authority({
      static: { action: "pass" },
      source: [{ oci: "registry.example.com" }],
      ctlog: {},
      attestations: [{ name: "a", predicateType: "vuln" }],
    }),
    errors:
      "expected exactly one, got both: spec.authorities[0].attestations, spec.authorities[0].ctlog, spec.authorities[0].source, spec.authorities[0].static",
    warnings: `invalid value: vuln: spec.authorities[0].attestations.predicateType\n${DEPRECATED}`,
  },
  {
    name: "static with a timestamp",
    spec: authority({
      static: { action: "pass" },
      source: [{ oci: "registry.example.com" }],
      rfc3161timestamp: {},
      attestations: [{ name: "a", predicateType: "https://x" }],
    }),
    errors:
      "expected exactly one, got both: spec.authorities[0].attestations, spec.authorities[0].rfc3161timestamp, spec.authorities[0].source, spec.authorities[0].static",
  },
  {
    name: "two sources",
    spec: authority({ key: { data: EC_KEY }, source: [{ oci: "a.b/c" }, { oci: "re@gistry/x" }] }),
    errors: "invalid value: source: spec.authorities[0].source\nonly single source is supported",
  },
  ...["registry.example.com", "localhost:8080/test", "localhost", "ghcr.io/sigstore/test", "gcr.io"].map((oci) => ({
    name: `source ${oci}`,
    spec: authority({ key: { data: EC_KEY }, source: [{ oci }] }),
  })),
  {
    name: "source with a wildcard",
    spec: authority({ key: { data: EC_KEY }, source: [{ oci: "registry.example.com/repo/*" }] }),
    errors:
      "invalid value: registry.example.com/repo/*: spec.authorities[0].source[0].oci\nrepository can only contain the characters `abcdefghijklmnopqrstuvwxyz0123456789_-./`: repo/*",
  },
  {
    name: "source that is no registry",
    spec: authority({ key: { data: EC_KEY }, source: [{ oci: "re@gistry/reponame" }] }),
    errors:
      "invalid value: re@gistry/reponame: spec.authorities[0].source[0].oci\nregistries must be valid RFC 3986 URI authorities: re@gistry/reponame",
  },
  {
    name: "source whose registry is none",
    spec: authority({ key: { data: EC_KEY }, source: [{ oci: "gcr.@io/test" }] }),
    errors:
      "invalid value: gcr.@io/test: spec.authorities[0].source[0].oci\nregistries must be valid RFC 3986 URI authorities: gcr.@io",
  },
  {
    name: "source that means another repository",
    spec: authority({ key: { data: EC_KEY }, source: [{ oci: "docker.io/nginx" }] }),
    errors:
      "invalid value: docker.io/nginx: spec.authorities[0].source[0].oci\nstrict validation requires the full repository path (missing 'library')",
  },
  {
    name: "source of one character",
    spec: authority({ key: { data: EC_KEY }, source: [{ oci: "ghcr.io/a" }] }),
    errors:
      "invalid value: ghcr.io/a: spec.authorities[0].source[0].oci\nrepository must be between 2 and 255 characters in length: a",
  },
  {
    name: "pull secret without a name",
    spec: authority({ key: { data: EC_KEY }, source: [{ signaturePullSecrets: [{ name: "" }] }] }),
    errors: "missing field(s): spec.authorities[0].source[0].signaturePullSecrets[0].name",
  },
  {
    name: "unknown KMS",
    spec: key({ kms: "fookms://localhost:8888/xpa:butnotvalid" }),
    errors:
      "invalid value: fookms://localhost:8888/xpa:butnotvalid: spec.authorities[0].key.kms\nmalformed KMS format, should be prefixed by any of the supported providers: [awskms:// azurekms:// hashivault:// gcpkms://]",
  },
  {
    name: "certificate authority in a malformed KMS",
    spec: authority({ keyless: { "ca-cert": { kms: "awskms://localhost:8888/arn:butnotvalid" } } }),
    errors: `invalid value: awskms://localhost:8888/arn:butnotvalid: spec.authorities[0].keyless.ca-cert.kms\n${MALFORMED_KMS}\n${IDENTITIES}`,
  },
  ...(["fetchConfigFile", "includeSpec", "includeObjectMeta", "includeTypeMeta"] as const).map((field) => ({
    name: `${field} in an attestation`,
    spec: authority({
      key: { data: EC_KEY },
      attestations: [{ name: "a", predicateType: "https://x", policy: { type: "cue", data: "x", [field]: false } }],
    }),
    errors: `must not set the field(s): spec.authorities[0].attestations.policy.${field}`,
  })),
  {
    name: "spec.policy, whose paths lack its name",
    spec: { images: IMAGES, authorities: AUTHORITIES, policy: { type: "garbage", includeSpec: true } },
    errors:
      "invalid value: garbage: spec.type\nonly [cue,rego] are supported at the moment\nmissing field(s): spec.configMapRef, spec.data, spec.remote",
  },
  { name: "issuer and subject", spec: identity(IDENTITY) },
  { name: "regular expressions", spec: identity({ issuerRegExp: ".*iss.*", subjectRegExp: "^sub(ject)?$" }) },
  {
    name: "empty identity",
    spec: identity({}),
    errors: `missing field(s): ${ID}.issuer, ${ID}.issuerRegExp, ${ID}.subject, ${ID}.subjectRegExp`,
  },
  {
    name: "two issuers",
    spec: identity({ issuer: "i", issuerRegExp: "i", subject: "s" }),
    errors: `expected exactly one, got both: ${ID}.issuer, ${ID}.issuerRegExp`,
  },
  {
    name: "two subjects",
    spec: identity({ issuer: "i", subject: "s", subjectRegExp: "s" }),
    errors: `expected exactly one, got both: ${ID}.subject, ${ID}.subjectRegExp`,
  },
  { name: "no issuer", spec: identity({ subject: "s" }), errors: `missing field(s): ${ID}.issuer, ${ID}.issuerRegExp` },
  {
    name: "no subject",
    spec: identity({ issuer: "i" }),
    errors: `missing field(s): ${ID}.subject, ${ID}.subjectRegExp`,
  },
  ...["issuer", "subject"].map((field) => ({
    name: `malformed ${field}RegExp`,
    spec: identity({ issuer: "i", subject: "s", [field]: "", [`${field}RegExp`]: "****" }),
    errors: `invalid value: ****: ${ID}.${field}RegExp\nregex is invalid: error parsing regexp: missing argument to repetition operator: \`*\``,
  })),
  {
    name: "regular expression that ends in a backslash",
    spec: identity({ issuer: "i", subjectRegExp: "a\\" }),
    errors: `invalid value: a\\: ${ID}.subjectRegExp\nregex is invalid: error parsing regexp: trailing backslash at end of expression: \`\``,
  },
  { name: "match", spec: match({ resource: "deployments", version: "v1", group: "apps", selector: {} }) },
  {
    name: "unknown resource",
    spec: match({ resource: "myobject" }),
    errors: "invalid value: myobject: spec.match[0].resource\nunsupported resource name",
  },
  {
    name: "selector of nothing",
    spec: match({ selector: { matchLabels: { a: "b" } } }),
    errors: "invalid value: : spec.match[0].selector\nselector requires a resource type to match the labels",
  },
  {
    name: "two authorities of one name",
    spec: { images: IMAGES, authorities: [{ name: "authority-1", key: { data: EC_KEY } }, { key: { data: EC_KEY } }] },
    warnings:
      "invalid value: authority-1: spec.authorities[1].name\nanother authority has this name; spec.policy sees only one of them",
  },
];

/** A URI of AWS KMS, and what is wrong with it; each is tried as a key and as a certificate authority. */
const KMS: readonly (readonly [string, string | undefined])[] = [
  [`awskms:///arn:aws:kms:us-east-2:111122223333:key/${UUID}`, undefined],
  [`awskms://localhost:4566/arn:aws:kms:us-east-2:111122223333:key/${UUID}`, undefined],
  ["awskms:///arn:aws:kms:us-east-2:111122223333:alias/ExampleAlias", undefined],
  ["awskms://localhost:4566/arn:aws:kms:us-east-2:111122223333:alias/ExampleAlias", undefined],
  [
    `awskms://${UUID}`,
    "malformed AWS KMS format 'awskms://$ENDPOINT/$KEYID', should be conformant with KMS standard documented here: https://docs.aws.amazon.com/kms/latest/developerguide/concepts.html#key-id",
  ],
  [
    "awskms://localhost:::4566/alias/exampleAlias",
    "malformed endpoint: address localhost:::4566: too many colons in address",
  ],
  ["awskms://localhost/alias/exampleAlias", "malformed endpoint: address localhost: missing port in address"],
  ["awskms://[::1]:4566/alias/exampleAlias", "failed to parse either key or alias arn: arn: invalid prefix"],
  ["awskms://[::1]/alias/exampleAlias", "malformed endpoint: address [::1]: missing port in address"],
  ["awskms://[::1/alias/exampleAlias", "malformed endpoint: address [::1: missing ']' in address"],
  ["awskms://local]host:1/alias/exampleAlias", "malformed endpoint: address local]host:1: unexpected ']' in address"],
  ["awskms://localhost:4566/alias/exampleAlias", "failed to parse either key or alias arn: arn: invalid prefix"],
  [`awskms:///${UUID}`, "failed to parse either key or alias arn: arn: invalid prefix"],
  ["awskms://localhost:4566/arn:sonotvalid", MALFORMED_KMS],
  [`awskms://arn:aws:kms:us-east-2:111122223333:key/${UUID}`, MALFORMED_KMS],
  ["awskms://alias/alias/x", MALFORMED_KMS],
  ["azurekms://anything", undefined],
  ["gcpkms://anything", undefined],
  ["hashivault://anything", undefined],
];

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
      const started = performance.now();
      expect(accepted("-----BEGIN PUBLIC KEY-----".repeat(50_000))).to.equal(false);
      expect(performance.now() - started).to.be.lessThan(500);
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
