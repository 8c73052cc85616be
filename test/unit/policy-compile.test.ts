import { createHash, generateKeyPairSync } from "node:crypto";
import { expect } from "chai";
import { parseReference } from "../../core/image/reference.ts";
import { keepLastGood } from "../../core/policy/compile.ts";
import { staticVerdict } from "../../core/policy/evaluate.ts";
import { policiesFor } from "../../core/policy/match.ts";
import type { CompileSources, ResolvedPolicy } from "../../core/policy/sources.ts";
import type { CompiledAuthority, CompiledPolicy } from "../../core/policy/types.ts";
import type { Authority, ClusterImagePolicySpec, EvaluatedPolicy } from "../../crds/types.ts";

import { keyed, PEM, policy } from "../support/admission.ts";

const IMAGES = [{ glob: "**" }];
const OTHER = generateKeyPairSync("ed25519").publicKey.export({ type: "spki", format: "pem" }).toString();
const ROOT = '{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}';
const KMS = "hashivault://release";
const REGO = "package sigstore\ndefault isCompliant = false";
const SUM = createHash("sha256").update(REGO).digest("hex");

const resolved = (some: Partial<ResolvedPolicy>) => () => ({
  generation: 1,
  keys: {},
  documents: {},
  problems: {},
  ...some,
});
const of = (authority: Authority): ClusterImagePolicySpec => ({ images: IMAGES, authorities: [authority] });
const only = ({ authorities }: CompiledPolicy): CompiledAuthority => {
  const [authority] = authorities;
  if (authority === undefined || authorities.length !== 1) throw new Error("one authority expected");
  return authority;
};
const keysOf = (compiled: CompiledPolicy) => {
  const authority = only(compiled);
  return authority.kind === "key" ? authority.keys : undefined;
};

describe("the keys of a policy", () => {
  const found: readonly (readonly [name: string, Authority, Partial<CompileSources>, keys: readonly string[]])[] = [
    ["in the policy", { key: { data: PEM } }, {}, [PEM]],
    ["several in one text, comments and all", { key: { data: `release:\n${PEM}\n${OTHER}` } }, {}, [PEM, OTHER]],
    [
      "in a Secret",
      { key: { secretRef: { name: "s" } } },
      { secrets: (name) => (name === "s" ? { "any.key": Buffer.from(PEM) } : undefined) },
      [PEM],
    ],
    ["in a KMS", { key: { kms: KMS } }, { resolved: resolved({ keys: { [KMS]: PEM } }) }, [PEM]],
    [
      "in a KMS that fails now: the last good",
      { key: { kms: KMS } },
      { resolved: resolved({ keys: { [KMS]: PEM }, problems: { [KMS]: "connection refused" } }) },
      [PEM],
    ],
  ];
  for (const [name, authority, sources, keys] of found) {
    it(`are found ${name}`, () => {
      const compiled = policy(of(authority), sources);
      expect(compiled.problem).to.equal(undefined);
      expect(keysOf(compiled)).to.deep.equal(keys);
    });
  }

  it("are sought for the policy's own UID", () => {
    const asked: string[] = [];
    policy(of({ key: { kms: KMS } }), { resolved: (uid) => void asked.push(uid) as undefined });
    expect(asked).to.deep.equal(["uid-p"]);
  });

  const secret = (data: Record<string, string>) => ({
    secrets: () => Object.fromEntries(Object.entries(data).map(([name, text]) => [name, Buffer.from(text)])),
  });
  const missing: readonly (readonly [name: string, Authority, Partial<CompileSources>, problem: string])[] = [
    [
      "no Secret",
      { key: { secretRef: { name: "gone" } } },
      {},
      'secret "gone" is not in the system namespace: create it with the public key in it',
    ],
    ["an empty Secret", { key: { secretRef: { name: "s" } } }, secret({}), 'secret "s" contains no data'],
    [
      "a Secret of two entries",
      { key: { secretRef: { name: "s" } } },
      secret({ a: PEM, b: PEM }),
      'secret "s" contains multiple data entries, only one is supported',
    ],
    [
      "a Secret without a key in it",
      { key: { secretRef: { name: "s" } } },
      secret({ a: "x" }),
      'secret "s": there is no PEM block: it begins with -----BEGIN PUBLIC KEY-----',
    ],
    ["a KMS not asked yet", { key: { kms: KMS } }, {}, `${KMS} is not there: the operator has not fetched it yet`],
    [
      "a KMS that never answered",
      { key: { kms: KMS } },
      { resolved: resolved({ problems: { [KMS]: "permission denied" } }) },
      `the public key of ${KMS} is not there: permission denied`,
    ],
    ["no PEM", { key: { data: "x" } }, {}, "authority authority-0: key.data: there is no PEM block"],
    ["an unknown hash", { key: { data: PEM, hashAlgorithm: "md5" } }, {}, 'hashAlgorithm "md5" is none of'],
  ];
  for (const [name, authority, sources, problem] of missing) {
    it(`that are not there (${name}) are a problem of the policy`, () => {
      expect(policy(of(authority), sources).problem).to.include(problem);
    });
  }

  for (const [written, expected] of [
    [undefined, "sha256"],
    ["", "sha256"],
    [" SHA512 ", "sha512"],
    ["sha224", "sha224"],
    ["Sha384", "sha384"],
  ] as const) {
    it(`hash ${JSON.stringify(written)} is ${expected}`, () => {
      const key = { data: PEM, ...(written !== undefined && { hashAlgorithm: written }) };
      expect(only(policy(of({ key })))).to.include({ kind: "key", hashAlgorithm: expected });
    });
  }
});

describe("the CUE, Rego or CEL of a policy", () => {
  const condition = (block: EvaluatedPolicy, sources: Partial<CompileSources> = {}) =>
    policy({ ...of({ key: { data: PEM } }), policy: block }, sources);
  const maps = (data: Record<string, string>) => ({
    configMaps: (name: string) => (name === "m" ? data : undefined),
  });
  const remote = { url: "https://example.com/p.rego", sha256sum: SUM };

  const found: readonly (readonly [string, EvaluatedPolicy, Partial<CompileSources>])[] = [
    ["in the policy", { type: "rego", data: REGO }, {}],
    ["in a ConfigMap", { type: "rego", configMapRef: { name: "m", key: "k" } }, maps({ k: REGO, other: "x" })],
    ["at a URL", { type: "rego", remote }, { resolved: resolved({ documents: { [SUM]: REGO } }) }],
    [
      "at a URL that fails now: the last good",
      { type: "rego", remote },
      { resolved: resolved({ documents: { [SUM]: REGO }, problems: { [remote.url]: "down" } }) },
    ],
  ];
  for (const [name, block, sources] of found) {
    it(`is found ${name}`, () => {
      const compiled = condition({ ...block, includeSpec: true }, sources);
      expect(compiled.problem).to.equal(undefined);
      expect(compiled.condition).to.deep.equal({
        language: "rego",
        source: REGO,
        fetchConfigFile: false,
        includeSpec: true,
        includeObjectMeta: false,
        includeTypeMeta: false,
      });
    });
  }

  for (const type of ["cue", "rego", "cel"]) {
    it(`may be ${type}`, () => expect(condition({ type, data: "x" }).condition?.language).to.equal(type));
  }

  const missing: readonly (readonly [string, EvaluatedPolicy, Partial<CompileSources>, problem: string])[] = [
    ["no ConfigMap", { type: "cue", configMapRef: { name: "gone", key: "k" } }, {}, 'ConfigMap "gone" is not in'],
    ["no such key", { type: "cue", configMapRef: { name: "m", key: "k" } }, maps({}), 'ConfigMap "m" has no key "k"'],
    ["a URL not fetched yet", { type: "rego", remote }, {}, "the operator has not fetched it yet"],
    [
      "a URL that never answered",
      { type: "rego", remote },
      { resolved: resolved({ problems: { [remote.url]: "connection refused" } }) },
      "the policy at https://example.com/p.rego is not there: connection refused",
    ],
    [
      "another document than its sum",
      { type: "rego", remote },
      { resolved: resolved({ documents: { [SUM]: `${REGO}\n` } }) },
      `does not have the sha256sum ${SUM}`,
    ],
    ["another language", { type: "lua", data: "x" }, {}, 'policy.type "lua" is none of cue, rego, cel'],
    ["no source", { type: "cue" }, {}, "none of data, configMapRef, remote"],
  ];
  for (const [name, block, sources, problem] of missing) {
    it(`that is not there (${name}) is a problem, in spec.policy and in an attestation`, () => {
      expect(condition(block, sources).problem).to.include(problem);
      const attestations = [{ name: "a", predicateType: "https://x", policy: block }];
      expect(policy(of({ key: { data: PEM }, attestations }), sources).problem).to.include(problem);
    });
  }
});

describe("a policy that does not compile", () => {
  const problems: readonly (readonly [name: string, spec: ClusterImagePolicySpec, problem: RegExp])[] = [
    ["no images", { images: [], authorities: [{ key: { data: PEM } }] }, /images is empty/],
    ["neither authorities nor policy", { images: IMAGES, authorities: [] }, /authorities is empty/],
    ["an unknown mode", { ...of({ key: { data: PEM } }), mode: "audit" }, /mode "audit" is neither/],
    ["a bad glob", { images: [{ glob: "[" }], authorities: [{ key: { data: PEM } }] }, /invalid glob/],
    ["an authority of nothing", of({}), /has none of key, keyless, static/],
    ["a static verdict that is none", of({ static: { action: "maybe" } }), /must be pass or fail/],
  ];
  for (const [name, spec, problem] of problems) {
    it(`(${name}) refuses everything that it matches`, () => {
      const compiled = policy(spec);
      expect(compiled.problem).to.match(problem);
      expect(staticVerdict(compiled)?.kind).to.equal("undecided");
    });
  }

  it("(a bad glob) matches every image: it must not make room", () => {
    const compiled = policy({ images: [{ glob: "[" }], authorities: [{ key: { data: PEM } }] });
    const subject = { group: "", version: "v1", resource: "pods", labels: {} };
    expect(policiesFor([compiled], parseReference("quay.io/a/b"), subject)).to.have.length(1);
  });

  it("keeps its last good form while its spec is the same", () => {
    const bad = policy({ images: [{ glob: "ghcr.io/**" }], authorities: [{ key: { secretRef: { name: "x" } } }] });
    expect(bad.problem).to.not.equal(undefined);
    expect(keepLastGood(keyed, bad)).to.equal(keyed);
    expect(keepLastGood({ ...keyed, generation: 0 }, bad)).to.equal(bad);
    expect(keepLastGood({ ...keyed, uid: "other" }, bad)).to.equal(bad);
    expect(keepLastGood({ ...keyed, problem: "was bad" }, bad)).to.equal(bad);
    expect(keepLastGood(undefined, bad)).to.equal(bad);
    expect(keepLastGood(bad, keyed)).to.equal(keyed);
  });

  it("keeps the form of an earlier generation only while what the new one needs is being fetched", () => {
    const spec = { images: [{ glob: "ghcr.io/**" }], authorities: [{ key: { kms: "gcpkms://k" } }] };
    const waiting = policy(spec);
    expect(waiting.awaitsResolution).to.equal(true);
    expect(keepLastGood({ ...keyed, generation: 0 }, waiting).generation).to.equal(0);
    const failed = {
      generation: waiting.generation,
      keys: {},
      documents: {},
      problems: { "gcpkms://k": "no such key" },
    };
    const settled = policy(spec, { resolved: () => failed });
    expect(settled.problem).to.include("no such key");
    expect(keepLastGood({ ...keyed, generation: 0 }, settled)).to.equal(settled);
  });
});

const IDENTITY = { issuer: "https://issuer", subjectRegExp: "^a" };

describe("the hash of a policy", () => {
  const spec = of({ key: { secretRef: { name: "s" } } });
  const with_ = (pem: string) => ({ secrets: () => ({ k: Buffer.from(pem) }) });
  const base = policy(spec, with_(PEM));

  it("stays when only status moved, or fields are written in another order", () => {
    expect(policy(spec, with_(PEM), { resourceVersion: "99" }).hash).to.equal(base.hash);
    const reordered = { authorities: spec.authorities, images: spec.images } as ClusterImagePolicySpec;
    expect(policy(reordered, with_(PEM)).hash).to.equal(base.hash);
  });

  const keyless = of({ keyless: { identities: [IDENTITY] } });
  const ofMap = { ...of({ key: { data: PEM } }), policy: { type: "cue", configMapRef: { name: "m", key: "k" } } };
  const pairs: readonly (readonly [string, CompiledPolicy, CompiledPolicy])[] = [
    ["a Secret's key", base, policy(spec, with_(OTHER))],
    [
      "a KMS's key",
      policy(of({ key: { kms: KMS } }), { resolved: resolved({ keys: { [KMS]: PEM } }) }),
      policy(of({ key: { kms: KMS } }), { resolved: resolved({ keys: { [KMS]: OTHER } }) }),
    ],
    [
      "a trust root",
      policy(keyless, { trustedRoot: () => ROOT }),
      policy(keyless, { trustedRoot: () => ROOT.replace("0.1", "0.2") }),
    ],
    [
      "a ConfigMap's CUE",
      policy(ofMap, { configMaps: () => ({ k: "a: 1" }) }),
      policy(ofMap, { configMaps: () => ({ k: "a: 2" }) }),
    ],
    ["a glob", keyed, policy({ images: [{ glob: "quay.io/**" }], authorities: [{ name: "k", key: { data: PEM } }] })],
  ];
  for (const [name, a, b] of pairs) {
    it(`moves with ${name}`, () => expect(a.hash).to.not.equal(b.hash));
  }
});
