import { expect } from "chai";
import jsonpatch from "fast-json-patch";
import { conclude as concludeAdmission } from "../../core/admission/conclude.ts";
import { parseDuration, readConfig } from "../../core/admission/config.ts";
import { annotationPatch, imagePatch } from "../../core/admission/patch.ts";
import { planAdmission } from "../../core/admission/plan.ts";
import { controllerOwner, decodeReview } from "../../core/admission/request.ts";
import { CACHE_ANNOTATION } from "../../core/cache/record.ts";
import { NO_NAMES } from "../../core/cachenames/names.ts";
import { DomainError } from "../../core/errors.ts";

import { DIGEST, deploymentKind, keyed, pod, podKind, request } from "../support/admission.ts";

const { config: CONFIG } = readConfig({ "dev.chainguard.enable-cip-cache": "true" });

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
    const { tasks } = planAdmission(request(allImages), podKind, [keyed], NO_NAMES);
    expect(tasks.map(({ field }) => field)).to.deep.equal([
      "spec.initContainers[0].image",
      "spec.containers[0].image",
      "spec.ephemeralContainers[0].image",
      "spec.volumes[0].image.reference",
    ]);
    expect(tasks.every(({ policies }) => policies.length === 1)).to.equal(true);
  });

  it("refuses an image that cannot be read", () => {
    const { invalid } = planAdmission(request(pod("NO GOOD")), podKind, [keyed], NO_NAMES);
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
      NO_NAMES,
    );

  it("counts a Deployment as unchanged when it is only scaled, and as changed when its template is touched", () => {
    expect(update(deployment("ghcr.io/a/b", "1"), deployment("ghcr.io/a/b", "1", 5)).unchanged).to.equal(true);
    expect(update(deployment("ghcr.io/a/b", "1"), deployment("ghcr.io/a/b", "restarted")).unchanged).to.equal(false);
    expect(update(deployment("ghcr.io/a/b", "1", 5), deployment("ghcr.io/a/evil", "1", 1)).unchanged).to.equal(false);
  });

  it("judges only the image that an UPDATE adds to a Pod", () => {
    const oldObject = pod("ghcr.io/a/b") as never;
    const debug = { spec: { ...pod("ghcr.io/a/b").spec, ephemeralContainers: [{ image: "ghcr.io/a/debug" }] } };
    const plan = planAdmission(request(debug, { operation: "UPDATE", oldObject }), podKind, [keyed], NO_NAMES);
    expect(plan.tasks.map(({ field }) => field)).to.deep.equal(["spec.ephemeralContainers[0].image"]);
    expect(
      planAdmission(request(pod("ghcr.io/a/b"), { operation: "UPDATE", oldObject }), podKind, [keyed], NO_NAMES)
        .unchanged,
    ).to.equal(true);
  });
});

describe("concluding an admission", () => {
  const [task] = planAdmission(request(pod("ghcr.io/a/b:v1")), podKind, [keyed], NO_NAMES).tasks;
  const [unmatched] = planAdmission(request(pod("quay.io/a/b:v1")), podKind, [keyed], NO_NAMES).tasks;
  if (task === undefined || unmatched === undefined) throw new Error("no task");
  const failed = { policy: keyed, verdict: { kind: "fail", reasons: ["no signatures found"] } as const };

  it("names policy, field, image and reason", () => {
    const { errors } = concludeAdmission([{ task, digest: DIGEST, verdicts: [failed] }], [], CONFIG, false);
    expect(errors).to.equal(`failed policy: p: spec.containers[0].image\nghcr.io/a/b:v1@${DIGEST} no signatures found`);
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
    const passed = { policy: keyed, verdict: { kind: "pass", matches: {} } as const };
    expect(concludeAdmission([{ task, digest: DIGEST, verdicts: [passed] }], [], CONFIG, true).errors).to.equal(
      "invalid value: ghcr.io/a/b:v1 must be an image digest: spec.containers[0].image",
    );
    expect(concludeAdmission([{ task, verdicts: [passed] }], [], CONFIG, true).errors).to.equal(undefined);
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
      apiVersion: "apps/v1",
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
      rewriteImages: "labelled",
    });
    expect(problems).to.deep.equal([]);
  });

  for (const value of ["false", "TRUE", "1", "yes", ""]) {
    it(`does not turn the cache on for ${JSON.stringify(value)}`, () => {
      expect(readConfig({ "dev.chainguard.enable-cip-cache": value }).config.cacheEnabled).to.equal(false);
    });
  }

  it("reads what policy-controller reads as it does", () => {
    const empty = (text: string) => readConfig({ "fail-on-empty-authorities": text });
    for (const text of ["false", "0", "f", "F", "FALSE", "False"])
      expect(empty(text))
        .to.deep.include({ problems: [] })
        .and.to.have.nested.property("config.failOnEmptyAuthorities", false);
    for (const text of ["true", "1", "T"]) expect(empty(text).config.failOnEmptyAuthorities).to.equal(true);
    expect(empty("no").config.failOnEmptyAuthorities).to.equal(true);
    expect(empty("no").problems).to.deep.equal([
      'fail-on-empty-authorities: "no" is neither true nor false; true is used',
    ]);
  });

  it("takes enable-oci11, which is always on, and says so to who would turn it off", () => {
    expect(readConfig({ "enable-oci11": "true" }).problems).to.deep.equal([]);
    expect(readConfig({ "enable-oci11": "false" }).problems.join()).to.include("has no effect");
  });

  it("names what is no setting, but for the example that comes with it", () => {
    expect(readConfig({ _example: "no-match-policy: allow" }).problems).to.deep.equal([]);
    expect(readConfig({ "no-match-polcy": "allow" }).problems).to.deep.equal([
      "no-match-polcy: there is no such setting",
    ]);
  });

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
