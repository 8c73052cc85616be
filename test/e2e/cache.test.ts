import { expect } from "chai";
import { eventually, fetchFromNode, NS, PATIENCE_MS, Stage } from "../support/e2e.ts";

const HOST = "localhost:30502";

describe("cache rules on a real node", () => {
  let stage: Stage;

  const rule = (name: string, source: string, target = name) => `
apiVersion: entrepot.dev/v1alpha1
kind: CacheRule
metadata: {name: ${name}, labels: {e2e: cache}}
spec:
  registryRef: {name: e2e-cache}
  source: ${source}
  target: ${target}`;

  const get = async (path: string) => await fetchFromNode(`http://${HOST}${path}`);

  /** Waits until status, reason and message of a rule's condition are as they should be. */
  async function says(rule: string, type: string, wanted: RegExp): Promise<void> {
    const of = `.status.conditions[?(@.type=="${type}")]`;
    const path = `jsonpath={${of}.status} {${of}.reason} {${of}.message}`;
    await eventually(`${type} of ${rule}`, PATIENCE_MS, async () => {
      const text = await stage.kubectl("get", "cacherule", rule, "-o", path);
      if (!wanted.test(text)) throw new Error(`it is ${text}`);
      return true;
    });
  }

  before(async function () {
    stage = await Stage.open(this);
    await stage.apply(`
apiVersion: entrepot.dev/v1alpha1
kind: CacheRegistry
metadata: {name: e2e-cache}
spec:
  inCluster:
    pullHost: ${HOST}
    replicas: 1
    service: {type: NodePort, nodePort: 30502}
    storage: {persistentVolumeClaim: {size: 1Gi}}`);
    await stage.apply(rule("exact", "registry.local:5000/cached/app", "mirror/app"));
    await stage.apply(rule("all-of-team", "registry.local:5000/team/*", "team/*"));
    await stage.wait("condition=Ready", "cacherule/exact");
    await stage.wait("condition=Ready", "cacherule/all-of-team");
    // Ready is what every gateway says; the node's kube-proxy opens the NodePort within a second of it.
    await eventually("the NodePort", PATIENCE_MS, async () => ((await get("/v2/")).ok ? true : undefined));
  });

  after(async () => {
    if (stage === undefined) return;
    await stage.remove("cacherule", "-l", "e2e=cache");
    await stage.remove("cacheregistry", "e2e-cache");
    stage.close();
  });

  it("serves a declared image, its tags and a declared prefix, and nothing else", async () => {
    await stage.cluster.pushImage({ repository: "cached/app", tag: "v1" });
    await stage.cluster.pushImage({ repository: "team/a/b", tag: "v2" });
    await stage.cluster.pushImage({ repository: "cached/secret", tag: "v1" });
    const manifest = await get("/v2/mirror/app/manifests/v1");
    expect(manifest.status).to.equal(200);
    expect(await (await get("/v2/mirror/app/tags/list")).json()).to.deep.equal({ name: "mirror/app", tags: ["v1"] });
    expect((await get("/v2/team/a/b/manifests/v2")).status).to.equal(200);
    for (const path of [
      "/v2/cached/secret/manifests/v1",
      "/v2/mirror/app2/manifests/v1",
      "/v2/cached/app/manifests/v1",
    ]) {
      const refused = await get(path);
      expect(refused.status, path).to.equal(404);
      const { errors } = (await refused.json()) as { errors: { code: string }[] };
      expect(errors[0]?.code).to.equal("NAME_UNKNOWN");
    }
  });

  it("takes access away when the rule is deleted", async () => {
    await stage.apply(rule("brief", "registry.local:5000/cached/app", "brief"));
    await stage.wait("condition=Ready", "cacherule/brief");
    expect((await get("/v2/brief/manifests/v1")).status).to.equal(200);
    await stage.remove("cacherule", "brief");
    expect((await get("/v2/brief/manifests/v1")).status).to.equal(404);
  });

  it("names an upstream that cannot be reached, as a condition with the reason", async () => {
    await stage.apply(rule("nowhere", "10.250.0.1:5999/x/y", "nowhere"));
    await says("nowhere", "UpstreamReachable", /^False .*10\.250\.0\.1:5999.*refuses the connection/);
    await says("nowhere", "Ready", /^False UpstreamUnreachable /);
  });

  it("accepts one of two rules for the same target, and tells the other which", async () => {
    await stage.apply(rule("rival", "registry.local:5000/other/app", "mirror/app"));
    await says("rival", "Accepted", /^False Conflict .*exact/);
    await stage.wait("condition=Ready", "cacherule/exact");
  });

  for (const [name, manifest, message] of [
    ["a tag in the source", rule("bad", "registry.local:5000/a/b:v1"), /tag/],
    ["a wildcard on one side", rule("bad", "registry.local:5000/a/*", "b"), /both/],
    ["upper case", rule("bad", "registry.local:5000/A/b"), /lower/],
  ] as const) {
    it(`refuses ${name} at apply`, async () => {
      expect(await stage.refusal(manifest)).to.match(message);
    });
  }

  it("refuses to move a rule to another source", async () => {
    expect(await stage.refusal(rule("exact", "registry.local:5000/cached/secret", "mirror/app"))).to.match(
      /cannot be changed|immutable/,
    );
  });

  it("removes what it made when the registry object is deleted", async () => {
    await stage.remove("cacherule", "-l", "e2e=cache");
    await stage.remove("cacheregistry", "e2e-cache");
    await eventually("nothing left", PATIENCE_MS, async () => {
      const left = await stage.kubectl(
        "-n",
        NS,
        "get",
        "deployments,services,secrets,persistentvolumeclaims",
        "-l",
        "entrepot.dev/registry=e2e-cache",
        "-o",
        "name",
      );
      return left === "" ? true : undefined;
    });
  });
});
