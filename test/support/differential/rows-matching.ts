// Which policies an object and an image come under, and what happens where none or several do.
import { type Place, pod, type Scenario, workload } from "./model.ts";
import { by } from "./rows-authorities.ts";

const FAIL = [{ static: { action: "fail", message: "matched" } }];
const DIGEST = `sha256:${"2".repeat(64)}`;
const MATCHED = { refused: "disallowed by static policy: matched" };
const NONE = { refused: "no matching policies: spec.containers[0].image" };

const limited = (name: string, match: object, rows: Scenario["rows"]): Scenario => ({
  name,
  images: ["unsigned"],
  policies: (at) => ({ p: { images: [{ glob: at.glob }], authorities: FAIL, match: [match] } }),
  rows,
});
const globbed = (name: string, glob: (at: Place) => string, rows: Scenario["rows"]): Scenario => ({
  name,
  images: ["signed"],
  policies: (at) => ({ p: { images: [{ glob: glob(at) }], authorities: [by(at, "a"), ...FAIL] } }),
  rows,
});

export const matching: readonly Scenario[] = [
  limited("match-kind", { resource: "deployments", group: "apps", version: "v1" }, [
    { name: "a Deployment", ask: (at) => workload("Deployment", at.image("unsigned").pinned), theirs: MATCHED },
    {
      name: "a ReplicaSet",
      ask: (at) => workload("ReplicaSet", at.image("unsigned").pinned),
      theirs: { refused: "no matching policies: spec.template.spec.containers[0].image" },
    },
    { name: "a Pod", ask: (at) => pod(at.image("unsigned").pinned), theirs: NONE },
  ]),
  limited("match-any-version", { resource: "pods", version: "*" }, [
    { name: "a Pod", ask: (at) => pod(at.image("unsigned").pinned), theirs: MATCHED },
  ]),
  limited("match-labels", { resource: "pods", version: "*", selector: { matchLabels: { match: "match" } } }, [
    {
      name: "with the label",
      ask: (at) => pod(at.image("unsigned").pinned, { labels: { match: "match" } }),
      theirs: MATCHED,
    },
    { name: "without it", ask: (at) => pod(at.image("unsigned").pinned), theirs: NONE },
  ]),
  limited(
    "match-expressions",
    {
      resource: "pods",
      version: "v1",
      selector: { matchExpressions: [{ key: "tier", operator: "NotIn", values: ["test"] }] },
    },
    [
      {
        name: "another value",
        ask: (at) => pod(at.image("unsigned").pinned, { labels: { tier: "live" } }),
        theirs: MATCHED,
      },
      { name: "the value", ask: (at) => pod(at.image("unsigned").pinned, { labels: { tier: "test" } }), theirs: NONE },
      { name: "none", ask: (at) => pod(at.image("unsigned").pinned), theirs: MATCHED },
    ],
  ),
  limited("match-no-version", { resource: "pods" }, [
    {
      name: "a Pod",
      ask: (at) => pod(at.image("unsigned").pinned),
      theirs: NONE,
      differs: { because: "match-without-version", ours: MATCHED },
    },
  ]),
  globbed("glob-tag", (at) => `${at.prefix}/signed:v1`, [
    {
      name: "by that tag",
      ask: (at) => pod(at.image("signed").tagged),
      theirs: NONE,
      differs: { because: "globs-and-tags", ours: "admitted" },
    },
    {
      name: "by that tag and a digest",
      ask: (at) => pod(at.image("signed").both),
      theirs: NONE,
      differs: { because: "globs-and-tags", ours: "admitted" },
    },
    { name: "by digest alone", ask: (at) => pod(at.image("signed").pinned), theirs: NONE },
  ]),
  globbed("glob-digest", (at) => `${at.prefix}/signed@sha256:*`, [
    { name: "by digest", ask: (at) => pod(at.image("signed").pinned), theirs: "admitted" },
    { name: "by tag and digest", ask: (at) => pod(at.image("signed").both), theirs: "admitted" },
  ]),
  {
    name: "docker-hub",
    images: [],
    policies: () => ({
      index: { images: [{ glob: "index.docker.io/compare/**" }], authorities: FAIL },
      short: { images: [{ glob: "docker.io/contrast/**" }], authorities: FAIL },
    }),
    rows: [
      { name: "index.docker.io", ask: () => pod(`compare/app@${DIGEST}`), theirs: MATCHED },
      { name: "index.docker.io, in full", ask: () => pod(`docker.io/compare/app@${DIGEST}`), theirs: MATCHED },
      {
        name: "docker.io",
        ask: () => pod(`contrast/app@${DIGEST}`),
        theirs: NONE,
        differs: { because: "docker-hub-globs", ours: MATCHED },
      },
    ],
  },
  {
    name: "warn",
    images: ["unsigned", "signed"],
    policies: (at) => ({ p: { mode: "warn", images: [{ glob: at.glob }], authorities: [by(at, "a")] } }),
    rows: [
      {
        name: "unsigned",
        ask: (at) => pod(at.image("unsigned").pinned),
        theirs: { warned: "failed policy: warn-p: spec.containers[0].image" },
      },
      {
        name: "unsigned, in a Deployment",
        ask: (at) => workload("Deployment", at.image("unsigned").pinned),
        theirs: { warned: "failed policy: warn-p: spec.template.spec.containers[0].image" },
      },
      { name: "signed", ask: (at) => pod(at.image("signed").pinned), theirs: "admitted" },
    ],
  },
  {
    name: "nobody",
    images: ["unsigned"],
    policies: () => ({}),
    rows: [
      { name: "no policy", ask: (at) => pod(at.image("unsigned").pinned), theirs: NONE },
      {
        name: "no policy, by tag",
        ask: (at) => workload("Deployment", at.image("unsigned").tagged),
        theirs: { refused: "no matching policies: spec.template.spec.containers[0].image" },
        differs: {
          because: "pins-are-on-pods",
          ours: { refused: "no matching policies: spec.template.spec.containers[0].image" },
        },
      },
    ],
  },
  ...(["allow", "warn", "garbage"] as const).map(
    (value): Scenario => ({
      name: `nobody-${value}`,
      config: { "no-match-policy": value },
      images: ["unsigned"],
      policies: () => ({}),
      rows: [
        {
          name: "no policy",
          ask: (at) => pod(at.image("unsigned").pinned),
          theirs: value === "allow" ? "admitted" : value === "warn" ? { warned: "no matching policies" } : NONE,
        },
      ],
    }),
  ),
  {
    name: "no-authorities",
    config: { "fail-on-empty-authorities": "false" },
    images: ["unsigned"],
    policies: (at) => ({
      p: {
        images: [{ glob: at.glob }],
        authorities: [],
        policy: { type: "cue", includeSpec: true, data: 'spec: restartPolicy: "Never"' },
      },
    }),
    rows: [
      {
        name: "spec.policy does not hold",
        ask: (at) => pod(at.image("unsigned").pinned),
        theirs: "admitted",
        differs: { because: "no-authorities", ours: { refused: "failed policy: no-authorities-p" } },
      },
    ],
  },
];
