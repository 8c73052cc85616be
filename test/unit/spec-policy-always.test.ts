// No verdict reaches an answer without its spec.policy, whatever is not known of the image (a fake: test/support/scripted-admission.ts).
import { expect } from "chai";
import type { AdmissionRequest } from "../../core/admission/request.ts";
import type { EvaluationInput, EvaluationResult, Evaluator } from "../../core/policy/types.ts";
import { namedRule } from "../support/named-rules.ts";
import { namesOf } from "../support/rewrite-samples.ts";
import { APP, type Json, Outside, replica, SIGNED, workload } from "../support/scripted-admission.ts";

const PASS = [{ static: { action: "pass" } }];
const CONDITION = { type: "cue", data: "x" };
const SIDECAR = "quay.io/other/sidecar";

/** Compliant where the object has no host network. */
const noHostNetwork = (_evaluator: Evaluator, { json }: EvaluationInput): EvaluationResult =>
  json.includes('"hostNetwork":true')
    ? { kind: "rejected", message: "hostNetwork is forbidden" }
    : { kind: "compliant" };

/** Compliant where the object's metadata has a label `owner`. */
const wantsOwner = (_evaluator: Evaluator, { json }: EvaluationInput): EvaluationResult =>
  json.includes('"owner"') ? { kind: "compliant" } : { kind: "rejected", message: "no owner" };

const podOf = (podSpec: object, labels: object = {}, image = APP): Json => {
  const pod = workload("Pod", "p", image, { labels });
  return { ...pod, spec: { ...(pod["spec"] as object), ...podSpec } };
};

const creationOf = (object: Json): AdmissionRequest => ({
  ...{ uid: "r", operation: "CREATE", dryRun: false, namespace: "team", name: "p" },
  ...{ group: "", version: "v1", kind: "Pod", resource: "pods", subResource: "", object },
});

const deployment = (labels: object): Json => workload("Deployment", "d", APP, { labels });

describe("spec.policy, while something is not known of the image", () => {
  let outside: Outside;
  beforeEach(() => {
    outside = new Outside();
  });

  describe("a tag that cannot be resolved, for a policy that only warns", () => {
    const enforced = { policy: { ...CONDITION, includeSpec: true }, authorities: PASS };
    const rollout = { spec: enforced, others: [{ mode: "warn" }] };
    const many = Array.from({ length: 33 }, (_, index) => ({ name: `s${index}` }));
    beforeEach(() => {
      outside.evaluation = noHostNetwork;
    });

    it("is judged: the registry is silent", async () => {
      outside.tags = new Map();
      const webhook = await replica(outside, rollout);
      const { response } = await webhook.send("CREATE", podOf({ hostNetwork: true }));
      expect(response.status?.message).to.include("failed policy: signed").and.to.include("hostNetwork is forbidden");
      expect(response.warnings?.join()).to.include("could not be resolved").and.to.include("connection refused");
      const good = await webhook.send("CREATE", podOf({}));
      expect(good.response.allowed).to.equal(true);
      expect(good.response.warnings?.join()).to.include("could not be resolved");
    });

    it("is judged: the author names more pull Secrets than are read", async () => {
      const webhook = await replica(outside, rollout);
      const { response } = await webhook.send("CREATE", podOf({ hostNetwork: true, imagePullSecrets: many }));
      expect(response.status?.message).to.include("hostNetwork is forbidden");
      expect(response.warnings?.join()).to.include("33 imagePullSecrets");
    });

    it("is judged without authorities too, and refuses what the engine cannot judge", async () => {
      outside.tags = new Map();
      const data = { "fail-on-empty-authorities": "false" };
      const alone = { ...rollout, spec: { ...enforced, authorities: [] }, data };
      const refused = await (await replica(outside, alone)).send("CREATE", podOf({ hostNetwork: true }));
      expect(refused.response.status?.message).to.include("hostNetwork is forbidden");
      outside.evaluation = () => ({ kind: "undecided", message: "no time left" });
      const undecided = await (await replica(outside, rollout)).send("CREATE", podOf({}));
      expect(undecided.response.status?.message).to.include("no time left");
    });

    it("is judged while the tag is still asked for", async () => {
      const judged = Promise.withResolvers<void>();
      outside.evaluation = (evaluator, input) => {
        judged.resolve();
        return noHostNetwork(evaluator, input);
      };
      const resolve = async () => {
        await judged.promise;
        throw new Error("timed out");
      };
      outside.ports = { resolve };
      const webhook = await replica(outside, rollout);
      const response = await webhook.ask("/validations", creationOf(podOf({})));
      expect(response.allowed).to.equal(true);
      expect(response.warnings?.join()).to.include("could not be resolved").and.to.include("timed out");
    });

    it("is judged on an UPDATE without a new image", async () => {
      outside.tags = new Map();
      outside.evaluation = wantsOwner;
      const meta = { ...CONDITION, includeObjectMeta: true };
      const webhook = await replica(outside, {
        spec: { ...enforced, policy: meta },
        others: [{ mode: "warn", policy: meta }],
      });
      const old = deployment({ owner: "team" });
      const { response } = await webhook.send("UPDATE", deployment({}), { oldObject: old });
      expect(response.status?.message).to.include("failed policy: signed").and.to.include("no owner");
      const kept = await webhook.send("UPDATE", deployment({ owner: "b" }), { oldObject: old });
      expect(kept.response.allowed).to.equal(true);
    });
  });

  describe("an image that the authorities refuse by now, on an UPDATE that keeps it", () => {
    const meta = { spec: { policy: { ...CONDITION, includeObjectMeta: true } } };
    const old = deployment({ owner: "team" });
    beforeEach(() => {
      outside.evaluation = wantsOwner;
      outside.outcome = () => ({ kind: "failed", message: "no signatures found" });
    });

    it("refuses what is newly wrong in the object", async () => {
      const { response } = await (await replica(outside, meta)).send("UPDATE", deployment({}), { oldObject: old });
      expect(response.status?.message).to.include("failed policy: signed").and.to.include("no owner");
      expect(response.status?.message).not.to.include("no signatures found");
    });

    it("does so beside the image's configuration, which nobody fetched, and under a static authority that fails", async () => {
      const config = { spec: { policy: { ...CONDITION, includeObjectMeta: true, fetchConfigFile: true } } };
      const failing = { spec: { ...meta.spec, authorities: [{ static: { action: "fail" } }] } };
      for (const change of [config, failing]) {
        const webhook = await replica(outside, change);
        const { response } = await webhook.send("UPDATE", deployment({}), { oldObject: old });
        expect(response.status?.message).to.include("no owner");
        const kept = await webhook.send("UPDATE", deployment({ owner: "b" }), { oldObject: old });
        expect(kept.response.allowed).to.equal(true);
      }
    });

    it("does not refuse what was wrong already, as what depends on the signatures is before and after", async () => {
      const webhook = await replica(outside, meta);
      const wrong = await webhook.send("UPDATE", deployment({ a: "2" }), { oldObject: deployment({ a: "1" }) });
      expect(wrong.response.allowed).to.equal(true);
      outside.evaluation = (_evaluator, { json }) =>
        json.includes("authorityMatches") ? { kind: "compliant" } : { kind: "rejected", message: "no match" };
      const { response } = await webhook.send("UPDATE", deployment({ owner: "b" }), { oldObject: old });
      expect(response.allowed).to.equal(true);
    });

    it("refuses where the engine cannot judge", async () => {
      outside.evaluation = () => ({ kind: "undecided", message: "no time left" });
      const { response } = await (await replica(outside, meta)).send("UPDATE", deployment({}), { oldObject: old });
      expect(response.status?.message).to.include("no time left");
    });
  });

  describe("an object that the policy did not govern before", () => {
    const match = [{ resource: "pods", version: "v1", selector: { matchLabels: { tier: "prod" } } }];
    const spec = { match, policy: { ...CONDITION, includeObjectMeta: true } };
    beforeEach(() => {
      outside.evaluation = wantsOwner;
    });

    it("is not excused by having been wrong then", async () => {
      const webhook = await replica(outside, { spec });
      const entering = await webhook.send("UPDATE", podOf({}, { tier: "prod" }), {
        oldObject: podOf({}, { tier: "dev" }),
      });
      expect(entering.response.status?.message).to.include("no owner");
      const right = { tier: "prod", owner: "team" };
      const rightly = await webhook.send("UPDATE", podOf({}, right), { oldObject: podOf({}, { tier: "dev" }) });
      expect(rightly.response.allowed).to.equal(true);
    });

    it("is excused where the policy governed it and it was wrong, and left alone where it governs it no more", async () => {
      const webhook = await replica(outside, { spec });
      const old = podOf({}, { tier: "prod" });
      const again = await webhook.send("UPDATE", podOf({}, { tier: "prod", a: "b" }), { oldObject: old });
      expect(again.response.allowed).to.equal(true);
      const data = { "no-match-policy": "allow" };
      const lenient = await replica(outside, { spec, data });
      const leaving = await lenient.send("UPDATE", podOf({}, { tier: "dev" }), { oldObject: old });
      expect(leaving.response.allowed).to.equal(true);
    });

    it("is not excused for an image that is refused by now", async () => {
      outside.outcome = () => ({ kind: "failed", message: "no signatures found" });
      const webhook = await replica(outside, { spec });
      const oldObject = podOf({}, { tier: "dev" });
      const { response } = await webhook.send("UPDATE", podOf({}, { tier: "prod" }), { oldObject });
      expect(response.status?.message).to.include("no owner");
    });
  });

  describe("a Pod that gets a new image of another policy", () => {
    const others = [{ images: [{ glob: `${SIDECAR}**` }], authorities: PASS }];
    const container = (image: string, more: object = {}) => ({ name: "s", image, ...more });
    const withSidecar = (tag: string, labels: object, image: string): Json => {
      const pod = workload("Pod", "p", image, { labels });
      return { ...pod, spec: { containers: [container(image), container(`${SIDECAR}:${tag}`)] } };
    };

    it("answers to the policies of those it keeps for what changes beside", async () => {
      outside.evaluation = wantsOwner;
      const pinned = `${APP}@${SIGNED}`;
      const change = { spec: { policy: { ...CONDITION, includeObjectMeta: true } }, others };
      const webhook = await replica(outside, change);
      const oldObject = withSidecar("v1", { owner: "team" }, pinned);
      const { response } = await webhook.send("UPDATE", withSidecar("v2", {}, pinned), { oldObject });
      expect(response.status?.message).to.include("failed policy: signed: spec.containers[0].image");
      expect(response.status?.message).to.include("no owner");
      const good = await webhook.send("UPDATE", withSidecar("v2", { owner: "b" }, pinned), { oldObject });
      expect(good.response.allowed).to.equal(true);
    });

    it("keeps an image that another policy vouches for by its name in a cache", async () => {
      const rule = namedRule("ghcr.io/team/*", "gh/*", { registry: "vendor", host: "vendor.example.com" });
      const change = { policy: { ...CONDITION, includeObjectMeta: true }, authorities: PASS };
      const webhook = await replica(outside, { names: namesOf([rule]), spec: change, others: [{}, ...others] });
      const cached = `vendor.example.com/gh/app:v1@${SIGNED}`;
      expect((await webhook.send("CREATE", withSidecar("v1", {}, cached))).response.allowed).to.equal(true);
      const oldObject = withSidecar("v1", {}, cached);
      const { response } = await webhook.send("UPDATE", withSidecar("v2", { a: "b" }, cached), { oldObject });
      expect(response.allowed).to.equal(true);
    });

    it("answers to them for an ephemeral container, and not for the kept image or its tag", async () => {
      outside.evaluation = (_evaluator, { json }) =>
        json.includes('"privileged":true') ? { kind: "rejected", message: "privileged" } : { kind: "compliant" };
      const change = { spec: { policy: { ...CONDITION, includeSpec: true } }, others };
      const oldObject = podOf({});
      const debugged = (privileged: boolean) =>
        podOf({ ephemeralContainers: [container(`${SIDECAR}:v1`, { securityContext: { privileged } })] });
      const webhook = await replica(outside, change);
      const refused = await webhook.send("UPDATE", debugged(true), { oldObject });
      expect(refused.response.status?.message).to.include("privileged");
      expect((await webhook.send("UPDATE", debugged(false), { oldObject })).response.allowed).to.equal(true);
      outside.outcome = () => ({ kind: "failed", message: "no signatures found" });
      const later = await replica(outside, change);
      expect((await later.send("UPDATE", debugged(false), { oldObject })).response.allowed).to.equal(true);
      expect((await later.send("UPDATE", debugged(true), { oldObject })).response.allowed).to.equal(false);
    });
  });
});
