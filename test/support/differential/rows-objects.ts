// spec.policy over the object itself and the image's configuration.
import { type Place, pod, type Scenario, workload } from "./model.ts";

const passing = (at: Place, policy: object) => ({
  p: { images: [{ glob: at.glob }], authorities: [{ static: { action: "pass" } }], policy: { type: "cue", ...policy } },
});
const reading = (name: string, policy: object, rows: Scenario["rows"]): Scenario => ({
  name,
  images: ["unsigned"],
  policies: (at) => passing(at, policy),
  rows,
});
const DENIED = {
  refused: "failed evaluating cue policy for ClusterImagePolicy: failed to evaluate the policy with error",
};

export const objects: readonly Scenario[] = [
  reading("spec-pod", { includeSpec: true, data: 'spec: restartPolicy: "Always"' }, [
    { name: "holds", ask: (at) => pod(at.image("unsigned").pinned), theirs: "admitted" },
    {
      name: "does not hold",
      ask: (at) => pod(at.image("unsigned").pinned, { podSpec: { restartPolicy: "Never" } }),
      theirs: DENIED,
    },
  ]),
  reading("spec-deployment", { includeSpec: true, data: "spec: replicas: <3" }, [
    {
      name: "holds",
      ask: (at) => workload("Deployment", at.image("unsigned").pinned, { spec: { replicas: 1 } }),
      theirs: "admitted",
    },
    {
      name: "does not hold",
      ask: (at) => workload("Deployment", at.image("unsigned").pinned, { spec: { replicas: 5 } }),
      theirs: DENIED,
    },
  ]),
  reading("spec-cronjob", { includeSpec: true, data: 'spec: schedule: "0 0 1 1 *"' }, [
    { name: "holds", ask: (at) => workload("CronJob", at.image("unsigned").pinned), theirs: "admitted" },
    {
      name: "does not hold",
      ask: (at) => workload("CronJob", at.image("unsigned").pinned, { spec: { schedule: "* * * * *" } }),
      theirs: DENIED,
    },
  ]),
  reading("metadata", { includeObjectMeta: true, data: 'metadata: labels: owner: "team"' }, [
    {
      name: "holds",
      ask: (at) => pod(at.image("unsigned").pinned, { labels: { owner: "team" } }),
      theirs: "admitted",
    },
    {
      name: "does not hold",
      ask: (at) => workload("Deployment", at.image("unsigned").pinned, { labels: { owner: "nobody" } }),
      theirs: DENIED,
    },
  ]),
  reading("typemeta", { includeTypeMeta: true, data: 'typemeta: kind: "Job"' }, [
    { name: "a Job", ask: (at) => workload("Job", at.image("unsigned").pinned), theirs: "admitted" },
    { name: "a CronJob", ask: (at) => workload("CronJob", at.image("unsigned").pinned), theirs: DENIED },
    {
      name: "a Pod",
      ask: (at) => pod(at.image("unsigned").pinned),
      theirs: "admitted",
      differs: { because: "pods-have-a-type", ours: DENIED },
    },
  ]),
  {
    name: "config-file",
    images: ["multi"],
    policies: (at) =>
      passing(at, {
        fetchConfigFile: true,
        data: 'config: "linux/amd64": config: User: "65532"\nconfig: "linux/arm/v7": config: User: "65532"',
      }),
    rows: [{ name: "holds", ask: (at) => pod(at.image("multi").pinned), theirs: "admitted" }],
  },
  {
    name: "config-file-fails",
    images: ["multi"],
    policies: (at) => passing(at, { fetchConfigFile: true, data: 'config: "linux/arm/v7": config: User: "0"' }),
    rows: [
      {
        name: "does not hold",
        ask: (at) => pod(at.image("multi").pinned),
        theirs: { refused: 'config."linux/arm/v7".config.User: conflicting values' },
      },
    ],
  },
  {
    name: "config-map",
    images: ["unsigned"],
    configMaps: () => ({ "compare-policy": { "policy.cue": 'spec: restartPolicy: "Always"' } }),
    policies: (at) => passing(at, { includeSpec: true, configMapRef: { name: "compare-policy", key: "policy.cue" } }),
    rows: [
      { name: "holds", ask: (at) => pod(at.image("unsigned").pinned), theirs: "admitted" },
      {
        name: "does not hold",
        ask: (at) => pod(at.image("unsigned").pinned, { podSpec: { restartPolicy: "Never" } }),
        theirs: DENIED,
      },
    ],
  },
  {
    name: "rego-object",
    images: ["unsigned"],
    policies: (at) =>
      passing(at, {
        type: "rego",
        includeSpec: true,
        includeObjectMeta: true,
        data: `package sigstore
isCompliant[response] {
  response := {"result": input.spec.restartPolicy == "Always", "error": "let it restart", "warning": ""}
}`,
      }),
    rows: [
      { name: "holds", ask: (at) => pod(at.image("unsigned").pinned), theirs: "admitted" },
      {
        name: "does not hold",
        ask: (at) => pod(at.image("unsigned").pinned, { podSpec: { restartPolicy: "Never" } }),
        theirs: { refused: "let it restart" },
      },
    ],
  },
];
