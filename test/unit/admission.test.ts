import { generateKeyPairSync } from "node:crypto";
import { expect } from "chai";
import jsonpatch from "fast-json-patch";
import { conclude as concludeAdmission } from "../../core/admission/conclude.ts";
import { parseDuration, readConfig } from "../../core/admission/config.ts";
import { annotationPatch, imagePatch } from "../../core/admission/patch.ts";
import { planAdmission } from "../../core/admission/plan.ts";
import { type AdmissionRequest, controllerOwner, decodeReview } from "../../core/admission/request.ts";
import { workloadKind } from "../../core/admission/workload.ts";
import { fitRecords } from "../../core/cache/budget.ts";
import { type CacheContext, findRecord, isUsable } from "../../core/cache/freshness.ts";
import {
  CACHE_ANNOTATION,
  type SealedRecords,
  type VerificationRecord,
  writeRecords,
} from "../../core/cache/record.ts";
import { DomainError } from "../../core/errors.ts";
import { parseReference } from "../../core/image/reference.ts";
import { compilePolicy, keepLastGood, type SecretLookup } from "../../core/policy/compile.ts";
import { conclude, staticVerdict } from "../../core/policy/evaluate.ts";
import { policiesFor } from "../../core/policy/match.ts";
import { selects } from "../../core/policy/selector.ts";
import type { AuthorityOutcome, CompiledPolicy } from "../../core/policy/types.ts";
import type { ClusterImagePolicyObject, ClusterImagePolicySpec } from "../../crds/types.ts";

const PEM = generateKeyPairSync("ec", { namedCurve: "P-256" })
  .publicKey.export({ type: "spki", format: "pem" })
  .toString();
const DIGEST = `sha256:${"a".repeat(64)}` as const;
const { config: CONFIG } = readConfig({ "dev.chainguard.enable-cip-cache": "true" });
const noSecrets: SecretLookup = () => undefined;

function policy(spec: ClusterImagePolicySpec, secrets = noSecrets, metadata: object = {}): CompiledPolicy {
  const object = {
    apiVersion: "policy.sigstore.dev/v1alpha1",
    kind: "ClusterImagePolicy",
    metadata: { name: "p", uid: "uid-p", generation: 1, resourceVersion: "7", creationTimestamp: "", ...metadata },
    spec,
  } as ClusterImagePolicyObject;
  return compilePolicy(object, secrets);
}

const keyed = policy({ images: [{ glob: "ghcr.io/**" }], authorities: [{ name: "k", key: { data: PEM } }] });
const podKind = workloadKind("", "Pod");
const deploymentKind = workloadKind("apps", "Deployment");
if (podKind === undefined || deploymentKind === undefined) throw new Error("the kinds are gone");

function request(object: object, more: Partial<AdmissionRequest> = {}): AdmissionRequest {
  return {
    uid: "r",
    group: "",
    version: "v1",
    kind: "Pod",
    resource: "pods",
    subResource: "",
    namespace: "team",
    name: "x",
    operation: "CREATE",
    dryRun: false,
    object: object as AdmissionRequest["object"],
    ...more,
  };
}

const pod = (...images: readonly string[]) => ({ spec: { containers: images.map((image) => ({ image })) } });

describe("compiling a policy", () => {
  it("takes several keys from one PEM, and inlines a Secret's", () => {
    const secrets: SecretLookup = (name) => (name === "s" ? { "cosign.pub": Buffer.from(PEM + PEM) } : undefined);
    const compiled = policy(
      { images: [{ glob: "**" }], authorities: [{ key: { secretRef: { name: "s" } } }] },
      secrets,
    );
    const [authority] = compiled.authorities;
    expect(compiled.problem).to.equal(undefined);
    expect(authority?.kind === "key" && authority.keys).to.deep.equal([PEM, PEM]);
  });

  it("has another hash when a Secret's key changes, and the same when only status moved", () => {
    const spec = { images: [{ glob: "**" }], authorities: [{ key: { secretRef: { name: "s" } } }] };
    const other = generateKeyPairSync("ed25519").publicKey.export({ type: "spki", format: "pem" }).toString();
    const a = policy(spec, () => ({ k: Buffer.from(PEM) }));
    const b = policy(spec, () => ({ k: Buffer.from(other) }));
    const moved = policy(spec, () => ({ k: Buffer.from(PEM) }), { resourceVersion: "99" });
    expect(a.hash).to.not.equal(b.hash);
    expect(a.hash).to.equal(moved.hash);
  });

  const problems: readonly (readonly [name: string, spec: ClusterImagePolicySpec, problem: RegExp])[] = [
    [
      "a missing Secret",
      { images: [{ glob: "**" }], authorities: [{ key: { secretRef: { name: "gone" } } }] },
      /secret "gone"/,
    ],
    ["no authority", { images: [{ glob: "**" }], authorities: [] }, /authorities is empty/],
    ["a PEM that is no key", { images: [{ glob: "**" }], authorities: [{ key: { data: "x" } }] }, /no PEM block/],
    ["a bad glob", { images: [{ glob: "[" }], authorities: [{ key: { data: PEM } }] }, /invalid glob/],
    [
      "CUE, not evaluated yet",
      { images: [{ glob: "**" }], authorities: [{ key: { data: PEM } }], policy: { type: "cue", data: "x" } },
      /spec.policy/,
    ],
  ];
  for (const [name, spec, problem] of problems) {
    it(`keeps ${name} as a problem, matches and refuses`, () => {
      const compiled = policy(spec);
      expect(compiled.problem).to.match(problem);
      expect(staticVerdict(compiled)?.kind).to.equal("undecided");
      expect(
        policiesFor([compiled], parseReference("quay.io/a/b"), {
          group: "",
          version: "v1",
          resource: "pods",
          labels: {},
        }),
      ).to.have.length(1);
    });
  }

  it("never passes what this version does not evaluate", () => {
    for (const authority of [
      { keyless: { identities: [{ issuer: "i", subject: "s" }] } },
      { key: { data: PEM }, attestations: [{ name: "a", predicateType: "https://x" }] },
      { key: { data: PEM }, ctlog: { url: "https://rekor" } },
      { key: { data: PEM }, rfc3161timestamp: { trustRootRef: "t" } },
      { key: { kms: "awskms:///x" } },
    ]) {
      const compiled = policy({ images: [{ glob: "**" }], authorities: [authority] });
      expect(staticVerdict(compiled)?.kind, JSON.stringify(authority)).to.equal("fail");
    }
  });

  it("keeps the last good form only while the spec is the same", () => {
    const bad = policy({ images: [{ glob: "ghcr.io/**" }], authorities: [{ key: { secretRef: { name: "x" } } }] });
    expect(keepLastGood(keyed, bad)).to.equal(keyed);
    expect(keepLastGood({ ...keyed, generation: 0 }, bad)).to.equal(bad);
    expect(keepLastGood({ ...keyed, uid: "other" }, bad)).to.equal(bad);
    expect(keepLastGood(undefined, bad)).to.equal(bad);
  });
});

const outcomes = (...entries: readonly (readonly [number, AuthorityOutcome])[]) => new Map(entries);

describe("evaluating a policy", () => {
  it("passes when one authority matched, and says why when none did", () => {
    const two = policy({
      images: [{ glob: "**" }],
      authorities: [
        { name: "a", key: { data: PEM } },
        { name: "b", key: { data: PEM } },
      ],
    });
    const no = { kind: "failed", message: "no signatures found" } as const;
    const yes = { kind: "matched", signatures: [{ id: "1" }] } as const;
    expect(conclude(two, "img", outcomes([0, no], [1, yes]))).to.deep.equal({
      kind: "pass",
      facts: { b: [{ id: "1" }] },
    });
    const failed = conclude(two, "img", outcomes([0, no], [1, no]));
    expect(failed.kind === "fail" && failed.reasons).to.deep.equal([
      "signature key validation failed for authority a for img: no signatures found",
      "signature key validation failed for authority b for img: no signatures found",
    ]);
    expect(conclude(two, "img", outcomes([0, no], [1, { kind: "undecided", message: "down" }])).kind).to.equal(
      "undecided",
    );
    expect(conclude(two, "img", new Map()).kind).to.equal("fail");
  });

  it("does not let a failing namesake overwrite a match", () => {
    const twins = policy({
      images: [{ glob: "**" }],
      authorities: [
        { name: "a", key: { data: PEM } },
        { name: "a", key: { data: PEM } },
      ],
    });
    const verdict = conclude(
      twins,
      "img",
      outcomes([0, { kind: "matched", signatures: [{ id: "1" }] }], [1, { kind: "failed", message: "no" }]),
    );
    expect(verdict.kind).to.equal("pass");
  });

  it("settles static authorities without a registry", () => {
    const pass = policy({
      images: [{ glob: "**" }],
      authorities: [{ static: { action: "pass" } }, { key: { data: PEM } }],
    });
    const fail = policy({ images: [{ glob: "**" }], authorities: [{ static: { action: "fail", message: "no" } }] });
    expect(staticVerdict(pass)?.kind).to.equal("pass");
    expect(staticVerdict(fail)).to.deep.equal({ kind: "fail", reasons: ["disallowed by static policy: no"] });
    expect(staticVerdict(keyed)).to.equal(undefined);
  });
});

describe("label selectors", () => {
  const cases = [
    [{ matchLabels: { a: "1" } }, { a: "1" }, true],
    [{ matchLabels: { a: "1" } }, { a: "2" }, false],
    [{ matchExpressions: [{ key: "a", operator: "In", values: ["1"] }] }, { a: "1" }, true],
    [{ matchExpressions: [{ key: "a", operator: "NotIn", values: ["1"] }] }, {}, true],
    [{ matchExpressions: [{ key: "a", operator: "Exists" }] }, {}, false],
    [{ matchExpressions: [{ key: "a", operator: "DoesNotExist" }] }, {}, true],
    [{ matchExpressions: [{ key: "a", operator: "Near" }] }, {}, undefined],
    [{}, { a: "1" }, true],
  ] as const;
  for (const [selector, labels, expected] of cases) {
    it(`${JSON.stringify(selector)} over ${JSON.stringify(labels)}: ${expected}`, () => {
      expect(selects(selector, labels)).to.equal(expected);
    });
  }
});

describe("planning an admission", () => {
  const allImages = {
    spec: {
      initContainers: [{ image: "ghcr.io/a/init" }],
      containers: [{ image: "ghcr.io/a/main" }],
      ephemeralContainers: [{ image: "ghcr.io/a/debug" }],
      volumes: [{ image: { reference: "ghcr.io/a/data" } }, { emptyDir: {} }],
    },
  };

  it("finds every image: init, ordinary and ephemeral containers, and image volumes", () => {
    const { tasks } = planAdmission(request(allImages), podKind, [keyed]);
    expect(tasks.map(({ field }) => field)).to.deep.equal([
      "spec.initContainers[0].image",
      "spec.containers[0].image",
      "spec.ephemeralContainers[0].image",
      "spec.volumes[0].image.reference",
    ]);
    expect(tasks.every(({ policies }) => policies.length === 1)).to.equal(true);
  });

  it("refuses an image that cannot be read", () => {
    const { invalid } = planAdmission(request(pod("NO GOOD")), podKind, [keyed]);
    expect(invalid.map(({ field }) => field)).to.deep.equal(["spec.containers[0].image"]);
  });

  const deployment = (image: string, note: string, replicas = 1) => ({
    spec: { replicas, template: { metadata: { annotations: { note } }, spec: { containers: [{ image }] } } },
  });
  const update = (oldObject: object, object: object) =>
    planAdmission(
      request(object, { group: "apps", kind: "Deployment", operation: "UPDATE", oldObject: oldObject as never }),
      deploymentKind,
      [keyed],
    );

  it("counts a Deployment as unchanged when it is only scaled, and as changed when its template is touched", () => {
    expect(update(deployment("ghcr.io/a/b", "1"), deployment("ghcr.io/a/b", "1", 5)).unchanged).to.equal(true);
    expect(update(deployment("ghcr.io/a/b", "1"), deployment("ghcr.io/a/b", "restarted")).unchanged).to.equal(false);
    expect(update(deployment("ghcr.io/a/b", "1", 5), deployment("ghcr.io/a/evil", "1", 1)).unchanged).to.equal(false);
  });

  it("judges only the image that an UPDATE adds to a Pod", () => {
    const oldObject = pod("ghcr.io/a/b") as never;
    const debug = { spec: { ...pod("ghcr.io/a/b").spec, ephemeralContainers: [{ image: "ghcr.io/a/debug" }] } };
    const plan = planAdmission(request(debug, { operation: "UPDATE", oldObject }), podKind, [keyed]);
    expect(plan.tasks.map(({ field }) => field)).to.deep.equal(["spec.ephemeralContainers[0].image"]);
    expect(
      planAdmission(request(pod("ghcr.io/a/b"), { operation: "UPDATE", oldObject }), podKind, [keyed]).unchanged,
    ).to.equal(true);
  });
});

describe("concluding an admission", () => {
  const [task] = planAdmission(request(pod("ghcr.io/a/b:v1")), podKind, [keyed]).tasks;
  const [unmatched] = planAdmission(request(pod("quay.io/a/b:v1")), podKind, [keyed]).tasks;
  if (task === undefined || unmatched === undefined) throw new Error("no task");
  const failed = { policy: keyed, verdict: { kind: "fail", reasons: ["no signatures found"] } as const };

  it("names policy, field, image and reason", () => {
    const { errors } = concludeAdmission([{ task, digest: DIGEST, verdicts: [failed] }], [], CONFIG, false);
    expect(errors).to.equal(`failed policy: p: spec.containers[0].image\nghcr.io/a/b@${DIGEST} no signatures found`);
  });

  it("warns where the policy says so, and denies where another does not", () => {
    const warn = { ...failed, policy: { ...keyed, name: "w", mode: "warn" as const } };
    const only = concludeAdmission([{ task, verdicts: [warn] }], [], CONFIG, false);
    expect(only).to.deep.equal({
      warnings: ["failed policy: w: spec.containers[0].image\nghcr.io/a/b:v1 no signatures found"],
    });
    expect(concludeAdmission([{ task, verdicts: [warn, failed] }], [], CONFIG, false).errors).to.match(
      /^failed policy: p/,
    );
  });

  for (const [setting, denied, warned] of [
    ["deny", true, false],
    ["allow", false, false],
    ["warn", false, true],
    ["garbage", true, false],
  ] as const) {
    it(`no-match-policy ${setting}: ${denied ? "denies" : "admits"}${warned ? " with a warning" : ""}`, () => {
      const { config } = readConfig({ "no-match-policy": setting });
      const conclusion = concludeAdmission([{ task: unmatched, verdicts: [] }], [], config, false);
      expect(conclusion.errors !== undefined).to.equal(denied);
      expect(conclusion.warnings.length > 0).to.equal(warned);
    });
  }

  it("insists on a digest where one was verified", () => {
    const passed = { policy: keyed, verdict: { kind: "pass", facts: {} } as const };
    expect(concludeAdmission([{ task, digest: DIGEST, verdicts: [passed] }], [], CONFIG, true).errors).to.equal(
      "invalid value: ghcr.io/a/b:v1 must be an image digest: spec.containers[0].image",
    );
    expect(concludeAdmission([{ task, verdicts: [passed] }], [], CONFIG, true).errors).to.equal(undefined);
  });
});

describe("records in use", () => {
  const context: CacheContext = { cluster: "c", epoch: "0", namespace: "team", now: new Date(1_000_000) };
  const record: VerificationRecord = {
    policyName: "p",
    policyUid: keyed.uid,
    resourceVersion: "1",
    policyHash: keyed.hash,
    issued: 990,
    expires: 1_500,
    authorities: { k: [{ id: "1" }] },
  };
  const image = { reference: parseReference("ghcr.io/a/b:v1"), digest: DIGEST };
  const sealed = (more: Partial<SealedRecords> = {}): SealedRecords => ({
    cluster: "c",
    epoch: "0",
    records: new Map([[`ghcr.io/a/b@${DIGEST}`, new Map([[keyed.uid, record]])]]),
    pins: new Map(),
    ...more,
  });

  it("are found for their image, policy, cluster and epoch", () =>
    expect(findRecord(sealed(), image, keyed, context)).to.equal(record));

  const misses: readonly (readonly [name: string, found: VerificationRecord | undefined])[] = [
    ["another digest", findRecord(sealed(), { ...image, digest: `sha256:${"b".repeat(64)}` }, keyed, context)],
    [
      "another repository",
      findRecord(sealed(), { ...image, reference: parseReference("ghcr.io/a/c:v1") }, keyed, context),
    ],
    ["another cluster", findRecord(sealed({ cluster: "d" }), image, keyed, context)],
    ["another epoch", findRecord(sealed({ epoch: "1" }), image, keyed, context)],
    ["a changed policy", findRecord(sealed(), image, { ...keyed, hash: "0" }, context)],
    ["a policy made anew under the same name", findRecord(sealed(), image, { ...keyed, uid: "2" }, context)],
    ["an expired record", findRecord(sealed(), image, keyed, { ...context, now: new Date(1_500_000) })],
    ["a record from the future", findRecord(sealed(), image, keyed, { ...context, now: new Date(900_000) })],
  ];
  for (const [name, found] of misses) it(`are not found for ${name}`, () => expect(found).to.equal(undefined));

  it("hold in one namespace only where the policy uses that namespace's credentials", () => {
    const own = policy({
      images: [{ glob: "**" }],
      authorities: [{ key: { data: PEM }, source: [{ oci: "ghcr.io/s/s", signaturePullSecrets: [{ name: "x" }] }] }],
    });
    const scoped = { ...record, policyUid: own.uid, policyHash: own.hash, scope: "team" };
    expect(isUsable(scoped, own, context)).to.equal(true);
    expect(isUsable(scoped, own, { ...context, namespace: "other" })).to.equal(false);
    expect(isUsable({ ...scoped, scope: undefined as never }, own, context)).to.equal(false);
  });

  it("are dropped, largest first, until they fit", () => {
    const small = [`ghcr.io/a/b@${DIGEST}`, new Map([[keyed.uid, record]])] as const;
    const ids = Array.from({ length: 600 }, (_, index) => ({ id: String(index).padStart(64, "0") }));
    const large = [`ghcr.io/z/z@${DIGEST}`, new Map([[keyed.uid, { ...record, authorities: { k: ids } }]])] as const;
    const both = sealed({ records: new Map([small, large]) });
    const fitted = fitRecords(both, 0);
    expect([...(fitted?.records.keys() ?? [])]).to.deep.equal([small[0]]);
    expect(Buffer.byteLength(writeRecords(fitted ?? both))).to.be.lessThan(32 * 1024);
    expect(fitRecords(both, 230 * 1024)).to.equal(undefined);
    expect(fitRecords(sealed(), 0)).to.deep.equal(sealed());
  });
});

describe("requests and patches", () => {
  const review = (change: object) => ({
    apiVersion: "admission.k8s.io/v1",
    kind: "AdmissionReview",
    request: { uid: "u", kind: { group: "", version: "v1", kind: "Pod" }, operation: "CREATE", object: {}, ...change },
  });

  it("are decoded, or refused", () => {
    expect(decodeReview(review({})).kind).to.equal("Pod");
    const bad = [
      null,
      [],
      "x",
      {},
      review({ uid: "" }),
      review({ operation: "PATCH" }),
      review({ object: 7 }),
      review({ operation: "UPDATE" }),
    ];
    for (const value of bad)
      expect(() => decodeReview(value))
        .to.throw(DomainError)
        .with.property("code", "REVIEW_INVALID");
  });

  it("know the controller among the owners", () => {
    const owner = { apiVersion: "apps/v1", kind: "ReplicaSet", name: "rs", uid: "1" };
    expect(controllerOwner({ ownerReferences: [owner] })).to.equal(undefined);
    expect(controllerOwner({ ownerReferences: [owner, { ...owner, uid: "2", controller: true }] })).to.deep.equal({
      group: "apps",
      kind: "ReplicaSet",
      name: "rs",
      uid: "2",
    });
  });

  for (const metadata of [
    {},
    { annotations: {} },
    { annotations: { a: "b" } },
    { annotations: { [CACHE_ANNOTATION]: "old", a: "b" } },
  ]) {
    it(`set and remove the annotation on ${JSON.stringify(metadata)}`, () => {
      const apply = (value: string | undefined) =>
        jsonpatch.applyPatch({ metadata: structuredClone(metadata) }, [...annotationPatch({ metadata }, value)], true)
          .newDocument;
      const { [CACHE_ANNOTATION]: _gone, ...others } = (metadata.annotations ?? {}) as Record<string, string>;
      expect(apply("new")).to.deep.equal({ metadata: { annotations: { ...others, [CACHE_ANNOTATION]: "new" } } });
      expect(apply(undefined).metadata.annotations ?? {}).to.deep.equal(others);
    });
  }

  it("replace exactly one image", () => {
    const object = pod("a", "b");
    const patched = jsonpatch.applyPatch(
      object,
      [imagePatch(["spec", "containers", 1, "image"], "c")],
      true,
    ).newDocument;
    expect(patched).to.deep.equal(pod("a", "c"));
  });
});

describe("config-policy-controller", () => {
  it("absent means: deny, cache off", () => {
    const { config, problems } = readConfig(undefined);
    expect(config).to.include({
      noMatchPolicy: "deny",
      cacheEnabled: false,
      cacheTtlSeconds: 86_400,
      tagTtlSeconds: 60,
      resolveDigests: "pods",
    });
    expect(problems).to.deep.equal([]);
  });

  for (const value of ["false", "TRUE", "1", "yes", ""]) {
    it(`does not turn the cache on for ${JSON.stringify(value)}`, () => {
      expect(readConfig({ "dev.chainguard.enable-cip-cache": value }).config.cacheEnabled).to.equal(false);
    });
  }

  it("names what it cannot read, and uses the default", () => {
    const { config, problems } = readConfig({
      "dev.entrepot.cache-ttl": "forever",
      "dev.entrepot.resolve-digests": "maybe",
    });
    expect(config.cacheTtlSeconds).to.equal(86_400);
    expect(problems).to.have.length(2);
  });

  it("reads durations", () => {
    const read = ["24h", "90m", "1h30m", "45s", "", "h", "1.5h", "-1h", "1h ", "1000000000h"].map(parseDuration);
    expect(read).to.deep.equal([
      86_400,
      5_400,
      5_400,
      45,
      undefined,
      undefined,
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
  });
});
