// The CUE, Rego and CEL of the examples, in the real engine: it compiles, accepts what it is for, and refuses what it is against.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { loadAll } from "js-yaml";
import { type ClosablePolicyEngine, createPolicyEngine } from "../../adapters/policy/engine.ts";
import type { EvaluationInput, Evaluator } from "../../core/policy/types.ts";
import { findSources } from "../../core/policy/validate-source.ts";
import type { ClusterImagePolicySpec } from "../../crds/index.ts";
import { enginePath } from "../support/policy-engine.ts";

const EXAMPLES = join(import.meta.dirname, "../../examples");

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly spec: ClusterImagePolicySpec;
  readonly data: Readonly<Record<string, string>>;
}

const manifests = readdirSync(EXAMPLES)
  .filter((name) => name.endsWith(".yaml"))
  .flatMap((name) => loadAll(readFileSync(join(EXAMPLES, name), "utf8")) as Manifest[]);

/** Every source that an example has, by policy and attestation. */
const sources = new Map<string, Evaluator>(
  manifests
    .filter(({ kind }) => kind === "ClusterImagePolicy")
    .flatMap(({ metadata, spec }) => {
      const configMaps = (name: string) =>
        manifests.find((other) => other.kind === "ConfigMap" && other.metadata.name === name)?.data;
      const found = findSources(spec, { systemNamespace: "cosign-system", configMaps });
      return found.sources.map(({ evaluator, attestation = "spec" }) => [`${metadata.name} ${attestation}`, evaluator]);
    }),
);

const scan = (uri: string, days: number, severity: string): EvaluationInput => ({
  kind: "statement",
  predicateType: "https://cosign.sigstore.dev/attestation/vuln/v1",
  json: JSON.stringify({
    _type: "https://in-toto.io/Statement/v0.1",
    predicateType: "https://cosign.sigstore.dev/attestation/vuln/v1",
    subject: [],
    predicate: {
      scanner: { uri, result: { Results: [{ Vulnerabilities: [{ VulnerabilityID: "CVE-1", Severity: severity }] }] } },
      metadata: { scanFinishedOn: new Date(Date.now() - days * 86_400_000).toISOString() },
    },
  }),
});
const TRIVY = "pkg:github/aquasecurity/trivy@0.66.0";
const provenance = (uri: string): EvaluationInput => ({
  kind: "statement",
  predicateType: "https://slsa.dev/provenance/v0.2",
  json: JSON.stringify({
    _type: "https://in-toto.io/Statement/v0.1",
    predicateType: "https://slsa.dev/provenance/v0.2",
    subject: [],
    predicate: { builder: { id: "b" }, buildType: "t", invocation: { configSource: { uri } } },
  }),
});
const document = (value: object): EvaluationInput => ({ kind: "document", json: JSON.stringify(value) });
const container = (runAsNonRoot: boolean) => ({ name: "c", securityContext: { runAsNonRoot } });
const fact = { id: "1", predicateType: "t", digest: "sha256:0" };
const signature = { signatures: [{ id: "1" }] };
const attested = { attestations: { provenance: [fact], scan: [fact] } };

const CASES: readonly (readonly [source: string, name: string, EvaluationInput, refused: RegExp | undefined])[] = [
  ["scanned scan", "a recent scan", scan(TRIVY, 3, "LOW"), undefined],
  ["scanned scan", "an old scan", scan(TRIVY, 31, "LOW"), /not compliant/],
  ["scanned scan", "a critical finding", scan(TRIVY, 3, "CRITICAL"), /not compliant/],
  ["scanned scan", "another scanner", scan("pkg:other", 3, "LOW"), /not compliant/],
  ["built-from-our-sources provenance", "our sources", provenance("git+https://github.com/acme/shop@v1"), undefined],
  [
    "built-from-our-sources provenance",
    "other sources",
    provenance("git+https://github.com/acmee/shop"),
    /built from .*acmee/,
  ],
  ["signed-and-unprivileged spec", "a modest Pod", document({ spec: { containers: [container(true)] } }), undefined],
  [
    "signed-and-unprivileged spec",
    "a Pod with one container as root",
    document({ spec: { containers: [container(true), container(false)] } }),
    /runAsNonRoot in every container/,
  ],
  [
    "signed-and-unprivileged spec",
    "a container that says nothing",
    document({ spec: { containers: [{ name: "c" }] } }),
    /runAsNonRoot in every container/,
  ],
  [
    "signed-and-unprivileged spec",
    "a Pod on the host's network",
    document({ spec: { hostNetwork: true, containers: [container(true)] } }),
    /without hostNetwork/,
  ],
  ["nonroot spec", "a user", document({ config: { "linux/amd64": { config: { User: "65532" } } } }), undefined],
  [
    "nonroot spec",
    "root on one platform",
    document({ config: { "linux/amd64": { config: { User: "65532" } }, "linux/arm64": { config: { User: "root" } } } }),
    /linux\/arm64/,
  ],
  [
    "shop-in-production spec",
    "signature and attestations",
    document({ authorityMatches: { signature, attested } }),
    undefined,
  ],
  ["shop-in-production spec", "a signature alone", document({ authorityMatches: { signature } }), /provenance or scan/],
  ["shop-in-production spec", "attestations alone", document({ authorityMatches: { attested } }), /no signature by/],
];

describe("The policies of the examples", function () {
  this.timeout(120_000);
  let engine: ClosablePolicyEngine;
  before(async function () {
    this.timeout(0);
    engine = createPolicyEngine({ path: await enginePath(), evaluationMs: 20_000 });
    await engine.warm();
  });
  after(() => engine?.close());

  it("are in all three languages", () => {
    expect(new Set([...sources.values()].map(({ language }) => language))).to.deep.equal(
      new Set(["cue", "rego", "cel"]),
    );
  });

  for (const [name, evaluator] of sources) {
    it(`${name} compiles`, async () => {
      expect(await engine.check(evaluator, AbortSignal.timeout(30_000))).to.equal(undefined);
    });
  }

  for (const [name, what, input, refused] of CASES) {
    it(`${name} ${refused === undefined ? "accepts" : "refuses"} ${what}`, async () => {
      const evaluator = sources.get(name);
      if (evaluator === undefined) throw new Error(`no example has ${name}`);
      const result = await engine.evaluate(evaluator, input, AbortSignal.timeout(30_000));
      if (refused === undefined) expect(result).to.deep.equal({ kind: "compliant" });
      else expect(result.kind === "rejected" && result.message).to.match(refused);
    });
  }
});
