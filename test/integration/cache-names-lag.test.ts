// Pods that one replica renamed by a rule which the next does not know yet, with scripted registries (a fake: test/support/scripted-admission.ts).
import { expect } from "chai";
import jsonpatch, { type Operation } from "fast-json-patch";
import { NO_NAMES } from "../../core/cachenames/names.ts";
import { request } from "../support/admission.ts";
import { HOST, namedRule } from "../support/named-rules.ts";
import { namesOf } from "../support/rewrite-samples.ts";
import {
  APP,
  type Change,
  imageOf,
  type Json,
  Outside,
  type Replica,
  replica,
  SIGNED,
  UNSIGNED,
  workload,
} from "../support/scripted-admission.ts";

const names = namesOf([namedRule("ghcr.io/team/*", "gh/*", { name: "gh" })]);
const NOTE = "entrepot.dev/original-images";
const ELSEWHERE = "registry.example.com/else:v1";

describe("a Pod that another replica renamed", () => {
  let outside: Outside;
  beforeEach(() => {
    outside = new Outside();
  });

  const start = (noMatch: string, change: Change = {}): Promise<Replica> =>
    replica(outside, { data: { "no-match-policy": noMatch }, ...change });

  async function renamed(image: string, by: Replica, metadata: object = {}): Promise<Json> {
    const pod = workload("Pod", "p", image, metadata);
    const { patch = "" } = await by.ask("/rewriting", request(pod));
    const operations = patch === "" ? [] : (JSON.parse(Buffer.from(patch, "base64").toString()) as Operation[]);
    return jsonpatch.applyPatch(structuredClone(pod), operations, true).newDocument;
  }

  /** Which of these images are admitted as they were renamed, and what is said of the others. */
  async function verdicts(by: Replica, ...images: readonly string[]): Promise<readonly string[]> {
    const knowing = await start("deny", { names });
    const said: string[] = [];
    for (const image of images) {
      const { response } = await by.send("CREATE", await renamed(image, knowing));
      said.push(response.allowed ? "admitted" : (response.status?.message ?? ""));
    }
    return said;
  }

  for (const noMatch of ["allow", "warn", "deny"])
    it(`is refused for the moment until this one knows the rule, with no-match-policy ${noMatch}`, async () => {
      const lagging = await start(noMatch, { names: NO_NAMES });
      for (const said of await verdicts(lagging, `${APP}@${SIGNED}`, `${APP}@${UNSIGNED}`))
        expect(said)
          .to.include("unexplained name: spec.containers[0].image")
          .and.include(`${HOST}/gh/app:v1@sha256:`)
          .and.include(
            'ClusterImagePolicy "signed" may be for it: the Pod says that the image was called ghcr.io/team/app',
          )
          .and.include("try again");
      expect(outside.events[0]?.note).to.include("unexplained name");
      await lagging.become({ names, data: { "no-match-policy": noMatch } });
      const [good, bad] = await verdicts(lagging, `${APP}@${SIGNED}`, `${APP}@${UNSIGNED}`);
      expect(good).to.equal("admitted");
      expect(bad).to.include("failed policy: signed");
    });

  it("control: one without that note is an image like any other", async () => {
    const lagging = await start("allow");
    const { response } = await lagging.send("CREATE", workload("Pod", "p", `${HOST}/gh/app:v1@${UNSIGNED}`));
    expect(response.allowed).to.equal(true);
  });

  it("keeps its note when this one is asked to rename it again", async () => {
    const first = await renamed(`${APP}@${UNSIGNED}`, await start("allow", { names }));
    expect(imageOf(first)).to.equal(`${HOST}/gh/app:v1@${UNSIGNED}`);
    for (const rules of [
      NO_NAMES,
      namesOf([namedRule("quay.io/*", "q/*")]),
      namesOf([namedRule("quay.io/x/*", "gh/*")]),
    ]) {
      const lagging = await start("allow", { names: rules });
      const { patch } = await lagging.ask("/rewriting", request(first));
      expect(patch).to.equal(undefined);
      expect((await lagging.send("CREATE", first)).response.allowed).to.equal(false);
    }
  });

  it("gives no verdict to one that has no such note: nothing is remembered but what was found out", async () => {
    const lagging = await start("allow");
    const plain = workload("Pod", "p", `${HOST}/gh/app:v1@${UNSIGNED}`);
    const noted = { ...plain, metadata: { ...plain.metadata, annotations: { [NOTE]: JSON.stringify({ c: APP }) } } };
    for (const [pod, allowed] of [
      [noted, false],
      [plain, true],
      [noted, false],
    ] as const)
      expect((await lagging.send("CREATE", pod)).response.allowed).to.equal(allowed);
  });

  it("is touched and given another image when it runs, whatever is noted on it", async () => {
    const annotations = { [NOTE]: JSON.stringify({ c: APP }) };
    const running = workload("Pod", "p", `${HOST}/gh/app:v1`, { annotations });
    const touched = workload("Pod", "p", `${HOST}/gh/app:v1`, { annotations, labels: { a: "b" } });
    const condition = { policy: { type: "cue", data: "a: 1", includeObjectMeta: true }, images: [{ glob: "**" }] };
    const by = await start("allow", { others: [{ ...condition, authorities: [{ static: { action: "pass" } }] }] });
    const { response } = await by.send("UPDATE", touched, { oldObject: running });
    expect({ allowed: response.allowed, evaluated: outside.asked.evaluate }).to.deep.equal({
      allowed: true,
      evaluated: 1,
    });
    outside.evaluation = (_evaluator, input) =>
      JSON.stringify(input).includes("labels") ? { kind: "rejected", message: "no labels" } : { kind: "compliant" };
    expect((await by.send("UPDATE", touched, { oldObject: running })).response.allowed, "and by its policies").to.equal(
      false,
    );
    outside.evaluation = () => ({ kind: "compliant" });
    const other = workload("Pod", "p", ELSEWHERE, { annotations });
    expect((await by.send("UPDATE", other, { oldObject: running })).response.allowed).to.equal(true);
    expect((await by.send("CREATE", other)).response.status?.message).to.include("unexplained name");
  });
});
