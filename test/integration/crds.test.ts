import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { load } from "js-yaml";
import type { ConnectedKubeClient } from "../../adapters/kube/client.ts";
import type { KubeObject } from "../../adapters/kube/types.ts";
import {
  CACHE_REGISTRIES,
  CACHE_RULES,
  type CacheRuleObject,
  CLUSTER_IMAGE_POLICIES,
  type ClusterImagePolicyObject,
  CUSTOM_RESOURCES,
  TRUST_ROOTS,
} from "../../crds/index.ts";
import { GENERATED, generateModels } from "../../hack/generate.ts";
import { type ClusterHandle, sharedCluster } from "../support/cluster.ts";
import { INVALID_OBJECTS, INVALID_UPDATES, VALID_OBJECTS } from "../support/crd-cases.ts";
import type { Unnamed } from "../support/crd-objects.ts";
import { install } from "../support/install.ts";
import { adminClient } from "../support/kube.ts";

const CRDS = join(import.meta.dirname, "../../crds");
const RUN = `crds-${randomBytes(3).toString("hex")}`;

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

describe("The custom resource definitions in an API server", () => {
  let cluster: ClusterHandle;
  let client: ConnectedKubeClient;

  before(async function () {
    this.timeout(0);
    cluster = await sharedCluster();
    client = await adminClient(cluster);
    await install(cluster, "crds");
  });

  after(async () => {
    for (const resource of CUSTOM_RESOURCES) {
      const { items } = await client.list(resource);
      for (const { metadata } of items) if (metadata.name.startsWith(RUN)) await client.delete(resource, metadata.name);
    }
    await client.close();
  });

  /** What the API server says to each of these, by name: `accepted`, or why not. */
  async function answers(command: readonly string[], objects: readonly Named[]): Promise<ReadonlyMap<string, string>> {
    const input = JSON.stringify({ apiVersion: "v1", kind: "List", items: objects });
    const argv = [cluster.program("kubectl"), ...command, "--validate=false", "-f", "-"]; // the server is to judge
    const { stdout, stderr } = await cluster.run(argv, { input });
    const messages = stderr.split(/^(?=The \w+ "|Error from server|error: )/m);
    return new Map(
      objects.map(({ metadata: { name } }) => {
        const refusal = messages.filter((text) => text.includes(`"${name}"`)).join("");
        return [name, stdout.includes(`/${name} `) && refusal === "" ? "accepted" : refusal || stderr];
      }),
    );
  }

  const allAccepted = (said: ReadonlyMap<string, string>) =>
    expect([...said].filter(([, answer]) => answer !== "accepted")).to.deep.equal([]);

  type Named = Unnamed & { readonly metadata: { readonly name: string } };

  const named = (object: Unnamed, kind: string, index: number): Named => ({
    ...object,
    metadata: { name: `${RUN}-${kind}-${index}`, ...object.metadata },
  });

  describe("accept", () => {
    let said: ReadonlyMap<string, string>;
    const objects = VALID_OBJECTS.map(({ object }, index) => named(object, "valid", index));

    before(async function () {
      this.timeout(120_000);
      said = await answers(["create", "--dry-run=server"], objects);
    });

    for (const [index, { name }] of VALID_OBJECTS.entries()) {
      it(name, () => expect(said.get(objects[index]?.metadata.name ?? "")).to.equal("accepted"));
    }
  });

  describe("refuse", () => {
    let said: ReadonlyMap<string, string>;
    const objects = INVALID_OBJECTS.map(({ object }, index) => named(object, "invalid", index));

    before(async function () {
      this.timeout(120_000);
      said = await answers(["create", "--dry-run=server"], objects);
    });

    for (const [index, { name, says, alone = true }] of INVALID_OBJECTS.entries()) {
      it(`${name}: ${says}`, () => {
        const text = said.get(objects[index]?.metadata.name ?? "") ?? "";
        expect(text).to.include(says);
        if (alone) expect(text).to.not.match(/is invalid: \[|^\* /m);
      });
    }
  });

  describe("refuse the change of", () => {
    let said: ReadonlyMap<string, string>;
    const originals = INVALID_UPDATES.map(({ from }, index) => named(from, "update", index));
    const changed = INVALID_UPDATES.map(({ to }, index) => named(to, "update", index));

    before(async function () {
      this.timeout(120_000);
      const created = await answers(["create"], originals);
      allAccepted(created);
      const unchanged = await answers(["apply", "--server-side", "--force-conflicts", "--dry-run=server"], originals);
      allAccepted(unchanged);
      said = await answers(["replace", "--dry-run=server"], changed);
    });

    for (const [index, { name, says }] of INVALID_UPDATES.entries()) {
      it(`${name}: ${says}`, () => expect(said.get(changed[index]?.metadata.name ?? "")).to.include(says));
    }
  });

  describe("keep status apart", () => {
    const condition = (type: string, status: string, observedGeneration: number) => ({
      type,
      status,
      observedGeneration,
      reason: "Testing",
      message: "a sentence",
      lastTransitionTime: "2026-01-01T00:00:00Z",
    });

    for (const [index, object] of [
      {
        resource: CACHE_RULES,
        spec: { registryRef: { name: "x" }, source: "docker.io/library/nginx", target: "nginx" },
      },
      { resource: CACHE_REGISTRIES, spec: { inCluster: { pullHost: "localhost:30500", storage: { emptyDir: {} } } } },
      {
        resource: CLUSTER_IMAGE_POLICIES,
        spec: { images: [{ glob: "**" }], authorities: [{ static: { action: "pass" } }] },
      },
      { resource: TRUST_ROOTS, spec: { sigstoreKeys: {} } },
    ].entries()) {
      const { resource, spec } = object;
      it(`${resource.kind}: conditions by type, without a new generation`, async () => {
        const identity = {
          apiVersion: `${resource.group}/${resource.version}`,
          kind: resource.kind,
          metadata: { name: `${RUN}-status-${index}` },
        };
        const created = await client.create(resource, { ...identity, spec });
        const first = {
          ...identity,
          status: {
            observedGeneration: 1,
            conditions: [condition("Ready", "False", 1), condition("Other", "True", 1)],
          },
        };
        await client.applyStatus(resource, first);
        const second = {
          ...identity,
          status: { observedGeneration: 1, conditions: [condition("Other", "True", 1), condition("Ready", "True", 1)] },
        };
        await client.applyStatus(resource, second);
        const read = await client.get<KubeObject & Pick<typeof first, "status"> & { spec: unknown }>(
          resource,
          identity.metadata.name,
        );
        expect(read.status.conditions).to.have.deep.members(second.status.conditions);
        expect(read.spec).to.deep.equal(spec);
        expect(read.metadata.generation).to.equal((created as KubeObject).metadata.generation);
      });
    }

    it("and refuse a second condition of one type", async () => {
      const status = { conditions: [condition("Ready", "True", 1), condition("Ready", "False", 1)] };
      const patch = JSON.stringify({ status });
      const { stderr } = await cluster.run([
        cluster.program("kubectl"),
        ...["patch", "crule", `${RUN}-status-0`, "--subresource=status", "--type=merge", "-p", patch],
      ]);
      expect(stderr).to.include("Duplicate value");
    });
  });

  it("print what people ask for", async () => {
    const rule = `${RUN}-print`;
    const identity = { apiVersion: "entrepot.dev/v1alpha1", kind: "CacheRule", metadata: { name: rule } };
    const spec = { registryRef: { name: "in-cluster" }, source: "ghcr.io/acme/*", target: "acme/*" };
    await client.create(CACHE_RULES, { ...identity, spec });
    const ready = {
      type: "Ready",
      status: "True",
      reason: "ServingFromCache",
      message: "m",
      lastTransitionTime: "2026-01-01T00:00:00Z",
    };
    await client.applyStatus(CACHE_RULES, {
      ...identity,
      status: { pullPrefix: "localhost:30500/acme", conditions: [ready] },
    });
    const [header = "", row = ""] = (await cluster.kubectl(["get", "crule", rule])).split("\n");
    expect(header.split(/\s+/)).to.deep.equal(["NAME", "REGISTRY", "SOURCE", "READY", "REASON", "PULL", "AGE"]);
    expect(row.split(/\s{2,}/).slice(0, 6)).to.deep.equal([
      rule,
      "in-cluster",
      "ghcr.io/acme/*",
      "True",
      "ServingFromCache",
      "localhost:30500/acme",
    ]);
  });

  it("let rules be selected by their registry", async () => {
    const found = await client.list<CacheRuleObject>(CACHE_RULES, {
      fieldSelector: "spec.registryRef.name=in-cluster",
    });
    expect(found.items.map(({ metadata }) => metadata.name)).to.include(`${RUN}-print`);
    const none = await client.list(CACHE_RULES, { fieldSelector: "spec.registryRef.name=no-such-registry" });
    expect(none.items).to.deep.equal([]);
  });

  it("give a policy written in one version back in the other, with every field", async () => {
    const name = `${RUN}-versions`;
    const spec = {
      images: [{ glob: "**" }],
      authorities: [
        {
          name: "a",
          keyless: { identities: [{ issuer: "i", subject: "s" }] },
          ctlog: { trustRootRef: "t" },
          rfc3161timestamp: {},
        },
      ],
    };
    const beta = { ...CLUSTER_IMAGE_POLICIES, version: "v1beta1" };
    await client.create(beta, {
      apiVersion: "policy.sigstore.dev/v1beta1",
      kind: "ClusterImagePolicy",
      metadata: { name },
      spec,
    });
    const alpha = await client.get<ClusterImagePolicyObject>(CLUSTER_IMAGE_POLICIES, name);
    expect(alpha.apiVersion).to.equal("policy.sigstore.dev/v1alpha1");
    expect(alpha.spec).to.deep.equal(spec);
  });

  it("prune null from a policy: it means an absent field", async () => {
    const name = `${RUN}-null`;
    const policy = {
      apiVersion: "policy.sigstore.dev/v1beta1",
      kind: "ClusterImagePolicy",
      metadata: { name },
      spec: {
        images: [{ glob: "**" }],
        mode: null,
        match: null,
        authorities: [{ static: { action: "pass", message: null }, key: null, keyless: null, source: null }],
      },
    };
    allAccepted(await answers(["create"], [policy]));
    const { spec } = await client.get<ClusterImagePolicyObject>(CLUSTER_IMAGE_POLICIES, name);
    expect(spec).to.deep.equal({ images: [{ glob: "**" }], authorities: [{ static: { action: "pass" } }] });
  });
});
