// One policy in two API versions: whatever is written in one is read in the other (policy-controller's conversion lost logs).
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { load } from "js-yaml";
import type { ConnectedKubeClient } from "../../adapters/kube/client.ts";
import type { KubeObject } from "../../adapters/kube/types.ts";
import { CLUSTER_IMAGE_POLICIES, type ClusterImagePolicySpec } from "../../crds/index.ts";
import { sharedCluster } from "../support/cluster.ts";
import { install } from "../support/install.ts";
import { adminClient } from "../support/kube.ts";

const CRDS = join(import.meta.dirname, "../../crds");
const RUN = `versions-${randomBytes(3).toString("hex")}`;
const ALPHA = { ...CLUSTER_IMAGE_POLICIES, version: "v1alpha1" };
const BETA = { ...CLUSTER_IMAGE_POLICIES, version: "v1beta1" };

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
}

const evaluated = (more: object) => ({
  type: "cue",
  data: "a: 1",
  configMapRef: { name: "m", key: "k", namespace: "n" },
  remote: { url: "https://x", sha256sum: "0" },
  fetchConfigFile: true,
  includeSpec: false,
  includeObjectMeta: true,
  includeTypeMeta: false,
  ...more,
});
const key = { data: "d", kms: "k", secretRef: { name: "s", namespace: "n" }, hashAlgorithm: "sha512" };

/** Every field there is; what it means is no matter. */
const WHOLE: ClusterImagePolicySpec = {
  images: [{ glob: "**" }],
  match: [
    {
      group: "apps",
      version: "v1",
      resource: "deployments",
      selector: { matchLabels: { a: "b" }, matchExpressions: [{ key: "a", operator: "In", values: ["b"] }] },
    },
  ],
  authorities: [
    {
      name: "a",
      key,
      keyless: {
        url: "https://x",
        "ca-cert": key,
        identities: [{ issuer: "i", issuerRegExp: "i", subject: "s", subjectRegExp: "s" }],
        trustRootRef: "t",
        insecureIgnoreSCT: false,
      },
      static: { action: "fail", message: "m" },
      source: [{ oci: "o", signaturePullSecrets: [{ name: "p" }], tagPrefix: "t" }],
      ctlog: { url: "https://x", trustRootRef: "t" },
      rfc3161timestamp: { trustRootRef: "t" },
      attestations: [{ name: "n", predicateType: "t", policy: evaluated({ type: "rego" }) }],
      signatureFormat: "bundle",
    },
  ],
  policy: evaluated({}),
  mode: "warn",
};

/** What conversion by hand has lost before. */
const SPARSE: ClusterImagePolicySpec = {
  images: [{ glob: "**" }],
  authorities: [
    { key: { kms: "k" }, ctlog: { trustRootRef: "t" } },
    { key: { kms: "k" }, ctlog: {} },
    { key: { kms: "k" }, rfc3161timestamp: {} },
    { key: { kms: "k" }, ctlog: { trustRootRef: "t" }, rfc3161timestamp: { trustRootRef: "t" } },
    { keyless: { identities: [] } },
  ],
};

function* paths(schema: Schema, path: string): Generator<string> {
  yield path;
  for (const [name, part] of Object.entries(schema.properties ?? {})) yield* paths(part, `${path}.${name}`);
  if (schema.items !== undefined) yield* paths(schema.items, path);
}

function* used(value: unknown, path: string): Generator<string> {
  yield path;
  if (Array.isArray(value)) for (const item of value) yield* used(item, path);
  else if (typeof value === "object" && value !== null)
    for (const [name, item] of Object.entries(value)) yield* used(item, `${path}.${name}`);
}

describe("the two versions of ClusterImagePolicy", () => {
  let client: ConnectedKubeClient;
  before(async function () {
    this.timeout(0);
    const cluster = await sharedCluster();
    client = await adminClient(cluster);
    await install(cluster, "crds");
  });
  after(async () => {
    const { items } = await client.list(ALPHA);
    for (const { metadata } of items) if (metadata.name.startsWith(RUN)) await client.delete(ALPHA, metadata.name);
    await client.close();
  });

  it("are tried with every field of the schema", () => {
    const { spec } = load(readFileSync(join(CRDS, "clusterimagepolicy.yaml"), "utf8")) as {
      spec: { versions: { schema: { openAPIV3Schema: Schema } }[] };
    };
    const tried = new Set(used(WHOLE, "spec"));
    for (const { schema } of spec.versions) {
      const all = [...paths(schema.openAPIV3Schema.properties?.["spec"] ?? {}, "spec")];
      expect(all.length).to.be.greaterThan(60);
      expect(all.filter((path) => !tried.has(path))).to.deep.equal([]);
    }
  });

  for (const [name, spec] of [
    ["every field", WHOLE],
    ["a log or timestamps by trust root alone", SPARSE],
  ] as const) {
    for (const [from, to] of [
      [BETA, ALPHA],
      [ALPHA, BETA],
    ] as const) {
      it(`keep ${name} from ${from.version} to ${to.version} and back`, async () => {
        const object = (version: string, metadata: KubeObject["metadata"]) => ({
          apiVersion: `policy.sigstore.dev/${version}`,
          kind: "ClusterImagePolicy",
          metadata,
          spec,
        });
        const id = `${RUN}-${from.version}-${spec === WHOLE ? "whole" : "sparse"}`;
        await client.create(from, object(from.version, { name: id }));
        const there = await client.get<ReturnType<typeof object>>(to, id);
        expect(there.apiVersion).to.equal(`policy.sigstore.dev/${to.version}`);
        expect(there.spec).to.deep.equal(spec);
        // Written back as it was read, as GitOps tools and editors do.
        await client.replace(to, object(to.version, there.metadata));
        const back = await client.get<ReturnType<typeof object>>(from, id);
        expect(back.spec).to.deep.equal(spec);
        expect(back.metadata.generation).to.equal(there.metadata.generation);
      });
    }
  }
});
