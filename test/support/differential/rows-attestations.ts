// What attestations and policies over them must say: CUE and Rego, on one attestation and on all that was verified.
import { CUSTOM, VULN } from "./images.ts";
import { type Place, pod, type Scenario } from "./model.ts";
import { by } from "./rows-authorities.ts";

const requiring = (at: Place, ...attestations: readonly object[]) => ({
  images: [{ glob: at.glob }],
  authorities: [by(at, "a", { attestations })],
});
const cue = (data: string) => ({ type: "cue", data });
const rego = (data: string) => ({ type: "rego", data: `package sigstore\n${data}` });
const one = (name: string, policies: Scenario["policies"], rows: Scenario["rows"]): Scenario => ({
  name,
  images: ["attested", "scanned", "everything"],
  policies,
  rows,
});

const custom = { name: "custom", predicateType: CUSTOM };
const vuln = { name: "scan", predicateType: VULN };

export const attestations: readonly Scenario[] = [
  one("type", (at) => ({ p: requiring(at, vuln) }), [
    { name: "there", ask: (at) => pod(at.image("scanned").pinned), theirs: "admitted" },
    {
      name: "another",
      ask: (at) => pod(at.image("attested").pinned),
      theirs: { refused: "no matching attestations with type" },
    },
  ]),
  one(
    "short-type",
    (at) => ({
      p: requiring(at, { name: "scan", predicateType: "vuln" }, { name: "custom", predicateType: "custom" }),
    }),
    [
      { name: "both", ask: (at) => pod(at.image("everything").pinned), theirs: "admitted" },
      {
        name: "one of two",
        ask: (at) => pod(at.image("scanned").pinned),
        theirs: { refused: "no matching attestations with type custom" },
      },
    ],
  ),
  one(
    "cue",
    (at) => ({ p: requiring(at, { ...custom, policy: cue(`predicateType: "${CUSTOM}"\npredicate: Data: "foobar"`) }) }),
    [
      { name: "holds", ask: (at) => pod(at.image("attested").pinned), theirs: "admitted" },
      { name: "of an image with more", ask: (at) => pod(at.image("everything").pinned), theirs: "admitted" },
      {
        name: "of an image without",
        ask: (at) => pod(at.image("scanned").pinned),
        theirs: { refused: "no matching attestations with type" },
      },
    ],
  ),
  one("cue-fails", (at) => ({ p: requiring(at, { ...custom, policy: cue('predicate: Data: "something else"') }) }), [
    {
      name: "does not hold",
      ask: (at) => pod(at.image("attested").pinned),
      theirs: { refused: 'conflicting values "foobar" and "something else"' },
    },
  ]),
  one(
    "cue-scan",
    (at) => ({
      p: requiring(at, {
        ...vuln,
        policy: cue(`import "time"
before: time.Parse(time.RFC3339, "2022-04-15T17:10:27Z")
predicate: scanner: uri: "scanner.example.com/testing"
predicate: metadata: scanStartedOn: <before`),
      }),
    }),
    [{ name: "holds", ask: (at) => pod(at.image("scanned").pinned), theirs: "admitted" }],
  ),
  one(
    "rego",
    (at) => ({ p: requiring(at, { ...custom, policy: rego('isCompliant { input.predicate.Data == "foobar" }') }) }),
    [{ name: "holds", ask: (at) => pod(at.image("attested").pinned), theirs: "admitted" }],
  ),
  one(
    "rego-fails",
    (at) => ({ p: requiring(at, { ...custom, policy: rego('isCompliant { input.predicate.Data == "else" }') }) }),
    [
      {
        name: "does not hold",
        ask: (at) => pod(at.image("attested").pinned),
        theirs: { refused: "policy is not compliant for query" },
      },
    ],
  ),
  one(
    "rego-says",
    (at) => ({
      p: requiring(at, {
        ...custom,
        policy: rego(
          'isCompliant[response] { response := {"result": false, "error": "the data is not mine", "warning": ""} }',
        ),
      }),
    }),
    [
      {
        name: "with its own words",
        ask: (at) => pod(at.image("attested").pinned),
        theirs: { refused: "the data is not mine" },
      },
    ],
  ),
  one(
    "matches",
    (at) => ({
      p: {
        images: [{ glob: at.glob }],
        authorities: [by(at, "a", { name: "signed" }), by(at, "a", { name: "attested", attestations: [custom] })],
        policy: cue(`import "list"
authorityMatches: signed: signatures: list.MaxItems(1) & list.MinItems(1)
authorityMatches: attested: attestations: custom: list.MinItems(1)`),
      },
    }),
    [{ name: "signed and attested", ask: (at) => pod(at.image("everything").pinned), theirs: "admitted" }],
  ),
  one(
    "matches-rego",
    (at) => ({
      p: {
        images: [{ glob: at.glob }],
        authorities: [
          by(at, "a", { name: "attested", attestations: [custom] }),
          { name: "fixed", static: { action: "pass" } },
        ],
        policy: rego(`isCompliant {
  count(input.authorityMatches.attested.attestations.custom) == 1
  input.authorityMatches.fixed.static
}`),
      },
    }),
    [
      { name: "attested", ask: (at) => pod(at.image("attested").pinned), theirs: "admitted" },
      {
        name: "not attested, though one authority passes",
        ask: (at) => pod(at.image("scanned").pinned),
        theirs: { refused: "failed evaluating rego policy for type ClusterImagePolicy" },
        differs: {
          because: "spec-policy-speaks-alone",
          ours: { refused: "failed evaluating rego policy for type ClusterImagePolicy" },
        },
      },
    ],
  ),
  one(
    "facts",
    (at) => ({
      p: {
        images: [{ glob: at.glob }],
        authorities: [by(at, "a", { name: "attested", attestations: [custom] })],
        policy: cue('authorityMatches: attested: attestations: custom: [{predicateType: "no such type"}]'),
      },
    }),
    [
      {
        name: "as both give them to CUE",
        ask: (at) => pod(at.image("attested").pinned),
        theirs: { refused: "failed evaluating cue policy for ClusterImagePolicy" },
      },
    ],
  ),
];
