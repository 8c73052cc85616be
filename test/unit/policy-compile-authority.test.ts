import { expect } from "chai";
import { degradedBy } from "../../core/policy/compile.ts";
import { staticVerdict } from "../../core/policy/evaluate.ts";
import type { CompiledAuthority, CompiledPolicy } from "../../core/policy/types.ts";
import type { Authority, ClusterImagePolicySpec } from "../../crds/types.ts";

import { PEM, policy } from "../support/admission.ts";

const IMAGES = [{ glob: "**" }];
const ROOT = '{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}';
const KMS = "hashivault://release";
const REGO = "package sigstore";

const of = (authority: Authority): ClusterImagePolicySpec => ({ images: IMAGES, authorities: [authority] });
const only = ({ authorities }: CompiledPolicy): CompiledAuthority => {
  const [authority] = authorities;
  if (authority === undefined || authorities.length !== 1) throw new Error("one authority expected");
  return authority;
};

const IDENTITY = { issuer: "https://issuer", subjectRegExp: "^a" };

describe("keyless authorities", () => {
  const roots = { trustedRoot: (name: string | undefined) => (name === undefined ? ROOT : undefined) };
  const keyless = (more: NonNullable<Authority["keyless"]> = {}) =>
    of({ keyless: { identities: [IDENTITY], ...more } });

  it("believe the public-good instance", () => {
    expect(only(policy(keyless(), roots))).to.deep.equal({
      kind: "keyless",
      name: "authority-0",
      index: 0,
      source: { pullSecrets: [] },
      log: { kind: "required", trustedRoot: ROOT },
      bundlesOnly: false,
      attestations: [],
      issuers: { kind: "trusted-root", trustedRoot: ROOT },
      identities: [{ issuer: { kind: "exact", text: "https://issuer" }, subject: { kind: "pattern", text: "^a" } }],
      ignoreSct: false,
    });
  });

  it("believe a TrustRoot by name", () => {
    const compiled = policy(keyless({ trustRootRef: "corp", insecureIgnoreSCT: true }), {
      trustedRoot: (name) => (name === "corp" ? ROOT : undefined),
    });
    expect(only(compiled)).to.deep.include({
      issuers: { kind: "trusted-root", trustedRoot: ROOT },
      log: { kind: "ignored" },
      ignoreSct: true,
    });
  });

  const CERTIFICATE = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  for (const [name, ca, sources, issuers] of [
    ["certificates in the policy", { data: CERTIFICATE }, {}, { kind: "certificates", pem: CERTIFICATE }],
    [
      "certificates in a Secret",
      { secretRef: { name: "s" } },
      { secrets: () => ({ "ca.crt": Buffer.from(CERTIFICATE) }) },
      { kind: "certificates", pem: CERTIFICATE },
    ],
    ["a public key", { data: PEM }, {}, { kind: "key", pem: PEM }],
    [
      "a key in a KMS",
      { kms: KMS },
      { resolved: () => ({ generation: 1, keys: { [KMS]: PEM }, documents: {}, problems: {} }) },
      { kind: "key", pem: PEM },
    ],
  ] as const) {
    it(`believe a ca-cert: ${name}`, () => {
      const spec = of({ keyless: { "ca-cert": ca, identities: [IDENTITY] }, ctlog: {} });
      expect(only(policy(spec, sources))).to.deep.include({ issuers });
    });
  }

  const unusable: readonly (readonly [string, ClusterImagePolicySpec, reason: RegExp])[] = [
    ["the public-good root", keyless(), /^the public-good trust root is not there/],
    ["a TrustRoot", keyless({ trustRootRef: "gone" }), /^trustRootRef gone not found$/],
    ["a log's TrustRoot", of({ key: { data: PEM }, ctlog: { trustRootRef: "gone" } }), /^trustRootRef gone not found$/],
    [
      "a timestamp authority's TrustRoot",
      of({ key: { data: PEM }, rfc3161timestamp: { trustRootRef: "gone" } }),
      /^trustRootRef gone not found$/,
    ],
  ];
  for (const [name, spec, reason] of unusable) {
    it(`are unusable without ${name}, which refuses and is told`, () => {
      const compiled = policy(spec);
      const authority = only(compiled);
      expect(authority.kind === "unusable" ? authority.reason : authority.kind).to.match(reason);
      expect(compiled.problem).to.equal(undefined);
      expect(degradedBy(compiled)).to.include(authority.kind === "unusable" ? authority.reason : "unusable");
      const verdict = staticVerdict(compiled);
      expect(verdict?.kind === "fail" && verdict.reasons[0]).to.match(/^constructing checkOpts for authority-0: /);
    });
  }

  it("leave the others of their policy usable", () => {
    const compiled = policy({
      images: IMAGES,
      authorities: [{ keyless: { identities: [IDENTITY] } }, { key: { data: PEM } }],
    });
    expect(compiled.authorities.map(({ kind }) => kind)).to.deep.equal(["unusable", "key"]);
    expect(staticVerdict(compiled)).to.equal(undefined);
  });

  for (const [name, identities, problem] of [
    ["no identity", [], "authority authority-0: keyless.identities is empty"],
    ["half an identity", [{ issuer: "i" }], "an identity has neither subject nor subjectRegExp"],
    ["a broken expression", [{ issuer: "i", subjectRegExp: "(" }], "subjectRegExp: error parsing regexp"],
  ] as const) {
    it(`with ${name} are a problem, never anybody's signature`, () => {
      expect(policy(keyless({ identities: [...identities] }), roots).problem).to.include(problem);
    });
  }
});

describe("the source, form and attestations of an authority", () => {
  it("are as the policy says", () => {
    const authority = only(
      policy(
        of({
          name: "mine",
          key: { data: PEM },
          source: [{ oci: "ghcr.io/acme/signatures", tagPrefix: "v2-", signaturePullSecrets: [{ name: "a" }] }],
          signatureFormat: "bundle",
          attestations: [
            { name: "scan", predicateType: "vuln", policy: { type: "rego", data: REGO } },
            { name: "sbom", predicateType: "https://spdx.dev/Document" },
          ],
        }),
      ),
    );
    expect(authority).to.deep.include({
      name: "mine",
      source: { repository: "ghcr.io/acme/signatures", tagPrefix: "v2-", pullSecrets: ["a"] },
      bundlesOnly: true,
      attestations: [
        { name: "scan", predicateType: "vuln", evaluator: { language: "rego", source: REGO } },
        { name: "sbom", predicateType: "https://spdx.dev/Document" },
      ],
    });
  });

  for (const format of ["", "legacy", "unheard-of"]) {
    it(`take both forms for the format ${JSON.stringify(format)}`, () => {
      expect(only(policy(of({ key: { data: PEM }, signatureFormat: format })))).to.include({ bundlesOnly: false });
    });
  }
});
