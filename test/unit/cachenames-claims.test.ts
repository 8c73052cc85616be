import { expect } from "chai";
import fc from "fast-check";
import { conclude } from "../../core/admission/conclude.ts";
import { readConfig } from "../../core/admission/config.ts";
import { planAdmission } from "../../core/admission/plan.ts";
import { NO_NAMES } from "../../core/cachenames/names.ts";
import type { CacheNames } from "../../core/cachenames/types.ts";
import { staticVerdict } from "../../core/policy/evaluate.ts";
import type { CompiledPolicy } from "../../core/policy/types.ts";
import { ANNOTATION } from "../../crds/names.ts";
import { DIGEST, deploymentKind, PEM, podKind, policy, request } from "../support/admission.ts";
import { HOST, namedRule } from "../support/named-rules.ts";
import { namesOf, podOf } from "../support/rewrite-samples.ts";

const OTHER = `sha256:${"b".repeat(64)}`;
const CACHED = `${HOST}/hub/app`;
const UPSTREAM = "docker.io/acme/app";
const RULE = namesOf([namedRule("docker.io/acme/*", "hub/*")]);
const KEY = { authorities: [{ name: "k", key: { data: PEM } }] };
const PASS = { authorities: [{ static: { action: "pass" } }] };
const about = (glob: string, spec: object, name = "p") =>
  policy({ images: [{ glob }], ...spec }, {}, { name, uid: `uid-${name}-${glob}` });

/** A Pod whose containers `c0`, `c1`, … have these images, and what it says that they were called. */
const claiming = (claims: object | string, ...images: readonly string[]) =>
  podOf(
    images,
    {},
    { annotations: { [ANNOTATION.originalImages]: typeof claims === "string" ? claims : JSON.stringify(claims) } },
  );

const plan = (pod: object, policies: readonly CompiledPolicy[], names: CacheNames = NO_NAMES) =>
  planAdmission(request(pod), podKind, policies, names).tasks;
const planned = (...asked: Parameters<typeof plan>) => plan(...asked).map(({ unexplained }) => unexplained);

describe("a name that a Pod says its image had", () => {
  const signed = about("docker.io/acme/*", KEY);

  it("and that no rule says: the image is refused where a policy for that name could refuse it", () => {
    for (const [written, former] of [
      [`${CACHED}:v1@${DIGEST}`, `${UPSTREAM}:v1@${DIGEST}`],
      [`${CACHED}:v1@${DIGEST}`, `${UPSTREAM}:v1`],
      [`${CACHED}@${DIGEST}`, "acme/app"],
      [CACHED, "acme/app:latest"],
    ] as const) {
      const [why] = planned(claiming({ c0: former }, written), [signed]);
      expect(why, written).to.equal(
        'ClusterImagePolicy "p" may be for it: the Pod says that the image was called docker.io/acme/app (annotation ' +
          "entrepot.dev/original-images), and no CacheRule known here says so yet; try again, or remove the annotation if it is out of date",
      );
    }
  });

  it("of any image of the Pod, volumes too", () => {
    const volumes = [{ name: "data", image: { reference: CACHED } }];
    const pod = podOf([CACHED], { volumes, initContainers: [{ name: "init", image: CACHED }] });
    for (const [key, expected] of [
      ["c0", 1],
      ["init", 0],
      ["volumes/data", 2],
    ] as const) {
      const noted = { ...pod, metadata: { ...claiming({ [key]: UPSTREAM }).metadata } };
      const found = planned(noted, [signed]).map((why) => why !== undefined);
      expect(found, key).to.deep.equal([0, 1, 2].map((index) => index === expected));
    }
  });

  for (const [what, names, former, written] of [
    ["a rule says it", RULE, UPSTREAM, CACHED],
    ["it is the image's own", NO_NAMES, UPSTREAM, UPSTREAM],
    ["it had another tag", NO_NAMES, `${UPSTREAM}:v1`, `${CACHED}:v2`],
    ["it had another digest", NO_NAMES, `${UPSTREAM}@${OTHER}`, `${CACHED}@${DIGEST}`],
    ["it is no name", NO_NAMES, "NO:::", CACHED],
    ["no policy is for it", NO_NAMES, "quay.io/acme/app", CACHED],
  ] as const) {
    it(`changes nothing where ${what}`, () => {
      const without = plan(podOf([written]), [signed], names);
      expect(plan(claiming({ c0: former }, written), [signed], names)).to.deep.equal(without);
    });
  }

  it("changes nothing where its policies only warn or pass it by name, but for what a refusal says", () => {
    for (const spec of [PASS, { ...KEY, mode: "warn" }]) {
      const [task] = plan(claiming({ c0: UPSTREAM }, CACHED), [about("docker.io/acme/*", spec)]);
      expect(task).to.deep.include({ policies: [], vouched: false });
      expect(task).to.not.have.property("unexplained");
      expect(task?.unvouchedBecause).to.match(/^the Pod says that the image was called docker\.io\/acme\/app /);
    }
    const own = about("**", PASS);
    const [task] = plan(claiming({ c0: UPSTREAM }, CACHED), [own]);
    expect(task).to.deep.include({ policies: [own], vouched: true });
    expect(task).to.not.have.property("unvouchedBecause");
  });

  it("is known to be wanted by policies for what is behind it in turn, and refused if there are too many names", () => {
    const deeper = namesOf([namedRule("docker.io/acme/*", "hub/*", { host: "mirror.example.com" })]);
    expect(planned(claiming({ c0: "mirror.example.com/hub/app" }, CACHED), [signed], deeper)[0]).to.include('"p"');
    const step = (from: string, to: string) => namedRule(`${from}.example.com/*`, "*", { host: `${to}.example.com` });
    const chain = namesOf([..."abcde"].map((from, index) => step(from, "bcdef"[index] ?? "")));
    expect(planned(claiming({ c0: "f.example.com/app" }, CACHED), [], chain)[0]).to.include("f.example.com/app");
    expect(planned(claiming({ c0: "e.example.com/app" }, CACHED), [], chain)[0]).to.equal(undefined);
  });

  it("counts where another rule gives the image another origin", () => {
    const older = namesOf([namedRule("quay.io/x/*", "hub/*")]);
    expect(planned(claiming({ c0: UPSTREAM }, CACHED), [signed, about("quay.io/x/*", KEY, "q")], older)[0]).to.include(
      '"p"',
    );
  });

  it("counts on new Pods alone", () => {
    const pod = claiming({ c0: UPSTREAM }, CACHED);
    const touched = { operation: "UPDATE", oldObject: pod } as const;
    expect(planAdmission(request(pod, touched), podKind, [signed], NO_NAMES).tasks[0]).to.not.have.property(
      "unexplained",
    );
    const { metadata, spec } = pod;
    const deployment = request(
      { metadata, spec: { template: { metadata, spec } } },
      { group: "apps", kind: "Deployment" },
    );
    expect(planAdmission(deployment, deploymentKind, [signed], NO_NAMES).tasks[0]).to.not.have.property("unexplained");
    const added = { operation: "UPDATE", oldObject: podOf(["quay.io/else"]) } as const;
    expect(planAdmission(request(pod, added), podKind, [signed], NO_NAMES).tasks[0]).to.not.have.property(
      "unexplained",
    );
    expect(planAdmission(request(pod), podKind, [signed], NO_NAMES).tasks[0]).to.have.property("unexplained");
  });
});

describe("what a Pod says that its images were called, whatever it says", () => {
  const GLOBS = ["docker.io/**", "docker.io/acme/*", "quay.io/**", `${HOST}/**`, `${HOST}/hub/*`, "**"];
  const SPECS = [KEY, PASS, { ...KEY, mode: "warn" }, { authorities: [{ static: { action: "fail" } }] }];
  const SAMPLES = GLOBS.flatMap((glob, g) => SPECS.map((spec, s) => about(glob, spec, `p${g}-${s}`)));
  const names = fc
    .subarray([
      namedRule("docker.io/acme/*", "hub/*"),
      namedRule("docker.io/acme/app", "x", { name: "exact" }),
      namedRule("quay.io/*", "hub/*", { registry: "vendor", name: "q" }),
      namedRule("docker.io/*", "d/*", { registry: "vendor", host: "vendor.example.com", name: "d" }),
    ])
    .map((rules) => namesOf(rules));
  const repository = fc.constantFrom(
    UPSTREAM,
    "quay.io/app",
    CACHED,
    `${HOST}/x`,
    "vendor.example.com/d/acme/app",
    "ghcr.io/a",
  );
  const image = fc
    .tuple(repository, fc.constantFrom("", ":v1"), fc.constantFrom("", `@${DIGEST}`))
    .map((parts) => parts.join(""));
  const claims = fc.oneof(
    { weight: 9, arbitrary: image.map((c0) => JSON.stringify({ c0 })) },
    { weight: 1, arbitrary: fc.string() },
  );
  const noMatch = fc.constantFrom("deny", "warn", "allow");

  it("is never a permission, and changes nothing but what is said of a refusal", () => {
    const seen = { refused: 0, told: 0 };
    const answer = (
      pod: object,
      policies: readonly CompiledPolicy[],
      known: CacheNames,
      noMatchPolicy: string,
      signed: boolean,
    ) => {
      const { tasks, invalid } = planAdmission(request(pod), podKind, policies, known);
      const verdict = (one: CompiledPolicy) =>
        staticVerdict(one) ??
        (signed ? { kind: "pass" as const, matches: {} } : { kind: "fail" as const, reasons: ["not signed"] });
      const images = tasks.map((task) => ({
        task,
        verdicts: task.policies.map((one) => ({ policy: one, verdict: verdict(one) })),
      }));
      const { config } = readConfig({ "no-match-policy": noMatchPolicy });
      return { tasks, ...conclude(images, invalid, config, false) };
    };
    fc.assert(
      fc.property(
        names,
        fc.subarray(SAMPLES, { maxLength: 4 }),
        image,
        claims,
        noMatch,
        fc.boolean(),
        (known, policies, written, text, other, signed) => {
          const without = answer(podOf([written]), policies, known, other, signed);
          const claimed = answer(claiming(text, written), policies, known, other, signed);
          if (without.errors !== undefined) expect(claimed.errors).to.be.a("string");
          expect(claimed.tasks.map(({ unexplained: _1, unvouchedBecause: _2, ...task }) => task)).to.deep.equal(
            without.tasks.map(({ unvouchedBecause: _2, ...task }) => task),
          );
          if (without.errors === undefined && claimed.errors !== undefined) {
            seen.refused++;
            expect(claimed.errors).to.include("unexplained name: spec.containers[0].image");
          }
          if (claimed.errors?.includes("entrepot.dev/original-images")) seen.told++;
        },
      ),
      { numRuns: 2_000 },
    );
    expect(seen.refused).to.be.greaterThan(10);
    expect(seen.told).to.be.greaterThan(seen.refused);
  });

  it("gives a replica that lags behind no verdict that is laxer than that of one which knows the rule", () => {
    let refused = 0;
    const rules = [namedRule("docker.io/acme/*", "hub/*")];
    const policies = fc.subarray(SAMPLES, { maxLength: 4 });
    fc.assert(
      fc.property(policies, fc.constantFrom("", ":v1"), fc.boolean(), (all, tag, signed) => {
        const pod = claiming({ c0: `${UPSTREAM}${tag}` }, `${CACHED}${tag}@${DIGEST}`);
        const admitted = (known: CacheNames) => {
          const { tasks, invalid } = planAdmission(request(pod), podKind, all, known);
          const images = tasks.map((task) => ({
            task,
            verdicts: task.policies.map((one) => ({
              policy: one,
              verdict:
                staticVerdict(one) ??
                (signed ? { kind: "pass" as const, matches: {} } : { kind: "fail" as const, reasons: [""] }),
            })),
          }));
          return (
            conclude(images, invalid, readConfig({ "no-match-policy": "allow" }).config, true).errors === undefined
          );
        };
        if (admitted(namesOf(rules))) return;
        refused++;
        expect(admitted(NO_NAMES)).to.equal(false);
      }),
      { numRuns: 1_000 },
    );
    expect(refused).to.be.greaterThan(100);
  });
});
