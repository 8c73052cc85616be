import { expect } from "chai";
import fc from "fast-check";
import { load } from "js-yaml";
import { RE2JS } from "re2js";
import type { CacheRegistryView, NamedRuleView } from "../../core/cachenames/types.ts";
import { acceptRules } from "../../core/cacherule/conflicts.ts";
import { parseMapping } from "../../core/cacherule/mapping.ts";
import { parseReference } from "../../core/image/reference.ts";
import { kyvernoPolicy } from "../../core/render/kyverno.ts";
import { selectRules } from "../../core/render/rules.ts";
import { chooseName } from "../../core/rewrite/choose.ts";
import { MAIN_REGISTRY, namedRule } from "../support/named-rules.ts";

interface ForEach {
  readonly list: string;
  readonly context: readonly { readonly name: string; readonly variable: { readonly jmesPath: string } }[];
  readonly preconditions: { readonly all: readonly { readonly key: string; readonly operator: string }[] };
  readonly patchesJson6902: string;
}

interface Policy {
  readonly metadata: { readonly name: string; readonly annotations: Readonly<Record<string, string>> };
  readonly spec: {
    readonly rules: readonly {
      readonly match: { readonly any: readonly { readonly resources: { kinds: string[]; operations: string[] } }[] };
      readonly exclude: { readonly any: readonly { readonly resources: { namespaces: string[] } }[] };
      readonly mutate: { readonly foreach: readonly ForEach[] };
    }[];
  };
}

const OTHER: CacheRegistryView = { metadata: { name: "other" }, spec: {} };

const rendered = (rules: readonly NamedRuleView[], registry?: string) =>
  kyvernoPolicy(selectRules(rules, [MAIN_REGISTRY, OTHER], registry), "cosign-system");

const loops = (text: string) => (load(text) as Policy).spec.rules.flatMap(({ mutate }) => mutate.foreach);

/** The names that the policy's pipeline gives: its expressions applied one after the other, as Kyverno's regex_replace_all does (Go's regexp). */
function applied(text: string): (image: string) => string {
  const jmesPath = loops(text)[0]?.context[0]?.variable.jmesPath ?? "";
  const steps = [...jmesPath.matchAll(/ [|] regex_replace_all\('([^']*)', @, '([^']*)'\)/g)];
  expect(jmesPath).to.equal(`element.image${steps.map(([step]) => step).join("")}`); // nothing else is in it
  const compiled = steps.map(([, expression = "", to = ""]) => ({ expression: RE2JS.compile(expression), to }));
  return (image) => compiled.reduce((name, { expression, to }) => expression.matcher(name).replaceAll(to), image);
}

/** The name that the rewriting webhook would give. */
function chosen(rules: readonly NamedRuleView[], image: string): string {
  const choice = chooseName(image, selectRules(rules, [MAIN_REGISTRY, OTHER]).names, () => undefined);
  return choice.kind === "renamed" ? choice.image : image;
}

describe("a Kyverno policy, made of rules", () => {
  const rules = [
    namedRule("docker.io/*", "hub/*", { name: "hub" }),
    namedRule("docker.io/library/nginx", "web/nginx", { name: "nginx" }),
    namedRule("docker.io/acme/*", "acme/*", { name: "acme", registry: "other", host: "cache.example.com:8443/mirror" }),
    namedRule("ghcr.io/team/*", "*", {
      name: "team",
      registry: "other",
      host: "acme.azurecr.io",
      notReady: "the reason",
    }),
    namedRule("docker.io/private/*", "private/*", { name: "private", rewrite: "Never" }),
    namedRule("quay.io/x/y", "hub/x/y", { name: "inside" }),
  ];
  const digest = `sha256:${"a".repeat(64)}`;

  it("gives the names of the most specific rule, however the upstream's name is written", () => {
    const name = applied(rendered(rules));
    const hub = "localhost:30500/hub";
    for (const [written, wanted] of Object.entries({
      nginx: "localhost:30500/web/nginx",
      "nginx:1.27": "localhost:30500/web/nginx:1.27",
      [`library/nginx@${digest}`]: `localhost:30500/web/nginx@${digest}`,
      [`Docker.IO/library/nginx:1@${digest}`]: `localhost:30500/web/nginx:1@${digest}`,
      "registry.hub.docker.com/nginx": "localhost:30500/web/nginx",
      "nginx-unprivileged": `${hub}/library/nginx-unprivileged`,
      "index.docker.io/redis:7": `${hub}/library/redis:7`,
      "bitnami/redis:7": `${hub}/bitnami/redis:7`,
      "registry-1.docker.io/a/b/c": `${hub}/a/b/c`,
      "localhost:1": `${hub}/library/localhost:1`,
      "acme/app:1": "cache.example.com:8443/mirror/acme/app:1",
      "docker.io/acme/a/b": "cache.example.com:8443/mirror/acme/a/b",
      "ghcr.io/team/app": "acme.azurecr.io/app",
      "quay.io/x/y:1": `${hub}/x/y:1`,
    })) {
      expect(name(written), written).to.equal(wanted);
    }
  });

  it("leaves all other names as they are", () => {
    const name = applied(rendered(rules));
    for (const image of [
      "localhost/nginx",
      "localhost:5000/nginx",
      "ghcr.io/team",
      "ghcr.io.evil.com/team/app",
      "quay.io/x/y2",
      "private/app:1", // rewrite: Never
      "x/y:1", // its name in the cache is quay.io's x/y
      "Nginx/x",
      "!nginx",
      "",
      "http://nginx",
      'nginx"\n- op: remove',
      "localhost:30500/hub/library/nginx",
    ])
      expect(name(image), image).to.equal(image);
  });

  it("is one of Pods alone, at CREATE and for ephemeral containers that are new, outside the namespaces that all depends on", () => {
    const text = rendered(rules, "main");
    const { metadata, spec } = load(text) as Policy;
    expect(metadata.name).to.equal("entrepot-cached-names-main");
    expect(metadata.annotations).to.deep.equal({ "pod-policies.kyverno.io/autogen-controllers": "none" });
    expect(spec.rules.map(({ match }) => match.any[0]?.resources)).to.deep.equal([
      { kinds: ["Pod"], operations: ["CREATE"] },
      { kinds: ["Pod/ephemeralcontainers"], operations: ["UPDATE"] },
    ]);
    for (const { exclude } of spec.rules)
      expect(exclude.any[0]?.resources.namespaces).to.include.members(["kube-system", "kyverno", "cosign-system"]);
    expect(loops(text).map(({ list }) => list)).to.deep.equal(
      ["containers", "initContainers", "ephemeralContainers"].map((list) => `request.object.spec.${list}[] || \`[]\``),
    );
    expect(loops(text)[2]?.preconditions.all.map(({ operator }) => operator)).to.deep.equal(["AnyNotIn", "NotEquals"]);
    expect(new Set(loops(text).map(({ context }) => context[0]?.variable.jmesPath)).size).to.equal(1);
  });

  it("says what is in it, what is not Ready, and what is left out", () => {
    const twice = namedRule("docker.io/acme/*", "again/*", {
      name: "twice",
      creationTimestamp: "2026-02-01T00:00:00Z",
    });
    const text = rendered([...rules, twice, namedRule("a.example/b", "b", { name: "resting", suspend: true })]);
    expect(text).to.include(
      'CacheRule team: ghcr.io/team/* is acme.azurecr.io/*; not usable now: CacheRule "team" is not Ready: the reason',
    );
    expect(text).to.include("CacheRule private: docker.io/private/* is localhost:30500/private/*; rewrite: Never");
    expect(text).to.include('CacheRule twice: CacheRule "acme" has the same source and is older');
    expect(text).to.include("CacheRule resting: it is suspended");
    expect(rendered(rules.toReversed())).to.equal(rendered(rules));
  });

  const part = fc.constantFrom("a", "b", "library", "x-1", "c.d", "localhost");
  const path = fc.array(part, { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/"));
  const host = fc.constantFrom("docker.io", "ghcr.io", "registry.local:5000");
  const where = fc.constantFrom({ registry: "main", host: "localhost:30500" }, { registry: "other", host: "o.test/p" });
  const rewrite = fc.constantFrom<"Pods" | "Never">("Pods", "Pods", "Pods", "Never");
  const wild = fc
    .tuple(host, fc.option(path, { nil: "" }), path, where, rewrite)
    .map(([h, s, t, at, r]) => namedRule(s === "" ? `${h}/*` : `${h}/${s}/*`, `${t}/*`, { ...at, rewrite: r }));
  const exact = fc
    .tuple(host, path, path, where, rewrite)
    .map(([h, s, t, at, r]) => namedRule(`${h}/${s}`, t, { ...at, rewrite: r }));
  const spelling = fc.constantFrom(
    "",
    "",
    "docker.io/",
    "index.docker.io/",
    "DOCKER.io/",
    "ghcr.io/",
    "registry.local:5000/",
  );
  const suffix = fc.constantFrom("", ":v1", `@${digest}`, `:V-1.x@${digest}`);

  const rulesAndImages = fc.array(fc.oneof(wild, exact), { minLength: 1, maxLength: 5 }).chain((some) => {
    const declared = fc.constantFrom(...some.map(({ spec }) => spec.source));
    const beneath = fc.tuple(declared, path).map(([source, below]) => source.replace("*", below));
    const any = fc.tuple(spelling, path).map((parts) => parts.join(""));
    const image = fc.tuple(fc.oneof(any, beneath), suffix).map((parts) => parts.join(""));
    return fc.tuple(fc.constant(some), fc.array(image, { minLength: 1, maxLength: 5 }));
  });

  it("gives every image the name that rewriting gives it, whatever the rules", () => {
    let renamed = 0;
    fc.assert(
      fc.property(rulesAndImages, ([some, images]) => {
        const accepted = acceptable(some);
        const name = applied(rendered(accepted));
        for (const image of images) {
          const wanted = chosen(accepted, image);
          const got = name(image);
          if (wanted !== image && got !== image) renamed += 1;
          // Where the first name is another image's, rewriting may go on to a wider rule, and the policy leaves the image alone.
          if (got !== image) expect(got, image).to.equal(wanted);
          else if (wanted !== image) expect(wanted, image).to.not.equal(first(accepted, image));
        }
      }),
      { numRuns: 80 },
    );
    expect(renamed).to.be.above(10);
  });

  /** Each source once, and no target that the operator would refuse to another rule's. */
  function acceptable(some: readonly NamedRuleView[]): readonly NamedRuleView[] {
    const unique = some
      .filter(({ spec }, n) => some.findIndex((other) => other.spec.source === spec.source) === n)
      .map((rule, n) => ({ ...rule, metadata: { ...rule.metadata, name: `r${n}`, uid: `${n}` } }));
    return unique.filter(({ metadata, spec }) => {
      const rivals = unique.filter((other) => other.spec.registryRef.name === spec.registryRef.name);
      const claims = rivals.map((rule) => ({
        name: rule.metadata.name,
        target: parseMapping(rule.spec).target,
        synced: false,
      }));
      return acceptRules(claims).get(metadata.name)?.accepted;
    });
  }

  function first(some: readonly NamedRuleView[], image: string): string | undefined {
    return selectRules(some, [MAIN_REGISTRY, OTHER]).names.cachedAs(parseReference(image))[0]?.reference.asWritten;
  }
});
