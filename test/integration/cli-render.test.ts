// `kubectl entrepot render` as a plugin of the real kubectl, from rules in a real API server.
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { loadAll } from "js-yaml";
import type { ConnectedKubeClient } from "../../adapters/kube/client.ts";
import { kyvernoInstallation } from "../../bench/competitors/kyverno-installation.ts";
import { CACHE_REGISTRIES, CACHE_RULES } from "../../crds/index.ts";
import { toolDir } from "../../hack/testcluster/tools.ts";
import type { ClusterHandle, CommandResult } from "../support/cluster.ts";
import { eventually } from "../support/kube.ts";
import { Plugin } from "../support/plugin.ts";
import { putRegistry, putRule, type RuleSample, sampleCondition } from "../support/rule-samples.ts";

const RUN = `clirender-${randomBytes(3).toString("hex")}`;
const READY = { reason: "Ready", message: "it is served" };
const accepted = [sampleCondition("Accepted")];
const POLICY_CRD = "clusterpolicies.kyverno.io";

const samples: readonly RuleSample[] = [
  {
    name: `${RUN}-hub`,
    registry: RUN,
    source: "docker.io/*",
    target: "hub/*",
    ready: READY,
    conditions: accepted,
    status: { pullPrefix: "localhost:30500/hub" },
  },
  {
    name: `${RUN}-nginx`,
    registry: RUN,
    source: "docker.io/library/nginx",
    target: "web/nginx",
    ready: { status: "False", reason: "UpstreamUnreachable", message: "no answer within 5 s" },
    conditions: accepted,
  },
  { name: `${RUN}-new`, registry: RUN },
];

describe("kubectl entrepot render", function () {
  this.timeout(120_000);
  let cluster: ClusterHandle;
  let client: ConnectedKubeClient;
  let installed: Plugin;

  before(async function () {
    this.timeout(0);
    installed = await Plugin.install(this);
    ({ cluster, client } = installed);
    await putRegistry(client, RUN);
    for (const sample of samples) await putRule(client, sample);
  });

  after(async () => {
    if (installed === undefined) return;
    for (const { name } of samples) await client.delete(CACHE_RULES, name);
    await client.delete(CACHE_REGISTRIES, RUN);
    await installed.remove();
  });

  const render = (...argv: readonly string[]): Promise<CommandResult> => installed.run("render", ...argv);

  async function done(...argv: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await render(...argv, "--registry", RUN);
    expect(stderr).to.equal("");
    expect(code).to.equal(0);
    return stdout;
  }

  it("prints hosts.toml and what it can't say, or writes it", async () => {
    const printed = await done("containerd");
    expect(printed).to.include("# file: docker.io/hosts.toml\n").and.include('[host."http://localhost:30500/v2/hub"]');
    expect(printed).to.include(`CacheRule ${RUN}-nginx: a mirror keeps the upstream's path`);
    expect(printed).to.include(`CacheRule ${RUN}-new: it is not accepted: the operator has not looked at it yet`);
    const said = await done("containerd", "--output-dir", join(installed.dir, "certs.d"));
    const file = join(installed.dir, "certs.d/docker.io/hosts.toml");
    expect(said).to.include(`wrote ${file}\n`).and.include(`CacheRule ${RUN}-nginx: a mirror keeps`);
    expect(printed).to.include(readFileSync(file, "utf8").trimEnd());
  });

  it("prints values for charts, and ends with 1 for an image that no rule names", async () => {
    const file = join(installed.dir, "images.txt");
    writeFileSync(file, "# what the chart has\nbitnami/redis:7 # the store\n\n");
    expect(loadAll(await done("helm-values", "--image", "nginx:1.20", "--images", file))).to.deep.include.members([
      { image: { registry: "localhost:30500", repository: "web/nginx", tag: "1.20" } },
      { image: { registry: "localhost:30500", repository: "hub/bitnami/redis", tag: "7" } },
    ]);
    const { code, stdout } = await render("helm-values", "--image", "ghcr.io/a/b:1", "--registry", RUN);
    expect(code).to.equal(1);
    expect(stdout).to.include("# No CacheRule names ghcr.io/a/b:1.");
  });

  it("prints a policy that Kyverno's own schema takes", async function () {
    const policy = await done("kyverno");
    expect(policy).to.include("no answer within 5 s");
    if (!existsSync(toolDir(cluster.settings, "kyverno"))) {
      console.log("      skipped: this machine has no Kyverno, whose schema this is held against");
      return this.skip();
    }
    const { crds } = await kyvernoInstallation(cluster.settings);
    const crd = crds.split("\n---\n").find((one) => one.includes(`name: ${POLICY_CRD}\n`)) ?? expect.fail("no CRD");
    await cluster.kubectl(["apply", "--server-side", "-f", "-"], crd);
    try {
      await eventually("the API server serves ClusterPolicies", () =>
        cluster.kubectl(["get", POLICY_CRD]).then(
          () => true,
          () => false,
        ),
      );
      const dryRun = ["apply", "--dry-run=server", "--validate=strict", "-f", "-"];
      expect(await cluster.kubectl(dryRun, policy)).to.include(`entrepot-cached-names-${RUN} created`);
      const broken = await cluster
        .kubectl(dryRun, policy.replace("foreach:", "forEach:"))
        .catch((error: Error) => error.message);
      expect(broken).to.include('unknown field "spec.rules[0].mutate.forEach"');
    } finally {
      await cluster.kubectl(["delete", `crd/${POLICY_CRD}`]);
    }
  });

  it("says what is wrong with what was asked", async () => {
    expect((await render("toml")).code).to.equal(2);
    const nowhere = await render("kyverno", "--registry", `${RUN}-nowhere`);
    expect(nowhere.code).to.equal(1);
    expect(nowhere.stderr).to.include(`there is no CacheRegistry "${RUN}-nowhere"`);
  });
});
