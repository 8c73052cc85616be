// What an authority asks of an image: static verdicts, keys, where signatures lie.
import { CUSTOM } from "./images.ts";
import { type Place, pod, type Scenario, workload } from "./model.ts";

/** A key authority, inline. */
export const by = (at: Place, key: "a" | "b", more: object = {}) => ({
  key: { data: at.keys[key].publicKey },
  ...more,
});

const images = (at: Place) => [{ glob: at.glob }];
const withPullSecret = { podSpec: { imagePullSecrets: [{ name: "guarded-registry" }] } };

export const authorities: readonly Scenario[] = [
  {
    name: "static-pass",
    images: ["unsigned"],
    policies: (at) => ({ p: { images: images(at), authorities: [{ static: { action: "pass" } }] } }),
    rows: [
      { name: "by digest", ask: (at) => pod(at.image("unsigned").pinned), theirs: "admitted" },
      {
        name: "by tag",
        ask: (at) => pod(at.image("unsigned").tagged),
        theirs: "admitted",
        differs: { because: "static-asks-nobody", ours: "admitted" },
      },
      { name: "by tag and digest", ask: (at) => pod(at.image("unsigned").both), theirs: "admitted" },
      {
        name: "an image that is not there",
        ask: (at) => pod(`${at.prefix}/nowhere:v1`),
        theirs: { refused: "must be an image digest" },
        differs: { because: "static-asks-nobody", ours: "admitted" },
      },
    ],
  },
  {
    name: "static-fail",
    images: ["unsigned"],
    policies: (at) => ({
      plain: { images: [{ glob: `${at.prefix}/unsigned**` }], authorities: [{ static: { action: "fail" } }] },
      worded: {
        images: [{ glob: `${at.prefix}/worded**` }],
        authorities: [{ static: { action: "fail", message: "not from here" } }],
      },
    }),
    rows: [
      {
        name: "without a message",
        ask: (at) => pod(at.image("unsigned").pinned),
        theirs: { refused: "disallowed by static policy: " },
      },
      {
        name: "with a message",
        ask: (at) => pod(`${at.prefix}/worded@${at.image("unsigned").digest}`),
        theirs: { refused: "disallowed by static policy: not from here" },
      },
      {
        name: "in a Deployment",
        ask: (at) => workload("Deployment", at.image("unsigned").pinned),
        theirs: { refused: "failed policy: static-fail-plain: spec.template.spec.containers[0].image" },
      },
    ],
  },
  {
    name: "key",
    images: ["signed", "unsigned", "other", "both", "attested", "bundle"],
    policies: (at) => ({ p: { images: images(at), authorities: [by(at, "a")] } }),
    rows: [
      { name: "signed", ask: (at) => pod(at.image("signed").pinned), theirs: "admitted" },
      { name: "signed, by tag", ask: (at) => pod(at.image("signed").tagged), theirs: "admitted" },
      { name: "signed by it and another", ask: (at) => pod(at.image("both").pinned), theirs: "admitted" },
      { name: "unsigned", ask: (at) => pod(at.image("unsigned").pinned), theirs: { refused: "no signatures found" } },
      {
        name: "signed by another",
        ask: (at) => pod(at.image("other").pinned),
        theirs: { refused: "no matching signatures" },
      },
      {
        name: "only attested",
        ask: (at) => pod(at.image("attested").pinned),
        theirs: { refused: "no signatures found" },
      },
      {
        name: "signed as cosign does it now",
        ask: (at) => pod(at.image("bundle").pinned),
        theirs: { refused: "no signatures found" },
        differs: { because: "bundles", ours: "admitted" },
      },
      {
        name: "a tag that is not there",
        ask: (at) => pod(`${at.image("signed").name}:gone`),
        theirs: { refused: "must be an image digest" },
        differs: { because: "tags-that-do-not-resolve", ours: { refused: "key/signed:gone" } },
      },
    ],
  },
  {
    name: "key-bundles",
    images: ["bundle"],
    policies: (at) => ({ p: { images: images(at), authorities: [by(at, "a", { signatureFormat: "bundle" })] } }),
    rows: [
      {
        name: "signed as cosign does it now",
        ask: (at) => pod(at.image("bundle").pinned),
        theirs: { refused: "failed policy: key-bundles-p" },
        differs: { because: "bundles", ours: "admitted" },
      },
    ],
  },
  {
    name: "key-secret",
    images: ["signed", "other"],
    secrets: (at) => ({ "compare-key": { "cosign.pub": at.keys.a.publicKey } }),
    policies: (at) => ({ p: { images: images(at), authorities: [{ key: { secretRef: { name: "compare-key" } } }] } }),
    rows: [
      { name: "signed", ask: (at) => pod(at.image("signed").pinned), theirs: "admitted" },
      {
        name: "signed by another",
        ask: (at) => pod(at.image("other").pinned),
        theirs: { refused: "no matching signatures" },
      },
    ],
  },
  {
    name: "key-sha512",
    images: ["signed"],
    policies: (at) => ({
      p: { images: images(at), authorities: [{ key: { data: at.keys.a.publicKey, hashAlgorithm: "sha512" } }] },
    }),
    rows: [
      {
        name: "signed over SHA-256",
        ask: (at) => pod(at.image("signed").pinned),
        theirs: { refused: "no matching signatures" },
      },
    ],
  },
  {
    name: "several-keys",
    images: ["signed", "other"],
    policies: (at) => ({
      p: { images: images(at), authorities: [{ key: { data: at.keys.a.publicKey + at.keys.b.publicKey } }] },
    }),
    rows: [
      { name: "signed by the first", ask: (at) => pod(at.image("signed").pinned), theirs: "admitted" },
      {
        name: "signed by the second",
        ask: (at) => pod(at.image("other").pinned),
        theirs: { refused: "no matching signatures" },
        differs: { because: "several-keys", ours: "admitted" },
      },
    ],
  },
  {
    name: "either-key",
    images: ["signed", "other", "unsigned"],
    policies: (at) => ({ p: { images: images(at), authorities: [by(at, "a"), by(at, "b")] } }),
    rows: [
      { name: "signed by the first", ask: (at) => pod(at.image("signed").pinned), theirs: "admitted" },
      { name: "signed by the second", ask: (at) => pod(at.image("other").pinned), theirs: "admitted" },
      {
        name: "signed by neither",
        ask: (at) => pod(at.image("unsigned").pinned),
        theirs: { refused: "signature key validation failed for authority authority-1" },
      },
    ],
  },
  {
    name: "both-policies",
    images: ["signed", "both", "unsigned"],
    policies: (at) => ({
      a: { images: images(at), authorities: [by(at, "a", { name: "first" })] },
      b: { images: images(at), authorities: [by(at, "b", { name: "second" })] },
    }),
    rows: [
      { name: "signed for both", ask: (at) => pod(at.image("both").pinned), theirs: "admitted" },
      {
        name: "signed for one",
        ask: (at) => pod(at.image("signed").pinned),
        theirs: { refused: "failed policy: both-policies-b: spec.containers[0].image" },
      },
    ],
  },
  {
    name: "duplicate-names",
    images: ["signed"],
    policies: (at) => ({
      p: {
        images: images(at),
        authorities: [by(at, "a", { name: "same" }), { name: "same", static: { action: "fail" } }],
        policy: { type: "cue", data: "authorityMatches: same: signatures: [...{id: string}]" },
      },
    }),
    rows: [{ name: "signed", ask: (at) => pod(at.image("signed").pinned), theirs: "admitted" }],
  },
  {
    name: "source",
    images: ["signed", "prefixed", "unsigned"],
    guarded: ["signed"],
    policies: (at) => ({
      elsewhere: {
        images: [{ glob: `${at.prefix}/elsewhere**` }],
        authorities: [by(at, "a", { source: [{ oci: at.image("signed").name }] })],
      },
      prefix: {
        images: [{ glob: `${at.prefix}/prefixed**` }, { glob: `${at.prefix}/signed**` }],
        authorities: [by(at, "a", { source: [{ tagPrefix: "prefix-" }] })],
      },
      guarded: {
        images: [{ glob: `${at.prefix}/asked**` }],
        authorities: [
          by(at, "a", {
            source: [{ oci: at.guarded("signed").name, signaturePullSecrets: [{ name: "guarded-registry" }] }],
          }),
        ],
      },
      refused: {
        images: [{ glob: `${at.prefix}/barred**` }],
        authorities: [by(at, "a", { source: [{ oci: at.guarded("signed").name }] })],
      },
    }),
    rows: [
      {
        name: "another repository",
        ask: (at) => pod(`${at.prefix}/elsewhere@${at.image("signed").digest}`),
        theirs: "admitted",
      },
      {
        name: "another repository that has none for it",
        ask: (at) => pod(`${at.prefix}/elsewhere@${at.image("unsigned").digest}`),
        theirs: { refused: "no signatures found" },
      },
      { name: "a tag prefix", ask: (at) => pod(at.image("prefixed").pinned), theirs: "admitted" },
      {
        name: "a tag prefix that the signature lacks",
        ask: (at) => pod(at.image("signed").pinned),
        theirs: { refused: "no signatures found" },
      },
      {
        name: "credentials for signatures",
        ask: (at) => pod(`${at.prefix}/asked@${at.guarded("signed").digest}`),
        theirs: "admitted",
      },
      {
        name: "no credentials for signatures",
        ask: (at) => pod(`${at.prefix}/barred@${at.guarded("signed").digest}`),
        theirs: { refused: "UNAUTHORIZED" },
        differs: { because: "what-registries-say", ours: { refused: "signature key validation failed for authority" } },
      },
    ],
  },
  {
    name: "pull-secrets",
    images: [],
    guarded: ["signed", "both"],
    policies: (at) => ({
      p: {
        images: ["signed", "both"].map((kind) => ({ glob: `${at.guarded(kind as "both").name}**` })),
        authorities: [by(at, "a")],
      },
    }),
    rows: [
      { name: "of the Pod", ask: (at) => pod(at.guarded("signed").pinned, withPullSecret), theirs: "admitted" },
      { name: "of the Pod, by tag", ask: (at) => pod(at.guarded("signed").tagged, withPullSecret), theirs: "admitted" },
      {
        name: "none",
        ask: (at) => pod(at.guarded("both").pinned), // one that nobody asked about with credentials: what is known needs none
        theirs: { refused: "UNAUTHORIZED" },
        differs: { because: "what-registries-say", ours: { refused: "signature key validation failed for authority" } },
      },
    ],
  },
  {
    name: "attested",
    images: ["attested", "signed", "bundle-attested"],
    policies: (at) => ({
      p: {
        images: images(at),
        authorities: [by(at, "a", { attestations: [{ name: "custom", predicateType: CUSTOM }] })],
      },
    }),
    rows: [
      { name: "attested", ask: (at) => pod(at.image("attested").pinned), theirs: "admitted" },
      {
        name: "signed only",
        ask: (at) => pod(at.image("signed").pinned),
        theirs: { refused: "no matching attestations" },
      },
      {
        name: "attested as cosign does it now",
        ask: (at) => pod(at.image("bundle-attested").pinned),
        theirs: { refused: "no matching attestations" },
        differs: { because: "bundles", ours: "admitted" },
      },
    ],
  },
];
