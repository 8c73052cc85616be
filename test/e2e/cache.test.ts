import { expect } from "chai";
import { eventually, NS, Stage } from "../support/e2e.ts";

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

  const get = async (path: string) => await fetch(`http://${HOST}${path}`, { signal: AbortSignal.timeout(20_000) });
  const condition = (name: string, type: string) =>
    stage.kubectl(
      "get",
      "cacherule",
      name,
      "-o",
      `jsonpath={.status.conditions[?(@.type=="${type}")].status} {.status.conditions[?(@.type=="${type}")].reason} {.status.conditions[?(@.type=="${type}")].message}`,
    );

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
    await stage.wait("condition=Ready", "cacherule/exact", 120);
    await stage.wait("condition=Ready", "cacherule/all-of-team", 60);
    // Ready is what every gateway says; the node's kube-proxy opens the NodePort within a second of it.
    await eventually("the NodePort", 15_000, async () => ((await get("/v2/")).ok ? true : undefined));
  });

  after(async () => {
    if (stage === undefined) return;
    await stage.kubectl("delete", "cacherule", "-l", "e2e=cache", "--timeout=60s");
    await stage.kubectl("delete", "cacheregistry", "e2e-cache", "--ignore-not-found", "--timeout=60s");
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
    await stage.wait("condition=Ready", "cacherule/brief", 60);
    expect((await get("/v2/brief/manifests/v1")).status).to.equal(200);
    await stage.kubectl("delete", "cacherule", "brief", "--timeout=60s");
    expect((await get("/v2/brief/manifests/v1")).status).to.equal(404);
  });

  it("names an upstream that cannot be reached, as a condition with the reason", async () => {
    await stage.apply(rule("nowhere", "10.250.0.1:5999/x/y", "nowhere"));
    const reachable = await eventually("the condition", 60_000, async () => {
      const text = await condition("nowhere", "UpstreamReachable");
      return text.startsWith("False") ? text : undefined;
    });
    expect(reachable).to.match(/10\.250\.0\.1:5999.*refuses the connection/);
    expect(await condition("nowhere", "Ready")).to.match(/^False UpstreamUnreachable /);
  });

  it("accepts one of two rules for the same target, and tells the other which", async () => {
    await stage.apply(rule("rival", "registry.local:5000/other/app", "mirror/app"));
    const accepted = await eventually("the condition", 30_000, async () => {
      const text = await condition("rival", "Accepted");
      return text.startsWith("False") ? text : undefined;
    });
    expect(accepted)
      .to.match(/^False Conflict /)
      .and.include("exact");
    await stage.wait("condition=Ready", "cacherule/exact", 10);
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
    await stage.kubectl("delete", "cacherule", "-l", "e2e=cache", "--timeout=60s");
    await stage.kubectl("delete", "cacheregistry", "e2e-cache", "--timeout=90s");
    await eventually("nothing left", 60_000, async () => {
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
