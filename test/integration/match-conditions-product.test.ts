// The product with its webhook switched off: what goes on without it, what does not, and that policies which read objects are asked.
import { expect } from "chai";
import { canonicalJson } from "../../core/json.ts";
import { ADMISSION_NAME, UPDATES_NAME } from "../../core/webhookconfig/desired.ts";
import { type MatchCondition, matchConditions } from "../../core/webhookconfig/match.ts";
import { READS_NOTHING } from "../../core/webhookconfig/reads.ts";
import { LocalProduct } from "../../hack/local/product.ts";
import { type ClusterHandle, requireNoOperator, sharedCluster } from "../support/cluster.ts";
import { eventually } from "../support/kube.ts";
import { applyNamespace } from "../support/namespaces.ts";

const NS = "match-conditions-product";
const APP = "ghcr.io/match/app:v1";
const UNCALLED = 'failed calling webhook "policy.sigstore.dev"';
const HOLD = "test.entrepot.dev/hold";
const METADATA = { spec: false, metadata: "all" } as const;

const condition = { name: "never", expression: "false" };
/** Patches that let nothing through to a webhook any more. */
const NEVER: Readonly<Record<string, string>> = {
  [UPDATES_NAME]: JSON.stringify([{ op: "add", path: "/webhooks/0/matchConditions/-", value: condition }]),
  [ADMISSION_NAME]: JSON.stringify([{ op: "add", path: "/webhooks/0/matchConditions", value: [condition] }]),
};

describe("workloads while no webhook answers", function () {
  this.timeout(120_000);
  let cluster: ClusterHandle;
  let product: LocalProduct;

  before(async function () {
    this.timeout(0);
    cluster = await sharedCluster();
    requireNoOperator(this, cluster);
    product = await LocalProduct.start(cluster);
    await applyNamespace(cluster, NS, { "policy.sigstore.dev/include": "true" });
    await policy("match-passing", {});
    await cluster.kubectl(["wait", "--for=condition=Ready", "cip/match-passing", "--timeout=90s"]);
    const labels = { app: "app", tier: "gold" };
    const spec = { terminationGracePeriodSeconds: 0, containers: [{ name: "app", image: APP }] };
    const metadata = { namespace: NS, labels, finalizers: [HOLD] };
    const template = { metadata: { labels }, spec };
    await apply({
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { ...metadata, name: "app" },
      spec: { replicas: 1, selector: { matchLabels: labels }, template },
    });
    for (const name of ["pod", "leaving"])
      await apply({ apiVersion: "v1", kind: "Pod", metadata: { ...metadata, name }, spec });
    await eventually(
      "its Pod",
      async () => (await kubectl("get", "pods", "-l", "pod-template-hash", "-o", "name")) !== "",
    );
  });

  after(async () => {
    await product?.remove();
    if (cluster === undefined) return;
    await cluster.kubectl(["delete", "cip", "match-passing", "match-reading", "--ignore-not-found"]);
    for (const what of ["deployment/app", "pod/pod", "pod/leaving"])
      await tried("patch", what, "--type=merge", "-p", '{"metadata":{"finalizers":null}}');
    await cluster.kubectl(["delete", "namespace", NS, "--wait=false"]);
  });

  const apply = (object: object) => cluster.kubectl(["apply", "-f", "-"], JSON.stringify(object));
  const kubectl = (...args: readonly string[]) => cluster.kubectl(["-n", NS, ...args]);
  const tried = (...args: readonly string[]) => cluster.run([cluster.program("kubectl"), "-n", NS, ...args]);
  const patch = (what: string, change: object) => ["patch", what, "--type=merge", "-p", JSON.stringify(change)];

  const policy = (name: string, more: object) =>
    apply({
      apiVersion: "policy.sigstore.dev/v1beta1",
      kind: "ClusterImagePolicy",
      metadata: { name },
      spec: { images: [{ glob: "ghcr.io/match/**" }], authorities: [{ static: { action: "pass" } }], ...more },
    });
  const reading = { policy: { type: "cue", data: 'metadata: labels: tier: "gold"', includeObjectMeta: true } };

  async function conditions(
    kind = "validatingwebhookconfiguration",
    name = UPDATES_NAME,
  ): Promise<readonly MatchCondition[]> {
    const text = await cluster.kubectl(["get", kind, name, "-o", "json"]);
    return (
      (JSON.parse(text) as { webhooks: { matchConditions: MatchCondition[] }[] }).webhooks[0]?.matchConditions ?? []
    );
  }

  const isNarrow = async () => canonicalJson(await conditions()) === canonicalJson(matchConditions(READS_NOTHING));

  async function refusal(...args: readonly string[]): Promise<string> {
    const { code, stderr } = await tried(...args);
    expect(code, `${args.join(" ")} went through`).not.to.equal(0);
    return stderr;
  }

  it("are scaled, labelled, annotated, paused and let go; not one new image, template or annotation passes", async () => {
    await product.stopPart("webhook");
    try {
      await kubectl("scale", "deployment/app", "--replicas=2");
      await eventually("Pods need the webhook", async () =>
        (await kubectl("get", "replicasets", "-o", "json")).includes(JSON.stringify(UNCALLED).slice(1, -1)),
      );
      await kubectl(...patch("deployment/app", { spec: { replicas: 1 } }));
      for (const what of ["deployment/app", "pod/pod"]) {
        await kubectl("label", what, "team=a");
        await kubectl("annotate", what, "note=a");
        await kubectl(...patch(what, { metadata: { finalizers: [HOLD, "test.entrepot.dev/another"] } }));
      }
      await kubectl("rollout", "pause", "deployment/app");
      await kubectl("delete", "pod", "leaving", "--wait=false");
      await kubectl(...patch("pod/leaving", { metadata: { finalizers: null } }));
      await kubectl("wait", "--for=delete", "pod/leaving", "--timeout=10s");

      const annotation = "clusterimagepolicies.chainguard.dev/cache";
      for (const refused of [
        ["set", "image", "deployment/app", "app=ghcr.io/match/other:v1"],
        ["set", "image", "pod/pod", "app=ghcr.io/match/other:v1"],
        ["set", "env", "deployment/app", "A=b"],
        ["annotate", "deployment/app", `${annotation}=forged`],
        ["run", "new", `--image=${APP}`],
      ])
        expect(await refusal(...refused), refused.join(" ")).to.include(UNCALLED);
    } finally {
      await product.startPart("webhook");
    }
  });

  it("are asked about once a policy reads their metadata, before it is Ready, and are judged by it", async () => {
    expect(await conditions()).to.deep.equal(matchConditions(READS_NOTHING));
    await policy("match-reading", reading);
    await cluster.kubectl(["wait", "--for=condition=Ready", "cip/match-reading", "--timeout=90s"]);
    expect(await conditions()).to.deep.equal(matchConditions(METADATA));
    expect(await conditions("mutatingwebhookconfiguration")).to.deep.equal(matchConditions(METADATA));
    for (const kind of ["mutatingwebhookconfiguration", "validatingwebhookconfiguration"])
      expect(await conditions(kind, ADMISSION_NAME), "of creations").to.deep.equal([]);
    expect(await refusal("label", "deployment/app", "tier=wood", "--overwrite")).to.match(
      /^Error from server[^:]*: admission webhook "policy\.sigstore\.dev" denied the request: validation failed: failed policy: match-reading: /,
    );
    await kubectl("label", "deployment/app", "team=b", "--overwrite");
  });

  it("stay so, over a new operator too, until every webhook has the policy that reads no more; then pass by", async () => {
    // A replica that can't be asked: for all that is known it enforces the earlier generation.
    const silent = {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: {
        name: "match-silent",
        namespace: "cosign-system",
        labels: { "kubernetes.io/service-name": "webhook" },
      },
      addressType: "IPv4",
      endpoints: [{ addresses: ["192.0.2.1"], conditions: { ready: true } }],
    };
    await apply(silent);
    try {
      await policy("match-reading", { policy: { ...reading.policy, includeObjectMeta: false } });
      await cluster.kubectl(["wait", "--for=condition=ConfigMapUpdated=False", "cip/match-reading", "--timeout=90s"]);
      await product.stopPart("operator");
      await product.startPart("operator");
      await operatorAtWork();
      expect(await conditions()).to.deep.equal(matchConditions(METADATA));
    } finally {
      await cluster.kubectl(["-n", "cosign-system", "delete", "endpointslice", "match-silent"]);
    }
    await eventually("they pass by", isNarrow);
    await product.stopPart("webhook");
    try {
      await kubectl("label", "deployment/app", "team=c", "--overwrite");
    } finally {
      await product.startPart("webhook");
    }
  });

  it("pass by at once when the policy that reads is deleted; conditions of others are taken away", async () => {
    await policy("match-reading", reading);
    await cluster.kubectl(["wait", "--for=condition=Ready", "cip/match-reading", "--timeout=90s"]);
    expect(await conditions()).to.deep.equal(matchConditions(METADATA));
    for (const name of [UPDATES_NAME, ADMISSION_NAME])
      await cluster.kubectl(["patch", "validatingwebhookconfiguration", name, "--type=json", "-p", NEVER[name] ?? ""]);
    await eventually("it is put right", async () => (await conditions()).length === 2);
    await eventually(
      "creations are",
      async () => (await conditions("validatingwebhookconfiguration", ADMISSION_NAME)).length === 0,
    );
    expect(await conditions()).to.deep.equal(matchConditions(METADATA));
    await cluster.kubectl(["delete", "cip", "match-reading"]);
    await eventually("they pass by", isNarrow);
  });

  /** Waits until a new operator has written the webhook configurations, which it is made to by a label of one that comes after those for UPDATE. */
  async function operatorAtWork(): Promise<void> {
    const label = "app.kubernetes.io/component";
    const read = () =>
      cluster.kubectl([
        "get",
        "mutatingwebhookconfiguration",
        ADMISSION_NAME,
        "-o",
        `jsonpath={.metadata.labels.app\\.kubernetes\\.io/component}`,
      ]);
    await cluster.kubectl(["label", "mutatingwebhookconfiguration", ADMISSION_NAME, `${label}-`]);
    await eventually("the operator reconciles the webhook configurations", async () => (await read()) === "webhook");
  }
});
