import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { load } from "js-yaml";
import { GENERATED, generateModels } from "../../hack/generate.ts";
import { INVALID_OBJECTS, INVALID_UPDATES } from "../support/crd-cases.ts";

const CRDS = join(import.meta.dirname, "../../crds");

type Schema = Readonly<Record<string, unknown>> & {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
};

interface Definition {
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly versions: readonly { readonly name: string; readonly schema: { readonly openAPIV3Schema: Schema } }[];
  };
}

const definitions = readdirSync(CRDS)
  .filter((name) => name.endsWith(".yaml") && name !== "kustomization.yaml")
  .map((name) => load(readFileSync(join(CRDS, name), "utf8")) as Definition);

/** Every part of a schema with its path. */
function* parts(schema: Schema, path: string): Generator<[string, Schema]> {
  yield [path, schema];
  for (const [name, part] of Object.entries(schema.properties ?? {})) yield* parts(part, `${path}.${name}`);
  if (schema.items !== undefined) yield* parts(schema.items, `${path}[]`);
}

const allParts = definitions.flatMap(({ metadata, spec }) =>
  spec.versions.flatMap(({ name, schema }) => [...parts(schema.openAPIV3Schema, `${metadata.name}/${name}`)]),
);

describe("The custom resource definitions", () => {
  it("describe every field, for kubectl explain", () => {
    const bare = allParts.filter(([path, schema]) => !path.endsWith("[]") && !schema["description"]);
    expect(bare.map(([path]) => path)).to.deep.equal([]);
  });

  it("default nothing, for GitOps tools would report it as drift", () => {
    expect(allParts.filter(([, schema]) => "default" in schema).map(([path]) => path)).to.deep.equal([]);
  });

  it("leave all validation of policies to the webhook, whose words are the API", () => {
    const keywords = [
      "enum",
      "pattern",
      "required",
      "minItems",
      "maxItems",
      "minLength",
      "maxLength",
      "x-kubernetes-validations",
    ];
    const strict = allParts.filter(
      ([path, schema]) => /policy\.sigstore\.dev.*\.spec/.test(path) && keywords.some((keyword) => keyword in schema),
    );
    expect(strict.map(([path]) => path)).to.deep.equal([]);
  });

  it("have one schema for both versions of ClusterImagePolicy, so that conversion loses nothing", () => {
    const policy = definitions.find(({ metadata }) => metadata.name === "clusterimagepolicies.policy.sigstore.dev");
    const [alpha, beta, ...others] = policy?.spec.versions ?? [];
    expect(alpha?.schema).to.deep.equal(beta?.schema);
    expect(others).to.deep.equal([]);
  });

  it("are what the models were generated from (make generate)", async function () {
    this.timeout(120_000);
    const generated = await generateModels();
    const committed = readdirSync(GENERATED, { recursive: true, withFileTypes: true }).filter((entry) =>
      entry.isFile(),
    );
    expect(committed.length).to.equal(generated.size);
    for (const [path, text] of generated) expect(readFileSync(join(GENERATED, path), "utf8"), path).to.equal(text);
  });

  it("have a negative control for each of their rules, below", () => {
    const rules = allParts.flatMap(([, schema]) => (schema["x-kubernetes-validations"] ?? []) as { message: string }[]);
    const controls = [...INVALID_OBJECTS, ...INVALID_UPDATES].map(({ says }) => says);
    const untested = new Set(rules.map(({ message }) => message).filter((message) => !controls.includes(message)));
    expect([...untested]).to.deep.equal([]);
  });
});
