import { expect } from "chai";
import { backendName } from "../../core/cacheregistry/names.ts";
import type { ExtraRegistry } from "../support/cluster.ts";
import { eventually, NS, PATIENCE_MS, Stage } from "../support/e2e.ts";
import { type Got, PullClient } from "../support/load/client.ts";
import { LoadGenerator } from "../support/load/generator.ts";
import { History, inParallel, type LoadImage, pushImage, pushTarget } from "../support/load/images.ts";
import { crash, lifesOf, replacePods } from "../support/load/node.ts";
import {
  allReady,
  deploymentsOf,
  type LoadRegistry,
  type LoadRule,
  loginSecret,
  pullHost,
  registryManifest,
  removeRegistry,
  ruleManifest,
  untilReady,
} from "../support/load/registry.ts";
import { UpstreamDoor } from "../support/load/upstream-door.ts";

const CLIENTS = 8;
const RULES_EACH = 100;
const WILDCARDS_EACH = 10;
const KIB = 1024;
const CLIENT = { username: "nodes", password: "e2e-load-password" };
const A = "upstream.local:5010";
const B = "upstream.local:5012";

const REGISTRY: LoadRegistry = {
  name: "e2e-load",
  nodePort: 30510,
  replicas: 2,
  storage: "persistentVolumeClaim: {size: 1Gi}",
  access: "clients: {secretRefs: [{name: e2e-load-clients}]}",
  upstreams: new Map([
    [A, "e2e-load-a"],
    [B, "e2e-load-b"],
  ]),
};

/** The rules of one upstream: exact ones, and wildcards with three images each. */
function declare(upstream: string, prefix: string): { rules: LoadRule[]; images: LoadImage[] } {
  const numbers = Array.from({ length: RULES_EACH }, (_, index) => index);
  const isWide = (n: number) => n >= RULES_EACH - WILDCARDS_EACH;
  const path = (n: number) => (isWide(n) ? `wide-${n}/*` : `team/app-${n}`);
  const rules = numbers.map((n) => ({
    name: `e2e-load-${prefix}-${n}`,
    source: `${upstream}/${path(n)}`,
    target: `${prefix}/${path(n)}`,
  }));
  const repositories = numbers.flatMap((n) =>
    isWide(n) ? ["x", "y/z", "w"].map((below) => `wide-${n}/${below}`) : [path(n)],
  );
  return {
    rules,
    images: repositories.map((repository) => ({ upstream, repository, name: `${prefix}/${repository}`, tag: "v1" })),
  };
}

describe("200 rules over two private upstreams, under load, on a real node", () => {
  const history = new History();
  const [a, b] = [declare(A, "a"), declare(B, "b")];
  /** Images that the load never asks for: each can show once that what is not cached comes. */
  const cold = new Map([a, b].map(({ images }) => [images[0]?.upstream, images.splice(0, 15)]));
  let stage: Stage;
  let load: LoadGenerator;
  let behind: ExtraRegistry;
  let upstreamB: ExtraRegistry;
  let door: UpstreamDoor;

  async function setUp(): Promise<void> {
    behind = await stage.cluster.startRegistry({ name: "load-a", auth: true, port: 5011 });
    upstreamB = await stage.cluster.startRegistry({ name: "load-b", auth: true, port: 5012 });
    const user = upstreamB.user ?? { username: "", password: "" };
    door = await UpstreamDoor.open(5010, behind.address, user, { username: "cache", password: "first" });
    const everything = [a, b].flatMap(({ images }) => images).concat(...cold.values());
    await inParallel(everything, 8, async (image) => {
      const index = everything.indexOf(image);
      const sizes = index % 40 === 0 ? [KIB, 6 * 1024 * KIB] : [KIB + index, 64 * KIB + 997 * index];
      await pushImage(pushTarget(image.upstream === A ? behind : upstreamB), image, history, sizes);
    });
    await stage.kubectl("-n", NS, "set", "env", "deployment/operator", "HEALTHY_INTERVAL=5s");
    await stage.rolledOut("operator", NS);
    const rules = [...a.rules, ...b.rules].map((rule) => ruleManifest(REGISTRY, rule));
    await stage.apply(
      [
        loginSecret("e2e-load-a", door.user),
        loginSecret("e2e-load-b", user),
        loginSecret("e2e-load-clients", CLIENT),
        registryManifest(REGISTRY),
        ...rules,
      ].join(""),
    );
    await allReady(stage, REGISTRY);
  }

  before(async function () {
    stage = await Stage.open(this);
    await setUp();
    load = new LoadGenerator({ host: pullHost(REGISTRY), history, user: CLIENT }, [...a.images, ...b.images]);
    await comes(nextCold(A));
    load.turn();
    load.start(CLIENTS);
  });

  after(async () => {
    if (stage === undefined) return;
    await load?.stop();
    await removeRegistry(stage, REGISTRY);
    await stage.kubectl("-n", NS, "delete", "secret", "e2e-load-clients", "--ignore-not-found");
    await stage.kubectl("-n", NS, "set", "env", "deployment/operator", "HEALTHY_INTERVAL=10s"); // as in deploy/dev
    await stage.rolledOut("operator", NS);
    door?.close();
    await behind?.stop();
    await upstreamB?.stop();
    stage.close();
  });

  afterEach(function () {
    const { text } = load.turn();
    console.error(`      ${this.currentTest?.title ?? ""}: ${text}`);
    expect(load.wrongs).to.deep.equal([]);
    expect(load.malformed).to.deep.equal([]);
  });

  function nextCold(upstream: string): LoadImage {
    const image = cold.get(upstream)?.pop();
    if (image === undefined) throw new Error(`no cold image of ${upstream} is left`);
    return image;
  }

  /** Everything is as before the event: all rules Ready, and of each upstream something comes that was never pulled. */
  async function recovered(): Promise<void> {
    await allReady(stage, REGISTRY);
    for (const upstream of [A, B]) await comes(nextCold(upstream));
    await allReady(stage, REGISTRY);
  }

  async function comes(image: LoadImage): Promise<void> {
    await eventually(`an uncached image of ${image.upstream}`, PATIENCE_MS, async () => {
      const failure = await load.pull(image);
      if (failure !== undefined) throw new Error(JSON.stringify(failure));
      return true;
    });
  }

  /** What was pulled whole before, of one upstream: it is in the cache. */
  function cached(upstream: string, count: number): readonly LoadImage[] {
    return [...load.whole].filter((image) => image.upstream === upstream).slice(0, count);
  }

  async function failuresOf(images: readonly LoadImage[]): Promise<readonly Got[]> {
    const failures: Got[] = [];
    await inParallel(images, 4, async (image) => {
      const failure = await load.pull(image);
      if (failure !== undefined) failures.push(failure);
    });
    return failures;
  }

  it("serves everything, without one error, while nothing happens", async () => {
    await eventually("most images are cached", PATIENCE_MS, async () =>
      load.whole.size > 0.6 * (a.images.length + b.images.length) ? true : undefined,
    );
    const { text, answers } = load.turn();
    console.error(`      at rest: ${text}`);
    expect([...answers.keys()].filter((answer) => !["200", "206"].includes(answer))).to.deep.equal([]);
    expect(load.refused, "connections that took a second attempt").to.be.at.most(3);
    await recovered();
  });

  it("serves nothing of it to a client without credentials", async () => {
    const stranger = new PullClient({ host: pullHost(REGISTRY), history });
    const [known] = cached(A, 1);
    try {
      const got = await stranger.get(`/v2/${known?.name}/manifests/v1`);
      expect(got).to.deep.equal({ kind: "error", status: 401, code: "UNAUTHORIZED" });
    } finally {
      await stranger.close();
    }
  });

  it("follows a tag that moves upstream, and never serves what it never was", async () => {
    const moving = a.images.slice(0, 3);
    let isMoving = true;
    const followers = moving.map(async (image) => {
      while (isMoving) await load.pull(image);
    });
    for (let round = 0; round < 20; round++)
      await inParallel(moving, 3, async (image) => {
        await pushImage(pushTarget(behind), image, history, [2 * KIB, 8 * KIB]);
      });
    isMoving = false;
    await Promise.all(followers);
    expect(await failuresOf(moving)).to.deep.equal([]);
  });

  it("serves what is cached while an upstream is away, says so, and recovers when it is back", async () => {
    const [kept, other] = [cached(B, 25), nextCold(B)];
    await upstreamB.stop("SIGKILL");
    expect(await failuresOf(kept), "cached images").to.deep.equal([]);
    const refused = await load.pull(other);
    expect(refused?.kind, JSON.stringify(refused)).to.equal("error");
    await untilReady(stage, REGISTRY, "True ServingFromCache", RULES_EACH);
    const cold = nextCold(B);
    await eventually("a gateway that knows of it, too", PATIENCE_MS, async () => {
      expect(await load.pull(cold)).to.deep.include({ kind: "error", status: 502, code: "UNKNOWN" });
      return true;
    });
    expect(await failuresOf(kept), "cached images, later").to.deep.equal([]);
    await comes(nextCold(A));
    await upstreamB.start();
    await untilReady(stage, REGISTRY, "True Ready", 2 * RULES_EACH);
    await comes(other);
    await recovered();
  });

  it("heals when the upstream's password changes and the Secret follows", async () => {
    const kept = cached(A, 25);
    door.user = { username: "cache", password: "second" };
    expect(await failuresOf(kept), "cached images").to.deep.equal([]);
    expect(await load.pull(nextCold(A))).to.have.property("kind", "error");
    await untilReady(stage, REGISTRY, "False CredentialsUnhealthy", RULES_EACH);
    await stage.apply(loginSecret("e2e-load-a", door.user));
    await recovered();
  });

  it("heals when the Secret's password changes and the upstream follows", async () => {
    const next = { username: "cache", password: "third" };
    await stage.apply(loginSecret("e2e-load-a", next));
    await untilReady(stage, REGISTRY, "False CredentialsUnhealthy", RULES_EACH);
    door.user = next;
    await recovered();
  });

  it("survives kill -9 of a gateway, and of the whole Pod", async () => {
    const { gateway } = deploymentsOf(REGISTRY);
    await crash(stage, gateway);
    await recovered();
    await replacePods(stage, gateway);
    await recovered();
  });

  it("survives kill -9 of a proxy, and of the whole Pod", async () => {
    const { gateway } = deploymentsOf(REGISTRY);
    await stage.rolledOut(gateway, NS);
    const gateways = await lifesOf(stage, gateway);
    await crash(stage, backendName(REGISTRY.name, A));
    await comes(nextCold(A));
    await replacePods(stage, backendName(REGISTRY.name, B));
    await recovered();
    expect(await failuresOf(cached(A, 25))).to.deep.equal([]);
    expect(await lifesOf(stage, gateway), "no gateway died of it").to.deep.equal(gateways);
  });

  it("does not need its operator, which comes back by itself", async () => {
    const before = await stage.pods("operator");
    for (const pod of before) await stage.kubectl("-n", NS, "delete", "pod", pod, "--force", "--grace-period=0");
    const extra = { name: "e2e-load-late", source: `${A}/late/*`, target: "late/*" };
    const image = { upstream: A, repository: "late/app", name: "late/app", tag: "v1" };
    await pushImage(pushTarget(behind), image, history, [KIB]);
    await stage.apply(ruleManifest(REGISTRY, extra));
    await recovered();
    await comes(image);
    expect(await stage.pods("operator")).not.to.include.members([...before]);
  });
});
