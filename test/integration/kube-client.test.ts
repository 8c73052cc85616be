import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { inClusterAccess, type KubeAccess, loadAccess } from "../../adapters/kube/access.ts";
import { type ConnectedKubeClient, connect } from "../../adapters/kube/client.ts";
import { KubeError } from "../../adapters/kube/errors.ts";
import { apiVersionOf, keyOf, Resources } from "../../adapters/kube/resources.ts";
import type { KubeObject, Resource } from "../../adapters/kube/types.ts";
import { type ClusterHandle, sharedCluster } from "../support/cluster.ts";
import { adminClient, eventually, freshNamespace, rejectsWith } from "../support/kube.ts";

interface ConfigMap extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

describe("The Kubernetes client", () => {
  let cluster: ClusterHandle;
  let client: ConnectedKubeClient;
  let namespace: string;

  before(async function () {
    this.timeout(0);
    cluster = await sharedCluster();
    client = await adminClient(cluster);
    namespace = await freshNamespace(client, "kube-client");
  });
  after(() => client?.close());

  const configMap = (name: string, data: Record<string, string> = {}): ConfigMap => ({
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name, namespace },
    data,
  });

  it("creates, reads, replaces, patches and deletes", async () => {
    const created = await client.create(Resources.configMaps, configMap("crud", { a: "1" }));
    expect(created.metadata.uid).to.be.a("string");
    await rejectsWith("ALREADY_EXISTS", client.create(Resources.configMaps, configMap("crud")));

    const read = await client.get<ConfigMap>(Resources.configMaps, "crud", { namespace });
    expect(read).to.deep.include({ apiVersion: "v1", kind: "ConfigMap", data: { a: "1" } });

    const replaced = await client.replace(Resources.configMaps, { ...read, data: { a: "2" } });
    expect(replaced.data).to.eql({ a: "2" });
    await rejectsWith("CONFLICT", client.replace(Resources.configMaps, { ...read, data: { a: "3" } }));

    const patched = await client.mergePatch<ConfigMap>(
      Resources.configMaps,
      "crud",
      { data: { a: null, b: "1" } },
      { namespace },
    );
    expect(patched.data).to.eql({ b: "1" });

    await rejectsWith(
      "CONFLICT",
      client.delete(Resources.configMaps, "crud", { namespace, uid: "00000000-0000-0000-0000-000000000000" }),
    );
    await client.delete(Resources.configMaps, "crud", {
      namespace,
      ...(created.metadata.uid === undefined ? {} : { uid: created.metadata.uid }),
    });
    await rejectsWith("NOT_FOUND", client.get(Resources.configMaps, "crud", { namespace }));
    await client.delete(Resources.configMaps, "crud", { namespace });
  });

  it("applies as the field manager entrepot, taking fields over and dropping what it no longer says", async () => {
    await cluster.kubectl([
      "-n",
      namespace,
      "create",
      "configmap",
      "applied",
      "--from-literal=ours=theirs",
      "--from-literal=else=kept",
    ]);
    const first = await client.apply(Resources.configMaps, configMap("applied", { ours: "1", temporary: "1" }));
    expect(first.data).to.eql({ ours: "1", temporary: "1", else: "kept" });
    // What was read may be applied again as it is, managedFields and all.
    const { resourceVersion: _, ...metadata } = first.metadata;
    const second = await client.apply(Resources.configMaps, { ...first, metadata, data: { ours: "2" } });
    expect(second.data).to.eql({ ours: "2", else: "kept" });
    const managers = await cluster.kubectl([
      "-n",
      namespace,
      "get",
      "configmap",
      "applied",
      "--show-managed-fields",
      "-o",
      "jsonpath={.metadata.managedFields[*].manager}",
    ]);
    expect(managers.split(" ")).to.include("entrepot");
  });

  it("applies a status without touching the spec", async () => {
    const pod = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "status", namespace },
      spec: { containers: [{ name: "a", image: "example.com/a" }], automountServiceAccountToken: false },
    };
    await eventually("the default service account", () =>
      client.get(Resources.serviceAccounts, "default", { namespace }).then(
        () => true,
        () => false,
      ),
    );
    await client.create(Resources.pods, pod);
    const status = {
      conditions: [{ type: "example.com/Seen", status: "True", lastTransitionTime: "2030-01-01T00:00:00Z" }],
    };
    const { spec: __, ...bare } = pod;
    const applied = await client.applyStatus<KubeObject & { status?: typeof status }>(Resources.pods, {
      ...bare,
      status,
    });
    expect(applied.status?.conditions[0]).to.deep.include(status.conditions[0]);
  });

  it("reads metadata alone, as the kind it is", async () => {
    await client.create(Resources.configMaps, {
      ...configMap("big", { big: "x".repeat(100_000) }),
      metadata: { name: "big", namespace, annotations: { note: "here" } },
    });
    const small = connect(await loadAccess({ KUBECONFIG: cluster.kubeconfig }), { maxObjectBytes: 5_000 });
    const { apiVersion, kind, metadata, ...rest } = await small.getMetadata(Resources.configMaps, "big", { namespace });
    expect({ apiVersion, kind, rest }).to.eql({ apiVersion: "v1", kind: "ConfigMap", rest: {} });
    expect(metadata.annotations).to.deep.include({ note: "here" });
    // The bound that shows that only metadata travelled.
    await rejectsWith("TOO_LARGE", small.get(Resources.configMaps, "big", { namespace }));
    await small.close();
  });

  it("lists in pages, asks again in smaller ones when a page is too large, and gives each item its kind", async () => {
    const names = Array.from({ length: 23 }, (_, index) => `page-${String(index).padStart(2, "0")}`);
    await Promise.all(
      names.map((name) =>
        client.create(Resources.configMaps, {
          ...configMap(name, { x: "x".repeat(2000) }),
          metadata: { name, namespace, labels: { test: "pages" } },
        }),
      ),
    );
    const access = await loadAccess({ KUBECONFIG: cluster.kubeconfig });
    for (const limits of [{ pageSize: 5 }, { pageSize: 500, maxPageBytes: 15_000 }]) {
      const paged = connect(access, limits);
      const list = await paged.list<ConfigMap>(Resources.configMaps, { namespace, labelSelector: "test=pages" });
      expect(list.items.map(({ metadata }) => metadata.name)).to.eql(names);
      expect(new Set(list.items.map(({ apiVersion, kind }) => `${apiVersion} ${kind}`))).to.eql(
        new Set(["v1 ConfigMap"]),
      );
      expect(Number(list.resourceVersion)).to.be.greaterThan(0);
      await paged.close();
    }
    const bounded = connect(access, { maxListBytes: 20_000, pageSize: 5 });
    await rejectsWith("TOO_LARGE", bounded.list(Resources.configMaps, { namespace, labelSelector: "test=pages" }));
    await bounded.close();
  });

  it("says what the server says, shortly, and nothing else", async () => {
    const invalid = await rejectsWith("INVALID", client.create(Resources.configMaps, configMap("Bad_Name")));
    expect(invalid.message).to.match(
      /^create ConfigMap "Bad_Name" in namespace "kube-client-[0-9a-f]+": ConfigMap "Bad_Name" is invalid: /,
    );
    expect(invalid.terminal).to.equal(true);
    expect(invalid.message.length).to.be.lessThan(800);
  });

  // Names come from ownerReferences that anyone may write.
  for (const name of ["..", ".", "../../secrets/s", "a/b", "a%2fb", ""]) {
    it(`refuses the name ${JSON.stringify(name)} before any request`, async () => {
      await rejectsWith("INVALID", client.get(Resources.configMaps, name, { namespace }));
      await rejectsWith("INVALID", client.get(Resources.configMaps, "a", { namespace: name }));
    });
  }

  it("keeps a name with a question mark in its place", async () => {
    const error = await rejectsWith("NOT_FOUND", client.get(Resources.configMaps, "a?watch=1#", { namespace }));
    expect(error.message).to.contain("a?watch=1#");
  });

  it("knows the built-in resources as the server serves them", async () => {
    const groups = new Map<string, Set<string>>();
    for (const resource of Object.values(Resources)) {
      const apiVersion = apiVersionOf(resource);
      if (!groups.has(apiVersion)) groups.set(apiVersion, await served(apiVersion));
      expect(groups.get(apiVersion), apiVersion).to.include(
        `${resource.plural} ${resource.kind} ${resource.namespaced}`,
      );
    }
  });

  async function served(apiVersion: string): Promise<Set<string>> {
    const path = apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
    const { resources }: { resources: readonly (Resource & { name: string })[] } = JSON.parse(
      await cluster.kubectl(["get", "--raw", path]),
    );
    return new Set(resources.map(({ name, kind, namespaced }) => `${name} ${kind} ${namespaced}`));
  }

  it("watches from a list on, and tells when it stands", async () => {
    const { resourceVersion } = await client.list(Resources.configMaps, { namespace });
    const stop = new AbortController();
    const seen: string[] = [];
    const watching = (async () => {
      for await (const event of client.watch<ConfigMap>(Resources.configMaps, {
        namespace,
        resourceVersion,
        signal: stop.signal,
      })) {
        seen.push(event.type === "BOOKMARK" ? "BOOKMARK" : `${event.type} ${keyOf(event.object)} ${event.object.kind}`);
      }
    })();
    await client.create(Resources.configMaps, configMap("watched"));
    await client.mergePatch(Resources.configMaps, "watched", { data: { a: "b" } }, { namespace });
    await client.delete(Resources.configMaps, "watched", { namespace });
    await eventually("the deletion", () => seen.some((event) => event.startsWith("DELETED")));
    expect(seen.filter((event) => !event.includes("kube-root-ca.crt"))).to.eql([
      "BOOKMARK",
      ...["ADDED", "MODIFIED", "DELETED"].map((type) => `${type} ${namespace}/watched ConfigMap`),
    ]);
    stop.abort();
    await rejectsWith("TIMEOUT", watching);
  });

  it("gives a call up with its caller, and after its deadline", async () => {
    await rejectsWith("TIMEOUT", client.get(Resources.namespaces, namespace, { signal: AbortSignal.abort() }));
    const hasty = connect(await loadAccess({ KUBECONFIG: cluster.kubeconfig }), { deadlineMs: 1 });
    const error = await rejectsWith("TIMEOUT", hasty.list(Resources.pods));
    expect(error.message).to.contain("within 1 ms");
    await hasty.close();
  });

  describe("with a service account's token file", () => {
    let directory: string;
    let rotating: ConnectedKubeClient;

    before(async () => {
      directory = await mkdtemp(join(tmpdir(), "entrepot-token-"));
      const config: KubeAccess = await loadAccess({ KUBECONFIG: cluster.kubeconfig });
      const options: { ca?: unknown } = {};
      await config.applyToHTTPSOptions(options);
      if (!Buffer.isBuffer(options.ca)) throw new Error("the test kubeconfig has no CA");
      await writeFile(join(directory, "ca.crt"), options.ca);
      const { hostname, port } = new URL(cluster.server);
      rotating = connect(inClusterAccess(hostname, port, directory));
    });
    after(async () => {
      await rotating.close();
      await rm(directory, { recursive: true });
    });

    const token = async (account: string) =>
      (await cluster.kubectl(["-n", namespace, "create", "token", account])).trim();
    const whoAmI = async () => {
      const review = { apiVersion: "authentication.k8s.io/v1", kind: "SelfSubjectReview", metadata: { name: "x" } };
      const resource = {
        group: "authentication.k8s.io",
        version: "v1",
        plural: "selfsubjectreviews",
        kind: "SelfSubjectReview",
        namespaced: false,
      };
      // The answer has no name, so it does not pass as an object: its refusal shows that the server knew us.
      return await rotating.create(resource, review).then(
        () => "someone",
        (thrown: unknown) => (thrown instanceof KubeError ? thrown.code : "?"),
      );
    };

    it("picks a rotated token up at once when the old one is refused", async function () {
      this.timeout(120_000); // the API server believes a token that it has seen for ten seconds more
      await cluster.kubectl(["-n", namespace, "create", "serviceaccount", "rotated"]);
      await writeFile(join(directory, "token"), `${await token("rotated")}\n`);
      expect(await whoAmI()).to.equal("MALFORMED");

      // The account is made anew: tokens of its former self are refused from now on.
      await cluster.kubectl(["-n", namespace, "delete", "serviceaccount", "rotated"]);
      await cluster.kubectl(["-n", namespace, "create", "serviceaccount", "rotated"]);
      await eventually("the old token's refusal", async () => (await whoAmI()) === "UNAUTHORIZED");

      await writeFile(join(directory, "token"), await token("rotated"));
      expect(await whoAmI()).to.equal("MALFORMED");
    });

    it("has no rights but those of its account", async () => {
      await rejectsWith("FORBIDDEN", rotating.list(Resources.secrets, { namespace }));
    });
  });
});
