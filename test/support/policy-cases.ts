// What policy-controller says of policies, letter by letter: for our validation alone, and for both systems side by side.
import type { Authority, ClusterImagePolicySpec, KeyRef } from "../../crds/types.ts";

export const EC_KEY = `-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaEOVJCFtduYr3xqTxeRWSW32CY/s
TBNZj4oIUPl8JvhVPJ1TKDPlNcuT4YphSt6t3yOmMvkdQbCj8broX6vijw==
-----END PUBLIC KEY-----
`;

export const IMAGES = [{ glob: "gcr.io/*" }];
const AUTHORITIES: Authority[] = [{ key: { data: EC_KEY } }];
export const IDENTITY = { issuer: "issuer", subject: "subject" };

export const key = (ref: KeyRef): ClusterImagePolicySpec => ({ images: IMAGES, authorities: [{ key: ref }] });
export const authority = (one: Authority): ClusterImagePolicySpec => ({ images: IMAGES, authorities: [one] });
const identity = (one: object): ClusterImagePolicySpec =>
  authority({ keyless: { url: "https://fulcio.example.com", identities: [one] } });
const match = (entry: object): ClusterImagePolicySpec => ({
  images: IMAGES,
  authorities: AUTHORITIES,
  match: [entry],
});

export interface Case {
  readonly name: string;
  readonly spec: ClusterImagePolicySpec;
  readonly errors?: string;
  readonly warnings?: string;
}

export const ONE_KEY = "spec.authorities[0].key.data, spec.authorities[0].key.kms, spec.authorities[0].key.secretref";
export const ONE_KIND = "spec.authorities[0].key, spec.authorities[0].keyless, spec.authorities[0].static";
const FULCIO = "spec.authorities[0].keyless.ca-cert, spec.authorities[0].keyless.url";
export const IDENTITIES = "missing field(s): spec.authorities[0].keyless.identities";
const ID = "spec.authorities[0].keyless.identities[0]";
export const DEPRECATED = "deprecated value, please use RFC 3986 conformant values";
const MALFORMED_KMS = "kms key should be in the format awskms://[ENDPOINT]/[ID/ALIAS/ARN] (endpoint optional)";
const UUID = "1234abcd-12ab-34cd-56ef-1234567890ab";

/** What policy-controller's own tests expect of both versions, letter by letter. */
export const CASES: readonly Case[] = [
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
      attestations: [{ name: "a", predicateType: "https://x", policy: { type: "cue", data: "x: 1", [field]: false } }],
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
      "invalid value: authority-1: spec.authorities[1].name\nanother authority has this name; spec.policy sees what both of them found as one",
  },
];

/** A URI of AWS KMS, and what is wrong with it; each is tried as a key and as a certificate authority. */
export const KMS: readonly (readonly [string, string | undefined])[] = [
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
