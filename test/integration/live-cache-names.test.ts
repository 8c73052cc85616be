import { expect } from "chai";
import type { KubeMetrics } from "../../adapters/kube/metrics.ts";
import type { KubeClient, KubeObject, WatchEvent } from "../../adapters/kube/types.ts";
import { silentLog } from "../../adapters/telemetry/log.ts";
import { planAdmission } from "../../core/admission/plan.ts";
import { NO_NAMES } from "../../core/cachenames/names.ts";
import { parseReference } from "../../core/image/reference.ts";
import { LiveCacheNames } from "../../webhooks/cachenames.ts";
import { podKind, policy, request } from "../support/admission.ts";
import { FakeClock, settle } from "../support/fake-clock.ts";
import { MAIN_REGISTRY, namedRule } from "../support/named-rules.ts";
import { podOf } from "../support/rewrite-samples.ts";

type Told = WatchEvent<KubeObject>;

/** An API server that lists what is there once and tells of changes. */
class Scripted {
  #waiting: ((event: Told) => void) | undefined;

  readonly client = {
    list: async ({ kind }: { kind: string }) => ({
      items: kind === "CacheRegistry" ? [{ ...MAIN_REGISTRY, kind }] : [],
      resourceVersion: "1",
    }),
    watch: (resource: { kind: string }, { signal }: { signal: AbortSignal }) => this.#watch(resource.kind, signal),
  } as unknown as KubeClient;

  async tell(rule: object): Promise<void> {
    this.#waiting?.({ type: "MODIFIED", object: rule as KubeObject });
    await settle();
  }

  async *#watch(kind: string, signal: AbortSignal): AsyncGenerator<Told> {
    const end = new Promise<undefined>((resolve) => signal.addEventListener("abort", () => resolve(undefined)));
    while (!signal.aborted) {
      const next = new Promise<Told>((resolve) => {
        if (kind === "CacheRule") this.#waiting = resolve;
      });
      const event = await Promise.race([next, end]);
      if (event !== undefined) yield event;
    }
  }
}

const metrics = {
  informerRelists: { inc: () => undefined },
  informerContact: { set: () => undefined },
  informerObjects: { set: () => undefined },
} as unknown as KubeMetrics;

describe("the names that a webhook replica keeps", () => {
  const stop = new AbortController();
  const api = new Scripted();
  const time = new FakeClock();
  let costMs = 0;
  let spentMs = 0;
  let built = 0;
  const clock = Object.assign(Object.create(time) as FakeClock, {
    monotonicMs: () => time.monotonicMs() + spentMs,
    after: time.after.bind(time),
  });
  const onChange = () => {
    built++;
    spentMs += costMs;
  };
  const live = new LiveCacheNames({ client: api.client, metrics, log: silentLog, clock, onChange });
  let running: Promise<void>;
  let version = 1;
  const change = async (name: string) => {
    const rule = namedRule(`quay.io/${name}/*`, `${name}/*`, { name });
    version++;
    await api.tell({ ...rule, kind: "CacheRule", metadata: { ...rule.metadata, resourceVersion: `${version}` } });
  };
  const knows = (name: string) => live.current()?.cachedAs(parseReference(`quay.io/${name}/app`)).length === 1;

  before(async () => {
    running = live.run(stop.signal);
    await settle();
    await settle();
    expect(live.current()?.size).to.equal(0);
  });
  after(async () => {
    stop.abort();
    await running;
  });

  it("are built once for changes that come together, a moment after the first", async () => {
    built = 0;
    await change("a");
    await change("b");
    expect(built).to.equal(0);
    await time.advance(50);
    expect({ built, a: knows("a"), b: knows("b") }).to.deep.equal({ built: 1, a: true, b: true });
  });

  it("leave admissions most of the time while thousands of statuses are written, and miss none", async () => {
    costMs = 100;
    built = 0;
    for (let index = 0; index < 200; index++) {
      await change(`c${index}`);
      await time.advance(10);
    }
    // two seconds, of which a build that takes a tenth of one may have a fifth
    expect(built).to.be.within(3, 7);
    await time.advance(500);
    expect(knows("c199")).to.equal(true);
  });

  it("may lag behind what its informers know for as long as that takes: a Pod renamed elsewhere is refused meanwhile", async () => {
    await time.advance(60_000);
    await change("e");
    await time.advance(50); // this build costs 100 ms, so that there is none for 400
    await change("f");
    const written = `localhost:30500/f/app@sha256:${"a".repeat(64)}`;
    const annotations = { "entrepot.dev/original-images": JSON.stringify({ c0: "quay.io/f/app" }) };
    const strict = policy({ images: [{ glob: "quay.io/f/*" }], authorities: [{ static: { action: "fail" } }] });
    const judged = () => {
      const pod = request(podOf([written], {}, { annotations }));
      const [task] = planAdmission(pod, podKind, [strict], live.current() ?? NO_NAMES).tasks;
      return { known: task?.policies.length === 1, refused: task?.unexplained !== undefined };
    };
    await time.advance(350);
    expect({ lags: !knows("f"), ...judged() }).to.deep.equal({ lags: true, known: false, refused: true });
    await time.advance(150);
    expect({ lags: !knows("f"), ...judged() }).to.deep.equal({ lags: false, known: true, refused: false });
  });

  it("are built a moment after a change that comes alone, whatever the last one took", async () => {
    await time.advance(60_000);
    await change("d");
    await time.advance(50);
    expect(knows("d")).to.equal(true);
  });
});
