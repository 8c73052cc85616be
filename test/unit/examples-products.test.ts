// Every CacheRule of examples/ and of docs/providers/ is one that its registry's product takes, by the product's own judgement.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { loadAll } from "js-yaml";
import type { RuleMapping } from "../../core/cacherule/mapping.ts";
import { normaliseHost } from "../../core/image/reference.ts";
import { judgeArtifactRegistry } from "../../core/product/artifactregistry.ts";
import { judgeAzureRule } from "../../core/product/azure.ts";
import { judgeEcr } from "../../core/product/ecr-judge.ts";
import { judgeHarborRule } from "../../core/product/harbor.ts";
import { distributionShape, distributionUpstream } from "../../core/product/owndistribution.ts";
import { zotRefusal } from "../../core/product/zot.ts";
import { type CacheRegistryObject, type CacheRuleObject, PROVIDERS, type Provider } from "../../crds/index.ts";
import { planRules } from "../../operator/cacherule/acceptance.ts";
import type { Refusal } from "../../operator/providers/provider.ts";

const ROOT = join(import.meta.dirname, "../..");

interface Manifest {
  readonly kind?: string;
  readonly metadata?: { readonly name?: string };
  readonly spec?: object;
}

interface Request {
  readonly rule: CacheRuleObject;
  readonly registry: CacheRegistryObject;
  readonly mapping: RuleMapping;
  readonly host: string;
}

const refusal = (reason: Refusal["reason"], message: string | undefined): Refusal | undefined =>
  message === undefined ? undefined : { reason, message };
const entryOf = ({ registry, host }: Request) =>
  registry.spec.upstreams?.find((one) => normaliseHost(one.host) === host);

const JUDGES: Readonly<Record<Provider, (request: Request) => Refusal | undefined>> = {
  inCluster: () => undefined, // serves every shape
  azure: judgeAzureRule,
  ecr: judgeEcr,
  artifactRegistry: ({ rule, mapping }) => judgeArtifactRegistry(rule, mapping),
  harbor: ({ rule, mapping }) => judgeHarborRule(mapping, rule.spec),
  zot: (request) => refusal("UnsupportedUpstream", zotRefusal(request.host, entryOf(request))),
  distribution: (request) =>
    refusal("UnsupportedShape", distributionShape(request.mapping)) ??
    refusal("UnsupportedUpstream", distributionUpstream(request.host, entryOf(request))),
};
const LIMITS: Partial<Readonly<Record<Provider, number>>> = { distribution: 1, ecr: 50, azure: 1000 };

const providerOf = ({ spec }: CacheRegistryObject) => PROVIDERS.find((name) => spec[name] !== undefined);

/** The refusals among some rules, in words. */
function refusals(objects: readonly Manifest[]): readonly string[] {
  const registries = objects.filter(({ kind }) => kind === "CacheRegistry") as CacheRegistryObject[];
  const rules = objects.filter(({ kind }) => kind === "CacheRule") as CacheRuleObject[];
  const known = new Set(registries.map(({ metadata }) => metadata.name));
  const homeless = rules.filter(({ spec }) => !known.has(spec.registryRef.name));
  return [
    ...homeless.map(({ metadata }) => `${metadata.name}: its registry is nowhere`),
    ...registries.flatMap((registry) => {
      const provider = providerOf(registry);
      if (provider === undefined) return [`${registry.metadata.name} has no provider`];
      const limit = LIMITS[provider];
      const { verdicts } = planRules(registry.metadata.name, rules, {
        ...(limit !== undefined && { limit }),
        judge: (rule, mapping) => JUDGES[provider]({ rule, registry, mapping, host: mapping.source.host }),
      });
      return [...verdicts].flatMap(([name, verdict]) =>
        verdict.accepted ? [] : [`${name}: ${verdict.reason}: ${verdict.message}`],
      );
    }),
  ];
}

const yaml = (text: string): readonly Manifest[] =>
  (loadAll(text) as (Manifest | undefined)[]).filter((object) => object !== undefined && object !== null);

const EXAMPLES = readdirSync(join(ROOT, "examples"))
  .filter((name) => name.endsWith(".yaml"))
  .flatMap((name) => yaml(readFileSync(join(ROOT, "examples", name), "utf8")));

describe("the examples of registries", () => {
  it("are there for every product", () => {
    const registries = EXAMPLES.filter(({ kind }) => kind === "CacheRegistry") as CacheRegistryObject[];
    expect(new Set(registries.map(providerOf))).to.deep.equal(new Set(PROVIDERS));
    for (const registry of registries) {
      const rules = (EXAMPLES as CacheRuleObject[]).filter(
        ({ kind, spec }) => kind === "CacheRule" && spec.registryRef.name === registry.metadata.name,
      );
      expect(rules, registry.metadata.name).to.not.deep.equal([]);
    }
  });

  it("have rules that their products take, all together", () => expect(refusals(EXAMPLES)).to.deep.equal([]));

  it("have a name of their own each, so that all can be applied to one cluster", () => {
    const names = EXAMPLES.filter(({ kind }) => kind === "CacheRegistry" || kind === "CacheRule").map(
      ({ kind, metadata }) => `${kind} ${metadata?.name}`,
    );
    expect(names.filter((name, index) => names.indexOf(name) !== index)).to.deep.equal([]);
  });

  const pages = readdirSync(join(ROOT, "docs/providers")).flatMap((page) => {
    const text = readFileSync(join(ROOT, "docs/providers", page), "utf8");
    const blocks = [...text.matchAll(/^```yaml\n(apiVersion: entrepot[^`]*)```$/gm)];
    return blocks.map(([, block = ""]) => ({ page, objects: yaml(block) }));
  });

  it("are in the pages about the products too", () =>
    expect(pages.filter(({ objects }) => objects.length > 1)).to.have.length.at.least(4));

  for (const { page, objects } of pages)
    it(`docs/providers/${page}: what it shows is taken by its product`, () =>
      expect(refusals(objects)).to.deep.equal([]));
});

describe("the judgement of examples", () => {
  const meta = (name: string) => ({ name, creationTimestamp: "2026-01-01T00:00:00Z" });
  const bad = (provider: Provider, block: object, source: string, target: string) =>
    refusals([
      { kind: "CacheRegistry", metadata: meta("r"), spec: { [provider]: block } },
      { kind: "CacheRule", metadata: meta("a"), spec: { registryRef: { name: "r" }, source, target } },
    ] as Manifest[]);

  it("finds a rule that its product does not take", () => {
    expect(bad("azure", {}, "docker.io/library/nginx", "nginx")[0]).to.include("a: UnsupportedUpstream: Azure");
    const ecr = { region: "eu-central-1", accountId: "111122223333" };
    expect(bad("ecr", ecr, "quay.io/a/b", "b")[0]).to.include("a: UnsupportedShape");
    expect(bad("ecr", ecr, "example.com/*", "b/*")[0]).to.include("a: UnsupportedUpstream");
    expect(bad("artifactRegistry", {}, "quay.io/a/b", "b")[0]).to.include("a: UnsupportedShape");
    expect(bad("harbor", {}, "quay.io/a/b", "b")[0]).to.include("a: UnsupportedShape");
    expect(bad("distribution", {}, "quay.io/a/b", "b")[0]).to.include("a: UnsupportedShape");
  });

  it("finds a rule of no registry, and a conflict", () => {
    const rule = (name: string) => ({
      kind: "CacheRule",
      metadata: meta(name),
      spec: { registryRef: { name: "r" }, source: "quay.io/a", target: "a" },
    });
    expect(refusals([rule("a")])).to.deep.equal(["a: its registry is nowhere"]);
    const registry: object = { kind: "CacheRegistry", metadata: meta("r"), spec: { zot: {} } };
    expect(refusals([registry, rule("a"), rule("b")])[0]).to.include("b: Conflict");
  });
});
