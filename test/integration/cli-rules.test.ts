// `kubectl entrepot rules` as a plugin of the real kubectl, and what kubectl itself prints, for one rule and for a thousand.
import { randomBytes } from "node:crypto";
import { expect } from "chai";
import type { ConnectedKubeClient } from "../../adapters/kube/client.ts";
import { EventRecorder } from "../../adapters/kube/events.ts";
import type { KubeObject } from "../../adapters/kube/types.ts";
import { silentLog } from "../../adapters/telemetry/log.ts";
import { CACHE_REGISTRIES, CACHE_RULES } from "../../crds/index.ts";
import type { ClusterHandle, CommandResult } from "../support/cluster.ts";
import { Plugin } from "../support/plugin.ts";
import { putRegistry, putRule, type RuleSample, SAMPLE_TIME, sampleCondition } from "../support/rule-samples.ts";

const RUN = `clirules-${randomBytes(3).toString("hex")}`;
const SMALL = `${RUN}-small`;
const LARGE = `${RUN}-large`;
const READY = { reason: "Ready", message: "write localhost:30500/x in place of y" };
const CONFLICT =
  'the target shop/api is taken by CacheRule "shop" (docker.io/acme/shop), which was there first; give this one another target, or delete one of the two';

const samples: readonly RuleSample[] = [
  { name: `${RUN}-one`, registry: SMALL, ready: READY },
  ...Array.from({ length: 960 }, (_, n) => ({
    name: `${RUN}-r${String(n).padStart(4, "0")}`,
    registry: LARGE,
    ready: READY,
    ...(n % 100 === 0 && {
      status: { adopted: true, drift: { detected: new Date(Date.now() - 3_600_000).toISOString(), fields: ["a"] } },
    }),
  })),
  ...Array.from({ length: 30 }, (_, n) => ({
    name: `${RUN}-u${String(n).padStart(4, "0")}`,
    registry: LARGE,
    ready: {
      status: "False" as const,
      reason: "UpstreamUnreachable",
      message: "upstream quay.io: no answer within 5 s",
    },
  })),
  ...Array.from({ length: 8 }, (_, n) => ({
    name: `${RUN}-n${n}`,
    registry: LARGE,
    ...(n < 4 && { ready: { status: "False" as const, reason: "Suspended", message: "m" }, suspend: true }),
  })),
  {
    name: `${RUN}-drifted`,
    registry: LARGE,
    ready: { status: "False", reason: "Drifted", message: '"x" differs in a and driftPolicy is Report' },
    conditions: [sampleCondition("Synced", { status: "False", reason: "Drifted" })],
    status: { remoteId: "/subscriptions/s/x", drift: { detected: SAMPLE_TIME, fields: ["a"] } },
  },
  {
    name: `${RUN}-conflict`,
    registry: LARGE,
    target: "shop/api",
    ready: { status: "False", reason: "Conflict", message: CONFLICT },
    conditions: [sampleCondition("Accepted", { status: "False", reason: "Conflict", message: CONFLICT })],
    status: {
      conflictsWith: `${RUN}-one`,
      cached: {
        total: 2,
        refreshed: SAMPLE_TIME,
        tags: [{ repository: "shop/api", tag: "v1", digest: `sha256:${"a".repeat(64)}`, bytes: 24_536_678 }],
      },
    },
  },
];

/** Sixteen at a time. */
async function eachOf<T>(items: readonly T[], act: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items];
  const work = async () => {
    for (let next = queue.pop(); next !== undefined; next = queue.pop()) await act(next);
  };
  await Promise.all(Array.from({ length: 16 }, work));
}

describe("kubectl entrepot rules", function () {
  this.timeout(120_000);
  let cluster: ClusterHandle;
  let client: ConnectedKubeClient;
  let installed: Plugin;

  before(async function () {
    this.timeout(0);
    installed = await Plugin.install(this);
    ({ cluster, client } = installed);
    await putRegistry(client, SMALL, { reason: "Ready", message: "it runs" }, { total: 1 });
    const problem = { status: "False" as const, reason: "SignInFailed", message: "the Secret has expired; renew it" };
    await putRegistry(client, LARGE, problem, { total: 1000, limit: 1000 });
    await eachOf(samples, (sample) => putRule(client, sample));
  });

  after(async function () {
    this.timeout(0);
    if (installed === undefined) return;
    for (const name of [SMALL, LARGE]) {
      const rules = `/apis/entrepot.dev/v1alpha1/cacherules?fieldSelector=spec.registryRef.name%3D${name}`;
      await cluster.kubectl(["delete", "--raw", rules]); // one request, not a thousand
      await client.delete(CACHE_REGISTRIES, name);
    }
    await installed.remove();
  });

  const plugin = (...argv: readonly string[]): Promise<CommandResult> => installed.run("rules", ...argv);

  const large = (...argv: readonly string[]) => plugin("--registry", LARGE, ...argv);
  const lines = (text: string) => text.trimEnd().split("\n");

  it("says of a thousand rules what is wrong on one screen, and ends with 0", async () => {
    const { code, stdout, stderr } = await large();
    expect(stderr).to.equal("");
    expect(code).to.equal(0);
    const [, summary = "", ...rest] = lines(stdout);
    expect(summary.split(/\s{2,}/)).to.deep.equal([
      LARGE,
      "inCluster",
      "SignInFailed",
      "1000/1000",
      "960",
      "1 now, 10 in 24h",
      "10",
      "30 UpstreamUnreachable, 4 NotSeen, 1 Conflict, 1 Drifted, 4 Suspended",
    ]);
    const text = rest.join("\n");
    expect(text).to.include("the Secret has expired; renew it");
    expect(text.indexOf("Not ready (36)")).to.be.within(1, text.indexOf("Ready (960)"));
    expect(text).to.include(`${RUN}-conflict of ${LARGE}: Conflict, since`).and.include(CONFLICT);
    expect(text).to.include(`30 rules of ${LARGE}: UpstreamUnreachable`).and.include("and 25 more");
    expect(text).to.include("the operator has not looked at the rule yet");
    expect(text).to.include("and 930 more: --all lists them");
    expect(lines(stdout)).to.have.length.below(70);
  });

  it("leaves none out with --all", async () => {
    const { stdout } = await large("--all");
    for (const { name } of samples.slice(1)) expect(stdout).to.include(name);
  });

  it("ends with 1 when --not-ready finds some, and with 0 when not", async () => {
    const some = await large("--not-ready");
    expect(some.code).to.equal(1);
    expect(some.stdout).to.include("Not ready (36)").and.not.include("Ready (960)");
    const none = await plugin("--not-ready", "--registry", SMALL);
    expect(none.code).to.equal(0);
    expect(none.stdout).to.not.include("Not ready");
  });

  it("gives programs the same as JSON", async () => {
    const { stdout } = await large("--not-ready", "-o", "json");
    const report = JSON.parse(stdout) as { registries: { rules: { total: number } }[]; rules: { state: string }[] };
    expect(report.registries.map(({ rules }) => rules.total)).to.deep.equal([1000]);
    expect(new Set(report.rules.map(({ state }) => state))).to.deep.equal(new Set(["notReady"]));
    expect(report.rules).to.have.length(36);
  });

  it("shows one rule of a registry as well", async () => {
    const { code, stdout } = await plugin("--registry", SMALL);
    expect(code).to.equal(0);
    expect(stdout).to.include("Ready (1)").and.include(`localhost:30500/acme/${RUN}-one`);
    expect(lines(stdout)).to.have.length(6);
  });

  it("shows of one rule who holds its target, what is cached, and its Events", async () => {
    const name = `${RUN}-conflict`;
    const rule = await client.get<KubeObject>(CACHE_RULES, name);
    const recorder = new EventRecorder({ client, controller: "entrepot.dev/test", instance: "test", log: silentLog });
    for (const note of ["first", "second"])
      recorder.record({ regarding: rule, type: "Warning", reason: "Conflict", action: "Reconcile", note });
    await recorder.flush(60_000);
    const { code, stdout, stderr } = await plugin(`cacherule/${name}`);
    expect(stderr).to.equal("");
    expect(code).to.equal(0);
    expect(stdout).to.include("NO: Conflict, since").and.include(CONFLICT);
    expect(stdout).to.include(`CacheRule ${RUN}-one holds the target: docker.io/acme/${RUN}-one ->`);
    expect(stdout).to.include("not ready: SignInFailed");
    expect(stdout).to.include("shop/api:v1  sha256:aaaaaaaaaaaa, 23.4 MiB");
    expect(stdout).to.match(/Events\n(.*\n)*.*Warning Conflict\n {6}(first|second)\n/);
    expect((await plugin(name, "--not-ready")).code).to.equal(1);
  });

  it("says what is wrong with what was asked", async () => {
    const nobody = await plugin(`${RUN}-nobody`);
    expect(nobody.code).to.equal(1);
    expect(nobody.stderr).to.include(`${RUN}-nobody`).and.include("not found");
    const nowhere = await plugin("--registry", `${RUN}-nowhere`);
    expect(nowhere.code).to.equal(1);
    expect(nowhere.stderr).to.include(`there is no CacheRegistry "${RUN}-nowhere"`);
    expect((await plugin("a", "b")).code).to.equal(2);
  });

  it("is what kubectl prints too, with the message last and only when it is asked for", async () => {
    const selector = `--field-selector=spec.registryRef.name=${LARGE}`;
    const narrow = lines(await cluster.kubectl(["get", "cacherules", selector]));
    expect(narrow).to.have.length(1 + 1000);
    expect(narrow[0]?.split(/\s+/)).to.deep.equal(["NAME", "REGISTRY", "SOURCE", "READY", "REASON", "PULL", "AGE"]);
    const wide = await cluster.kubectl(["get", "cacherule", `${RUN}-drifted`, "-o", "wide"]);
    expect(wide.split("\n")[0]?.split(/\s+/).slice(6)).to.deep.equal(["AGE", "TARGET", "DRIFT", "MESSAGE"]);
    expect(wide).to.match(/\s\d+d\s+"x" differs in a and driftPolicy is Report\n$/);
    const registry = await cluster.kubectl(["get", "creg", LARGE, "-o", "wide"]);
    expect(registry.split("\n").map((line) => line.trim().split(/\s{2,}/))).to.deep.include.members([
      ["NAME", "PROVIDER", "RULES", "READY", "REASON", "AGE", "LIMIT", "MESSAGE"],
    ]);
    expect(registry).to.match(/1000\s+False\s+SignInFailed\s+\w+\s+1000\s+the Secret has expired; renew it\n$/);
    const described = await cluster.kubectl(["describe", "cacherule", `${RUN}-conflict`]);
    expect(described)
      .to.include(CONFLICT)
      .and.match(/Conflicts With:\s+clirules/);
  });
});
