import { expect } from "chai";
import { WORKLOAD_KINDS } from "../../core/admission/workload.ts";
import { webhookConfigurations } from "../../core/webhookconfig/desired.ts";
import { matchConditions, passedReads } from "../../core/webhookconfig/match.ts";
import {
  covers,
  joinReads,
  type PolicyReads,
  READS_EVERYTHING,
  READS_NOTHING,
  readsOf,
} from "../../core/webhookconfig/reads.ts";
import { OPT_IN } from "../../core/webhookconfig/scope.ts";
import type { ClusterImagePolicyObject, ClusterImagePolicySpec } from "../../crds/index.ts";
import { letThrough, wantedReads } from "../../operator/webhookconfigurations/reads.ts";

const SPEC: PolicyReads = { spec: true, metadata: "nothing" };
const LABELS: PolicyReads = { spec: false, metadata: "labels" };
const SPEC_AND_LABELS: PolicyReads = { spec: true, metadata: "labels" };
const METADATA: PolicyReads = { spec: false, metadata: "all" };
const EACH = [READS_NOTHING, SPEC, LABELS, SPEC_AND_LABELS, METADATA, READS_EVERYTHING];

const judged = (reads: PolicyReads, kinds = WORKLOAD_KINDS) =>
  matchConditions(reads, kinds).find(({ name }) => name === "changes-what-is-judged")?.expression ?? "";

describe("match conditions", () => {
  it("never leave out anything but an UPDATE", () => {
    for (const { expression } of EACH.flatMap((reads) => matchConditions(reads)))
      expect(expression.startsWith('request.operation != "UPDATE"')).to.equal(true);
  });

  it("compare what each kind has its images in", () => {
    const text = judged(READS_NOTHING);
    expect(text).to.include('["/Pod"] ? object.?spec != oldObject.?spec :');
    expect(text).to.include(
      '["apps/ReplicaSet","apps/Deployment","apps/StatefulSet","apps/DaemonSet","batch/Job"] ? object.?spec.?template != oldObject.?spec.?template :',
    );
    expect(text).to.include(
      '["batch/CronJob"] ? object.?spec.?jobTemplate.?spec.?template != oldObject.?spec.?jobTemplate.?spec.?template :',
    );
    for (const { group, kind } of WORKLOAD_KINDS) expect(text).to.include(`"${group}/${kind}"`);
  });

  it("take a kind more from the table, and let through what they do not know", () => {
    const rollout = { group: "argoproj.io", versions: ["v1"], plural: "rollouts", kind: "Rollout", subresources: [] };
    const known = judged(READS_NOTHING, [...WORKLOAD_KINDS, { ...rollout, podSpec: ["spec", "template", "spec"] }]);
    expect(known).to.include('"argoproj.io/Rollout"] ? object.?spec.?template != oldObject.?spec.?template');
    expect(judged(READS_NOTHING, [{ ...rollout, podSpec: [] }])).to.include('["argoproj.io/Rollout"] ? true');
    expect(judged(READS_NOTHING)).to.include(":\n    true)");
  });

  it("take what brings no image for a new template by no means: it counts by its spec alone", () => {
    const at = 'request.kind.group + "/" + request.kind.kind + "/" + request.?subResource.orValue("")';
    expect(judged(READS_NOTHING)).to.include(`(${at} in ["/Pod/resize"] ? false :`);
    expect(judged(SPEC)).to.include(`${at} in ["/Pod/resize"] ? false :`);
    const plain = WORKLOAD_KINDS.filter(({ imageless }) => imageless === undefined);
    expect(judged(READS_NOTHING, plain)).not.to.include("subResource");
  });

  it("look at our annotation always, at spec, labels and metadata while a policy reads them", () => {
    for (const reads of EACH) {
      const text = judged(reads);
      expect(text).to.include('annotations[?"clusterimagepolicies.chainguard.dev/cache"] != oldObject');
      expect(text.includes("\n  || object.?spec != oldObject.?spec")).to.equal(reads.spec);
      expect(text.includes("|| object.?metadata.?labels != oldObject.?metadata.?labels")).to.equal(
        reads.metadata === "labels",
      );
      expect(text.includes("|| object.metadata.exists(")).to.equal(reads.metadata === "all");
      expect(text.includes("|| oldObject.metadata.exists(")).to.equal(reads.metadata === "all");
    }
  });

  it("stand in both admission webhooks for UPDATE, and in no other", () => {
    const input = { servicePort: 443, namespace: "n", caBundle: "", namespaceUid: "u", scope: OPT_IN, reads: SPEC };
    const [mutating, validating, ...others] = webhookConfigurations(input).map(({ webhooks }) => webhooks[0] ?? {});
    expect(mutating).to.deep.include({ matchConditions: matchConditions(SPEC) });
    expect(validating).to.deep.include({ matchConditions: matchConditions(SPEC) });
    for (const other of others) expect(other).not.to.have.property("matchConditions");
  });
});

describe("what live configurations let through", () => {
  it("is told by the exact text of their conditions", () => {
    for (const reads of EACH)
      expect(passedReads({ webhooks: [{ matchConditions: matchConditions(reads) }] })).to.deep.equal(reads);
    expect(passedReads({ webhooks: [{}] }), "no conditions").to.deep.equal(READS_EVERYTHING);
    const [first, ...rest] = matchConditions(READS_EVERYTHING);
    const edits = [
      [...matchConditions(READS_EVERYTHING), { name: "x", expression: "true" }],
      rest,
      [{ ...first, expression: "true" }, ...rest],
    ];
    for (const conditions of edits)
      expect(passedReads({ webhooks: [{ matchConditions: conditions }] })).to.equal(undefined);
    expect(passedReads({ webhooks: [{}, {}] })).to.equal(undefined);
    expect(passedReads({})).to.equal(undefined);
  });

  it("covers what is read, or does not", () => {
    for (const some of EACH)
      for (const wanted of EACH)
        expect(covers(some, wanted)).to.equal(
          joinReads([some, wanted]).spec === some.spec && joinReads([some, wanted]).metadata === some.metadata,
        );
    expect(joinReads([])).to.deep.equal(READS_NOTHING);
    expect(joinReads([SPEC, LABELS])).to.deep.equal(SPEC_AND_LABELS);
    expect(joinReads([METADATA, LABELS])).to.deep.equal(METADATA);
    expect(covers(METADATA, LABELS)).to.equal(true);
    expect(covers(LABELS, METADATA)).to.equal(false);
    expect(covers(SPEC, SPEC_AND_LABELS)).to.equal(false);
  });
});

const block = (more: object): ClusterImagePolicySpec => ({ policy: { type: "cue", data: "x", ...more } });

function policy(spec: ClusterImagePolicySpec, loaded = "True", generation = 2): ClusterImagePolicyObject {
  const conditions =
    loaded === "" ? [] : [{ type: "ConfigMapUpdated", status: loaded, observedGeneration: 2, reason: "Enforced" }];
  return {
    apiVersion: "policy.sigstore.dev/v1beta1",
    kind: "ClusterImagePolicy",
    metadata: { name: "p", uid: "u", generation, resourceVersion: "1" },
    spec,
    status: { conditions },
  } as unknown as ClusterImagePolicyObject;
}

function live(mutating: readonly object[] | undefined, validating = mutating, name = "updates.policy.sigstore.dev") {
  const configuration = (kind: string, conditions: readonly object[] | undefined) =>
    conditions === undefined
      ? []
      : [
          {
            apiVersion: "v1",
            kind,
            metadata: { name },
            webhooks: [{ matchConditions: conditions }],
          },
        ];
  return [
    ...configuration("MutatingWebhookConfiguration", mutating),
    ...configuration("ValidatingWebhookConfiguration", validating),
  ];
}

describe("what the configurations have to let through", () => {
  const narrow = live(matchConditions(READS_NOTHING));
  const wide = live(matchConditions(READS_EVERYTHING));

  it("is what stored policies read, compiled or not", () => {
    expect(readsOf({ spec: block({ includeSpec: true }) })).to.deep.equal(SPEC);
    expect(readsOf({ spec: block({ includeObjectMeta: true, includeTypeMeta: true }) })).to.deep.equal(METADATA);
    expect(readsOf({ spec: {} })).to.deep.equal(READS_NOTHING);
    const match = [{ resource: "jobs" }, { resource: "pods", version: "v1", selector: { matchLabels: { a: "b" } } }];
    const selecting = (more: object) => readsOf({ spec: { ...block(more), match } });
    expect(selecting({ includeSpec: true }), "an object can come under it").to.deep.equal(SPEC_AND_LABELS);
    expect(selecting({ includeTypeMeta: true })).to.deep.equal(LABELS);
    expect(selecting({ includeSpec: true, includeObjectMeta: true })).to.deep.equal(READS_EVERYTHING);
    expect(selecting({ fetchConfigFile: true }), "it is about images alone").to.deep.equal(READS_NOTHING);
    expect(readsOf({ spec: { match } }), "it is about images alone").to.deep.equal(READS_NOTHING);
    expect(readsOf({ spec: { ...block({ includeSpec: true }), match: match.slice(0, 1) } })).to.deep.equal(SPEC);
    const policies = [
      policy(block({ includeSpec: true })),
      policy({ ...block({ includeObjectMeta: true }), images: [] }),
    ];
    expect(wantedReads(policies, narrow)).to.deep.equal(READS_EVERYTHING);
  });

  it("gets less at once when the policy is gone, or another generation is loaded everywhere", () => {
    expect(wantedReads([], wide)).to.deep.equal(READS_NOTHING);
    expect(wantedReads([policy({})], wide)).to.deep.equal(READS_NOTHING);
  });

  it("gets no less while a replica may enforce an earlier form: what is in force stands in the API server", () => {
    for (const unsettled of [policy({}, "False"), policy({}, "Unknown"), policy({}, ""), policy({}, "True", 3)]) {
      expect(wantedReads([unsettled], wide)).to.deep.equal(READS_EVERYTHING);
      expect(wantedReads([unsettled], live(matchConditions(SPEC)))).to.deep.equal(SPEC);
      expect(wantedReads([unsettled], narrow)).to.deep.equal(READS_NOTHING);
      expect(wantedReads([unsettled], live(matchConditions(SPEC), matchConditions(METADATA)))).to.deep.equal(
        READS_EVERYTHING,
      );
      // Nobody knows what was in force.
      expect(wantedReads([unsettled], live([]))).to.deep.equal(READS_EVERYTHING);
      expect(wantedReads([unsettled], live([{ name: "never", expression: "false" }]))).to.deep.equal(READS_EVERYTHING);
      expect(wantedReads([unsettled], [])).to.deep.equal(READS_EVERYTHING);
    }
  });

  it("must be there, in both, before a policy that reads it counts as enforced", () => {
    const reader = policy(block({ includeSpec: true }));
    expect(letThrough(reader, live(matchConditions(SPEC)))).to.equal(true);
    expect(letThrough(reader, wide)).to.equal(true);
    expect(letThrough(reader, live([])), "no conditions").to.equal(true);
    expect(letThrough(reader, narrow)).to.equal(false);
    expect(letThrough(reader, live(matchConditions(METADATA)))).to.equal(false);
    expect(letThrough(reader, live(matchConditions(SPEC), matchConditions(READS_NOTHING)))).to.equal(false);
    expect(letThrough(reader, live(matchConditions(READS_NOTHING), matchConditions(SPEC)))).to.equal(false);
    expect(letThrough(reader, wide.slice(1))).to.equal(false);
    expect(letThrough(reader, [])).to.equal(false);
    expect(letThrough(reader, live([{ name: "never", expression: "false" }]))).to.equal(false);
    expect(letThrough(policy({}), [])).to.equal(true);
    const selecting = policy({
      ...block({ includeSpec: true }),
      match: [{ resource: "pods", selector: { matchLabels: { a: "b" } } }],
    });
    expect(letThrough(selecting, live(matchConditions(SPEC)))).to.equal(false);
    expect(letThrough(selecting, live(matchConditions(SPEC_AND_LABELS)))).to.equal(true);
  });

  it("is looked for where UPDATEs are asked about: what is for creations has no conditions, and shows nothing", () => {
    const reader = policy(block({ includeSpec: true }));
    const creations = live([], [], "policy.sigstore.dev");
    expect(letThrough(reader, creations)).to.equal(false);
    expect(letThrough(reader, [...creations, ...narrow])).to.equal(false);
    expect(letThrough(reader, [...creations, ...live(matchConditions(SPEC))])).to.equal(true);
    expect(wantedReads([policy({}, "False")], [...creations, ...narrow])).to.deep.equal(READS_NOTHING);
    // The version before had conditions there: for all that is known, everything was let through.
    const before = live(matchConditions(SPEC), undefined, "policy.sigstore.dev");
    expect(letThrough(reader, before)).to.equal(false);
    expect(wantedReads([policy({}, "False")], before)).to.deep.equal(READS_EVERYTHING);
  });
});
