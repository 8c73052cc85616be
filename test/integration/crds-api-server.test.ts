import { randomBytes } from "node:crypto";
import { expect } from "chai";
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
import { type ClusterHandle, sharedCluster } from "../support/cluster.ts";
import { INVALID_OBJECTS, INVALID_UPDATES, VALID_OBJECTS } from "../support/crd-cases.ts";
import type { Unnamed } from "../support/crd-objects.ts";
import { type CrdState, install, isEstablished } from "../support/install.ts";
import { adminClient } from "../support/kube.ts";

const RUN = `crds-${randomBytes(3).toString("hex")}`;

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

  it("are told from one that nobody serves yet, which has null for its conditions", async () => {
    const definition = async (argv: readonly string[], input?: string) =>
      JSON.parse(await cluster.kubectl([...argv, "-o", "json"], input)) as CrdState & { spec: object };
    const served = await definition(["get", "crd", "cacherules.entrepot.dev"]);
    expect(isEstablished(served)).to.equal(true);
    const names = { plural: "unserved", kind: "Unserved" };
    const unserved = {
      apiVersion: "apiextensions.k8s.io/v1",
      kind: "CustomResourceDefinition",
      metadata: { name: "unserved.entrepot.dev" },
      spec: { ...served.spec, names },
    };
    const fresh = await definition(["create", "--dry-run=server", "-f", "-"], JSON.stringify(unserved));
    expect(fresh.status?.conditions).to.equal(null);
    expect(isEstablished(fresh)).to.equal(false);
  });
});
