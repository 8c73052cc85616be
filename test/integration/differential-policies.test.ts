// Every policy that is accepted or refused, by sigstore policy-controller and by us, in the same words.
import { expect } from "chai";
import type { ApiAnswer } from "../support/api-server.ts";
import { POLICY_DIFFERENCES } from "../support/differential/policy-differences.ts";
import { samples } from "../support/differential/samples.ts";
import { Stage } from "../support/differential/stage.ts";
import { eventually } from "../support/kube.ts";
import { authority, CASES, EC_KEY, IDENTITY, KMS, key, ONE_KEY } from "../support/policy-cases.ts";

const VERSIONS = ["v1alpha1", "v1beta1"] as const;

interface Row {
  readonly name: string;
  readonly version: string;
  readonly spec: unknown;
  /** Lines that must stand in the refusal; none: it is accepted. Unknown for cases that only one side's tests know. */
  readonly refused?: readonly string[];
}

const cases: readonly Row[] = CASES.flatMap(({ name, spec }) =>
  VERSIONS.map((version) => ({ name: `${name}, ${version}`, version, spec })),
);
const kms: readonly Row[] = KMS.flatMap(([uri]) => [
  { name: `key.kms ${uri}`, version: "v1alpha1", spec: key({ kms: uri }) },
  {
    name: `keyless.ca-cert.kms ${uri}`,
    version: "v1beta1",
    spec: authority({ keyless: { "ca-cert": { kms: uri }, identities: [IDENTITY] } }),
  },
]);

const files: readonly Row[] = samples().flatMap(({ name, ...sample }) =>
  VERSIONS.map((version) => ({ name: `${name}, ${version}`, version, ...sample })),
);
/** What the words of some refusals begin with, and what null means. */
const traps: readonly Row[] = [
  {
    name: "hash algorithm that is none",
    spec: key({ data: EC_KEY, hashAlgorithm: "shaINVALID" }),
    refused: ["validation failed: invalid value: shaINVALID: spec.authorities[0].key.hashAlgorithm"],
  },
  {
    name: "match of an unknown resource",
    spec: { ...key({ data: EC_KEY }), match: [{ resource: "apple" }] },
    refused: ["validation failed: invalid value: apple: spec.match[0].resource"],
  },
  {
    name: "null beside an empty key",
    spec: { images: [{ glob: "image*" }], authorities: [{ keyless: null, key: {} }] },
    refused: [`expected exactly one, got neither: ${ONE_KEY}`],
  },
].flatMap((row) => VERSIONS.map((version) => ({ ...row, version, name: `${row.name}, ${version}` })));

const judging = (policy: object) => ({
  images: [{ glob: "**" }],
  authorities: [{ static: { action: "pass" } }],
  policy: { includeSpec: true, ...policy },
});
const compiled: readonly Row[] = [
  {
    name: "CUE that compiles",
    spec: judging({ type: "cue", data: 'import "list"\nspec: containers: list.MinItems(1)' }),
  },
  { name: "CUE that does not compile", spec: judging({ type: "cue", data: "spec: {" }) },
  { name: "Rego that compiles", spec: judging({ type: "rego", data: "package sigstore\nisCompliant { input.spec }" }) },
  { name: "Rego that does not compile", spec: judging({ type: "rego", data: "package sigstore\nisCompliant {" }) },
  { name: "CEL", spec: judging({ type: "cel", data: "has(spec.containers)" }) },
].map((row) => ({ ...row, version: "v1beta1" }));

describe("policies, compared with policy-controller", function () {
  this.timeout(120_000);
  let stage: Stage;

  before(async function () {
    this.timeout(0);
    stage = await Stage.open(this);
    await stage.begin("policies", {});
    for (const row of compiled) // the engines are compiled when they are first needed
      await eventually("a policy engine that is warm", async () => {
        const { warnings } = await ask(stage.ours.api, row);
        return warnings.length === 0;
      });
  });

  after(async function () {
    this.timeout(120_000);
    await stage?.close();
  });

  for (const row of [...files, ...traps, ...cases, ...kms, ...compiled]) {
    const because = POLICY_DIFFERENCES[row.name.replace(/, v1(alpha|beta)1$/, "")];
    it(`${row.name}${because === undefined ? "" : ` (${because})`}`, async () => {
      const [theirs, ours] = await Promise.all(stage.sides.map((side) => ask(side.api, row)));
      if (theirs === undefined || ours === undefined) throw new Error("two sides were asked");
      for (const line of row.refused ?? []) {
        expect(theirs.message, "policy-controller").to.include(line);
        expect(ours.message, "entrepot").to.include(line);
      }
      if (row.refused?.length === 0) expect(theirs.status, theirs.message).to.equal(201);
      if (because === undefined) expect(text(ours)).to.equal(text(theirs));
      else expect(text(ours), "listed as a difference, and there is none").to.not.equal(text(theirs));
    });
  }
});

function ask(api: Stage["ours"]["api"], { version, spec }: Row): Promise<ApiAnswer> {
  const path = `/apis/policy.sigstore.dev/${version}/clusterimagepolicies`;
  const body = {
    apiVersion: `policy.sigstore.dev/${version}`,
    kind: "ClusterImagePolicy",
    metadata: { name: "compared" },
    spec,
  };
  return api.send({ method: "POST", path, body, dryRun: true });
}

function text({ status, message, warnings }: ApiAnswer): string {
  return JSON.stringify({ status, message, warnings }, undefined, 1);
}
