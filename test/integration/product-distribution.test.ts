import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { load } from "js-yaml";
import type { KubeObject } from "../../adapters/kube/types.ts";
import type { CacheRuleObject } from "../../crds/index.ts";
import { freePort } from "../../hack/testcluster/controlplane.ts";
import { settingsFrom } from "../../hack/testcluster/settings.ts";
import { ensureTool } from "../../hack/testcluster/tools.ts";
import { OwnDistributionRegistry } from "../../operator/providers/owndistribution.ts";
import type { SecretObject } from "../../operator/resources.ts";
import { eventually } from "../support/kube.ts";
import { getManifest, pushTinyImage, sha256, startRegistry, type TestRegistry } from "../support/registry.ts";
import { basicAuth, planOf, registryOf, requestOf, ruleOf, SIGNAL, world } from "./product-rendered-harness.ts";

type ConfigMap = KubeObject & { readonly data?: Record<string, string> };

const CONFIG = "config.yml";

function registry(host: string, credentials = true) {
  return registryOf({
    distribution: {
      configMapRef: { name: "mirror-config", key: CONFIG },
      workloadRef: { kind: "Deployment", name: "mirror" },
      credentialsSecretName: "mirror-upstream",
      pullHost: "mirror.example.com",
    },
    upstreams: [{ host, plainHTTP: true, ...(credentials && { credentials: { secretRef: { name: "login" } } }) }],
  });
}

function start(text: string, user = { username: "test", password: "test-only-password" }) {
  const made = world();
  const { kube } = made;
  kube.put({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "mirror-config" }, data: { [CONFIG]: text } });
  const containers = [{ name: "registry", envFrom: [{ secretRef: { name: "mirror-upstream", optional: true } }] }];
  const spec = { replicas: 2, template: { spec: { containers } } };
  kube.put({ apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "mirror" }, spec });
  kube.rollOut("mirror");
  kube.put(basicAuth("login", user.username, user.password));
  const product = new OwnDistributionRegistry(made.context);
  return {
    ...made,
    product,
    text: () => kube.peek<ConfigMap>("ConfigMap", "mirror-config")?.data?.[CONFIG] ?? "",
    prepare: async (owner: ReturnType<typeof registry>, rules: readonly CacheRuleObject[]) => {
      await made.clock.advance(5_000); // later than what the last look is good for
      return await product.prepare(owner, planOf(owner, rules), SIGNAL);
    },
    /** What the container's environment has of the Secret. */
    environment: () => {
      const data = kube.peek<SecretObject>("Secret", "mirror-upstream")?.data ?? {};
      return Object.fromEntries(Object.entries(data).map(([key, value]) => [key, atob(value)]));
    },
  };
}

describe("a distribution of one's own, with the real program", function () {
  this.timeout(120_000);
  let upstream: TestRegistry;
  let binary: string;
  let dir: string;
  const children = new Set<ChildProcess>();

  before(async function () {
    this.timeout(0);
    upstream = await startRegistry({ auth: true });
    binary = await ensureTool(settingsFrom(process.env), "registry");
    dir = mkdtempSync(join(tmpdir(), "entrepot-mirror-"));
  });

  afterEach(async () => {
    for (const child of children) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const exit = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGTERM");
      await exit;
    }
    children.clear();
  });

  after(async () => {
    await upstream?.stop();
    if (dir !== undefined) rmSync(dir, { recursive: true, force: true });
  });

  const base = (port: number) => `# what its owner wrote
version: 0.1
storage:
  filesystem: {rootdirectory: ${JSON.stringify(join(dir, String(port)))}} # a comment
  delete: {enabled: true}
http:
  addr: 127.0.0.1:${port}
proxy:
  ttl: 24h
`;

  async function run(text: string, port: number, environment: Record<string, string>): Promise<TestRegistry> {
    const file = join(dir, `${port}.yml`);
    writeFileSync(file, text);
    const child = spawn(binary, ["serve", file], {
      env: { OTEL_TRACES_EXPORTER: "none", ...environment },
      stdio: "ignore",
    });
    children.add(child);
    const host = `127.0.0.1:${port}`;
    await eventually("the mirror answers", () =>
      fetch(`http://${host}/v2/`).then(
        ({ ok }) => ok,
        () => false,
      ),
    );
    return { host, newRequests: () => [], stop: async () => void child.kill() };
  }

  it("pulls through with the configuration and the environment that were rendered", async () => {
    const port = await freePort();
    const { kube, prepare, text, environment, product, clock } = start(base(port), upstream.user);
    const owner = registry(upstream.host);
    const rule = ruleOf("everything", `${upstream.host}/*`, "*");
    const digest = await pushTinyImage(upstream, "team/app", "v1");
    expect((await prepare(owner, [rule])).ready).to.deep.include({ done: false, reason: "Updating" });
    expect(kube.writes).to.deep.equal([
      "create Secret/mirror-upstream",
      "patch ConfigMap/mirror-config",
      "patch Deployment/mirror",
    ]);
    expect(text())
      .to.contain("# what its owner wrote")
      .and.contain("# a comment")
      .and.not.contain("test-only-password");
    kube.rollOut("mirror");
    expect((await prepare(owner, [rule])).ready).to.deep.equal({ done: true });
    await clock.advance(5_000);
    expect(await product.observe(requestOf(owner, rule), SIGNAL)).to.deep.include({
      synced: { done: true },
      serving: { done: true },
    });
    const mirror = await run(text(), port, environment());
    expect(sha256(await getManifest(mirror, "team/app", "v1"))).to.equal(digest);
    const seen = upstream.newRequests().filter(({ status }) => status === 200);
    expect(seen.some(({ path }) => path.includes("/team/app/manifests/"))).to.equal(true);
  });

  it("does not without the environment: negative control", async () => {
    const port = await freePort();
    const { prepare, text } = start(base(port), upstream.user);
    await pushTinyImage(upstream, "team/other", "v1");
    await prepare(registry(upstream.host), [ruleOf("everything", `${upstream.host}/*`, "*")]);
    const mirror = await run(text(), port, {});
    const { status } = await fetch(`http://${mirror.host}/v2/team/other/manifests/v1`);
    expect(status).to.not.equal(200);
  });

  it("is again what its owner wrote when it is withdrawn, and starts with that", async () => {
    const port = await freePort();
    const { kube, prepare, text, product, environment } = start(base(port), upstream.user);
    const owner = registry(upstream.host);
    await prepare(owner, [ruleOf("everything", `${upstream.host}/*`, "*")]);
    kube.rollOut("mirror");
    expect(await product.withdraw(owner, SIGNAL)).to.deep.include({ done: false, reason: "Updating" });
    expect(text()).to.equal(base(port));
    expect(environment()).to.deep.equal({ REGISTRY_PROXY_USERNAME: "", REGISTRY_PROXY_PASSWORD: "" });
    await run(text(), port, environment());
    kube.rollOut("mirror");
    expect(await product.withdraw(owner, SIGNAL)).to.deep.equal({ done: true });
    expect(kube.peek("Secret", "mirror-upstream")).to.equal(undefined);
  });
});

describe("a distribution of one's own", () => {
  const OWNER = registry("quay.io");
  const RULE = ruleOf("everything", "quay.io/*", "*");
  const BASE = "version: 0.1\n";

  it("takes one rule: a second one is kept out and says whose the registry is", async () => {
    const { kube, prepare, product, clock } = start(BASE);
    const second = ruleOf("second", "ghcr.io/*", "*");
    expect(product.limit).to.equal(1);
    await prepare(OWNER, [RULE, second]);
    kube.rollOut("mirror");
    await clock.advance(5_000);
    const { synced } = await product.observe(requestOf(OWNER, second), SIGNAL);
    expect(synced).to.deep.include({ done: false, reason: "Conflict" });
    expect((await product.observe(requestOf(OWNER, RULE), SIGNAL)).synced).to.deep.equal({ done: true });
  });

  it("refuses what is not one upstream whole", () => {
    const { product } = start(BASE);
    for (const [source, target] of [
      ["quay.io/team/*", "*"],
      ["quay.io/*", "q/*"],
      ["quay.io/team/app", "app"],
    ] as const) {
      expect(product.judge(requestOf(OWNER, ruleOf("r", source, target)))).to.deep.include({
        reason: "UnsupportedShape",
      });
    }
    expect(product.judge(requestOf(OWNER, RULE))).to.equal(undefined);
  });

  it("is left as it is while its upstream does not answer, since new Pods would not start, and is at rest when nothing changed", async () => {
    const { kube, prepare, setHealth } = start(BASE);
    setHealth({ kind: "unreachable", message: "it refuses the connection" });
    const { ready } = await prepare(OWNER, [RULE]);
    expect(ready).to.deep.include({ done: false, reason: "UpstreamUnreachable" });
    expect(kube.writes).to.deep.equal([]);
    setHealth({ kind: "reachable", credentials: "accepted" });
    await prepare(OWNER, [RULE]);
    kube.rollOut("mirror");
    kube.writes.length = 0;
    setHealth({ kind: "unreachable", message: "it refuses the connection" });
    for (let pass = 0; pass < 20; pass++) expect((await prepare(OWNER, [RULE])).ready).to.deep.equal({ done: true });
    expect(kube.writes).to.deep.equal([]);
  });

  const inTheWay: readonly [string, string, string, RegExp][] = [
    [
      "another upstream",
      "proxy:\n  remoteurl: https://other.example.com\n",
      "ForeignRule",
      /proxy\.remoteurl in ConfigMap "mirror-config" exists already/,
    ],
    ["a password in the file", "proxy:\n  username: me\n", "InvalidSpec", /has proxy\.username: remove it/],
    ["a file that is no YAML", "a: [", "InvalidSpec", /can't be used: it is not YAML/],
  ];
  for (const [name, text, reason, message] of inTheWay) {
    it(`writes nothing at all where there is ${name}`, async () => {
      const { kube, prepare } = start(text);
      const { ready } = await prepare(OWNER, [RULE]);
      expect(ready).to.deep.include({ done: false, reason });
      expect(ready.done ? "" : ready.message).to.match(message);
      expect(kube.writes).to.deep.equal([]);
    });
  }

  it("is not waited for at its deletion where another registry has the ConfigMap", async () => {
    const { kube, prepare, product } = start(BASE);
    await prepare(OWNER, [RULE]);
    kube.rollOut("mirror");
    kube.writes.length = 0;
    const rival = { ...OWNER, metadata: { ...OWNER.metadata, name: "rival", uid: "rival-uid" } };
    const refused = ruleOf("refused", "ghcr.io/*", "*");
    expect(await product.removed({ rule: refused, registry: rival }, SIGNAL)).to.deep.equal({ done: true });
    expect(await product.withdraw(rival, SIGNAL)).to.deep.equal({ done: true });
    expect(kube.writes).to.deep.equal([]);
  });

  it("is asked to take its credentials from the Secret", async () => {
    const { kube, prepare } = start(BASE);
    kube.put({ apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "mirror" }, spec: { template: {} } });
    const { ready } = await prepare(OWNER, [RULE]);
    expect(ready.done ? "" : ready.message).to.match(
      /does not take REGISTRY_PROXY_USERNAME from Secret "mirror-upstream"/,
    );
    expect((await prepare(registry("quay.io", false), [RULE])).ready.done).to.equal(false); // anonymous: only the roll is missing
    expect(load(kube.peek<ConfigMap>("ConfigMap", "mirror-config")?.data?.[CONFIG] ?? "")).to.deep.equal({
      version: 0.1,
      proxy: { remoteurl: "http://quay.io" },
    });
  });
});
