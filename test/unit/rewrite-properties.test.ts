import { expect } from "chai";
import fc from "fast-check";
import type { AdmissionRequest } from "../../core/admission/request.ts";
import { canonicalName, parseReference } from "../../core/image/reference.ts";
import { isFields } from "../../core/json.ts";
import { missingPullSecrets, pullSecretOperations } from "../../core/rewrite/pullsecrets.ts";
import { rewrite } from "../../core/rewrite/rewrite.ts";
import { ANNOTATION } from "../../crds/names.ts";
import { request } from "../support/admission.ts";
import { namedRule } from "../support/named-rules.ts";
import { type Any, applied, created, namesOf } from "../support/rewrite-samples.ts";

const part = fc.constantFrom("a", "b", "library", "quay.io", "x-1");
const path = fc.array(part, { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/"));
const upstream = fc.constantFrom("docker.io", "ghcr.io", "registry.local:5000", "localhost:30500");
const rules = fc
  .array(
    fc.record({
      host: upstream,
      source: path,
      target: path,
      wildcard: fc.boolean(),
      everything: fc.boolean(),
      notReady: fc.option(fc.string(), { nil: undefined }),
      rewrite: fc.constantFrom("Pods" as const, "Never" as const, "Pods" as const),
      registry: fc.constantFrom("main", "vendor"),
    }),
    { maxLength: 8 },
  )
  .map((all) =>
    all.map(({ host, source, target, wildcard, everything, notReady, ...change }, index) =>
      namedRule(
        everything ? `${host}/*` : `${host}/${source}${wildcard ? "/*" : ""}`,
        wildcard || everything ? `${target}/*` : target,
        {
          name: `r${index}`,
          ...change,
          ...(notReady !== undefined && { notReady }),
          ...(change.registry === "vendor" && { host: "vendor.example.com/mirror" }),
        },
      ),
    ),
  );
const ending = fc.constantFrom("", ":v1", `@sha256:${"a".repeat(64)}`, `:v1@sha256:${"b".repeat(64)}`);
const image = fc.oneof(
  { weight: 5, arbitrary: fc.tuple(upstream, path, ending).map(([host, name, end]) => `${host}/${name}${end}`) },
  { weight: 1, arbitrary: fc.constantFrom("nginx", "a/b:1", "", "NO:::", "vendor.example.com/mirror/a") },
);
const policy = fc.constantFrom(undefined, "Always", "Never");
const containers = fc.array(
  fc.record({ name: fc.constantFrom("c0", "c1", "c2", "c3", "c4"), image, imagePullPolicy: policy }),
  { maxLength: 4 },
);
const notes = fc.oneof(
  fc.string(),
  fc.dictionary(fc.constantFrom("c0", "c1", "__proto__"), image).map((value) => JSON.stringify(value)),
);
const pod = fc.record({
  metadata: fc.record(
    {
      name: fc.constant("p"),
      annotations: fc.dictionary(fc.constantFrom(...Object.values(ANNOTATION), "other"), notes),
    },
    { requiredKeys: ["name"] },
  ),
  spec: fc.record(
    {
      initContainers: containers,
      containers,
      ephemeralContainers: containers,
      volumes: fc.array(fc.record({ name: fc.constantFrom("v", "w"), image: fc.record({ reference: image }) })),
      imagePullSecrets: fc.array(fc.record({ name: fc.constantFrom("own", "vendor-pull") })),
    },
    { requiredKeys: ["containers"] },
  ),
});

/** The object without what rewriting may change. */
function rest(object: object): Any {
  const copy = structuredClone(object) as { metadata: { annotations?: Any }; spec: Record<string, unknown> };
  for (const name of [ANNOTATION.originalImages, ANNOTATION.notRewritten])
    copy.metadata.annotations = { ...copy.metadata.annotations, [name]: undefined };
  const masked: unknown = JSON.parse(
    JSON.stringify(copy, (key, value: unknown) => {
      if (key === "imagePullSecrets") return undefined;
      return (key === "image" || key === "reference") && typeof value === "string" ? "masked" : value;
    }),
  );
  return masked as Any;
}

describe("rewriting, whatever the rules and the Pod", () => {
  it("done twice is done once", () =>
    fc.assert(
      fc.property(rules, pod, (all, object) => {
        const names = namesOf(all);
        const once = created(object, names).pod;
        expect(created(once, names).patch).to.deep.equal([]);
      }),
    ));

  it("keeps tag and digest, and leads back to the image as it was", () =>
    fc.assert(
      fc.property(rules, pod, (all, object) => {
        const names = namesOf(all);
        for (const { image: before, to } of created(object, names).renamed) {
          const [old, now] = [parseReference(before), parseReference(to)];
          expect([now.tag, now.digest]).to.deep.equal([old.tag, old.digest]);
          const origin = names.originOf(now);
          expect(origin && canonicalName(origin.reference)).to.equal(canonicalName(old));
        }
      }),
    ));

  it("changes image fields, pull Secrets and its two annotations, and nothing else", () =>
    fc.assert(
      fc.property(rules, pod, (all, object) => {
        const done = created(object, namesOf(all));
        const missing = missingPullSecrets(
          object,
          done.renamed.map(({ by }) => by.cache),
        );
        const after = applied(done.pod, pullSecretOperations(object, missing));
        expect(rest(after)).to.deep.equal(rest(object));
        const secrets = (of: object) => (of as { spec: { imagePullSecrets?: object[] } }).spec.imagePullSecrets ?? [];
        expect(secrets(after)).to.deep.equal([...secrets(object), ...missing.map((name) => ({ name }))]);
      }),
    ));

  it("never throws, and gives a patch that can be applied", () => {
    const garbage = fc.jsonValue({ maxDepth: 2 });
    const item = fc.record(
      { name: garbage, image: fc.oneof(image, garbage), imagePullPolicy: garbage },
      { requiredKeys: [] },
    );
    const list = fc.oneof(garbage, fc.array(fc.oneof(item, garbage), { maxLength: 3 }));
    const spec = fc.record(
      { containers: list, initContainers: list, ephemeralContainers: list, volumes: list, imagePullSecrets: list },
      { requiredKeys: [] },
    );
    const annotations = fc.dictionary(fc.constantFrom(...Object.values(ANNOTATION)), fc.oneof(notes, garbage));
    const metadata = fc.record({ annotations: fc.oneof(annotations, garbage), labels: garbage }, { requiredKeys: [] });
    const hostile = fc.record(
      { metadata: fc.oneof(metadata, garbage), spec: fc.oneof(spec, garbage) },
      { requiredKeys: [] },
    );
    const operation = fc.constantFrom<Partial<AdmissionRequest>>(
      {},
      { operation: "UPDATE", subResource: "ephemeralcontainers" },
    );
    fc.assert(
      fc.property(rules, hostile, hostile, operation, (all, object, oldObject, more) => {
        const asked = request(object, { oldObject, ...more });
        const { patch, renamed } = rewrite(asked, namesOf(all), () => undefined);
        expect(isFields(applied(object, patch))).to.equal(true);
        const secrets = missingPullSecrets(
          object,
          renamed.map(({ by }) => by.cache),
        );
        applied(object, pullSecretOperations(object, secrets));
      }),
    );
  });
});
