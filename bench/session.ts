// One contestant's turn in one round.

import type { Contestant } from "./contestant.ts";
import type { Credentials } from "./credentials.ts";
import { rollOut } from "./deployment.ts";
import type { Image } from "./images.ts";
import type { Load, Series } from "./load.ts";
import { type Gauges, Meter } from "./meter.ts";
import type { Options } from "./options.ts";
import { makeOwner, type Owner, pod } from "./pods.ts";
import type { CellKey, RoundCell } from "./results.ts";
import type { ScenarioName } from "./scenario-names.ts";
import { BURST, FRESH_WARM_UP, ownersIn, type Shelf } from "./shelf.ts";

const WARM_UP_MS = 500;
const WARM_UP_SAMPLES = 0.4; // of the samples
const LONGEST_MS = 15_000;
const DEPLOYMENT_REPLICAS = 20;

export interface Turn {
  readonly contestant: Contestant;
  readonly round: number;
  readonly options: Options;
  readonly gauges: Gauges;
  readonly load: Load;
  readonly credentials: Credentials;
  readonly shelf: Shelf;
  /** Stops the controllers, and lets them go on: what they do beside is no part of a single Pod's admission. */
  readonly controllers: { pause(): void; resume(): void };
}

const body = (object: object) => Buffer.from(JSON.stringify(object));

/** Measures all that is asked for; gives the cells in the order in which they were measured. */
export async function takeTurn(turn: Turn): Promise<readonly RoundCell[]> {
  const { contestant, options, gauges } = turn;
  const asked = (names: readonly ScenarioName[]) => names.filter((name) => options.scenarios.includes(name));
  const delays = contestant.baseline === true ? [0] : options.delays;
  const cells: RoundCell[] = [];
  const each = async (
    scenario: ScenarioName,
    measure: (key: CellKey) => Promise<RoundCell>,
    width = options.concurrency,
  ) => {
    for (const delayMs of delays) {
      gauges.proxy.delay(delayMs);
      for (const concurrency of width)
        cells.push(await measure({ contestant: contestant.name, scenario, concurrency, delayMs }));
    }
    gauges.proxy.delay(0);
  };
  turn.controllers.pause();
  try {
    for (const name of asked(["cold"])) await each(name, (key) => cold(turn, key));
    const warm = contestant.warm ? asked(["warm-tag", "warm-digest", "bare-digest"]) : [];
    if (warm.length > 0) {
      const bodies = await warmPods(turn);
      for (const name of warm) await each(name, (key) => warmed(turn, key, bodies.get(name) ?? body({})));
    }
    if (gauges.running.restart !== undefined)
      for (const name of asked(["restart"])) await each(name, await restarted(turn));
    for (const name of asked(["burst"])) await each(name, (key) => burst(turn, key), [BURST]);
    await dropOwners(turn);
  } finally {
    turn.controllers.resume();
  }
  for (const name of asked(["deployment"])) await each(name, (key) => deployment(turn, key), [DEPLOYMENT_REPLICAS]);
  return cells;
}

/** Every Pod's image is new, by tag, and nobody owns the Pod. */
async function cold(turn: Turn, key: CellKey): Promise<RoundCell> {
  const { proxy } = turn.gauges;
  proxy.delay(0);
  await oncePerBody(turn, key, podsOf(turn.shelf.take(FRESH_WARM_UP)));
  proxy.delay(key.delayMs);
  const meter = new Meter(turn.gauges);
  const bodies = podsOf(turn.shelf.take(turn.options.fresh));
  await meter.part(() => oncePerBody(turn, key, bodies));
  return meter.cell(key, turn.round);
}

function podsOf(images: readonly Image[]): readonly Buffer[] {
  return images.map(({ tag }) => body(pod(tag)));
}

function oncePerBody({ load }: Turn, { concurrency }: CellKey, bodies: readonly Buffer[]): Promise<Series> {
  return load.run({ concurrency, next: (index) => bodies[index], enough: () => false });
}

/** One Pod for each warm scenario: of a ReplicaSet by tag, of a ReplicaSet by digest, of nobody by digest. */
async function warmPods({ gauges: { bed }, shelf }: Turn): Promise<ReadonlyMap<ScenarioName, Buffer>> {
  const [first, second, third] = [shelf.one(), shelf.one(), shelf.one()];
  const byTag = await makeOwner(bed.api, bed.namespace, "warm-tag", first.tag);
  const byDigest = await makeOwner(bed.api, bed.namespace, "warm-digest", second.digest);
  return new Map([
    ["warm-tag", body(pod(first.tag, byTag))],
    ["warm-digest", body(pod(second.digest, byDigest))],
    ["bare-digest", body(pod(third.digest))],
  ]);
}

async function warmed({ gauges, load, options, round }: Turn, key: CellKey, one: Buffer): Promise<RoundCell> {
  const { samples, seconds } = options;
  const next = () => one;
  const { concurrency } = key;
  const warmUp = samples * WARM_UP_SAMPLES;
  await load.run({ concurrency, next, enough: (done, ms) => (done >= warmUp && ms >= WARM_UP_MS) || ms > LONGEST_MS });
  const meter = new Meter(gauges);
  const enough = (done: number, ms: number) => (done >= samples && ms >= seconds * 1000) || ms > LONGEST_MS;
  await meter.part(() => load.run({ concurrency, next, enough }));
  return meter.cell(key, round);
}

/** Right after a restart, no warm-up: each Pod is of another ReplicaSet with another image. Memory cannot know any of them. */
async function restarted(turn: Turn): Promise<(key: CellKey) => Promise<RoundCell>> {
  const { gauges, options, shelf, round } = turn;
  const { api, namespace } = gauges.bed;
  const bodies: Buffer[] = [];
  for (const [index, { tag }] of shelf.take(ownersIn(options)).entries()) {
    const owner: Owner = await makeOwner(api, namespace, `restart-${index}`, tag);
    bodies.push(body(pod(tag, owner)));
  }
  return async (key) => {
    const meter = new Meter(gauges);
    while (meter.done < options.samples) {
      await gauges.running.restart?.();
      await meter.part(() => oncePerBody(turn, key, bodies));
    }
    return meter.cell(key, round);
  };
}

/** Many Pods of one new image at once. */
async function burst({ gauges, load, shelf, round }: Turn, key: CellKey): Promise<RoundCell> {
  const one = body(pod(shelf.one().tag));
  const meter = new Meter(gauges);
  const next = (index: number) => (index < BURST ? one : undefined);
  await meter.part(() => load.run({ concurrency: key.concurrency, next, enough: () => false }));
  return meter.cell(key, round);
}

async function deployment({ gauges, credentials, shelf, round }: Turn, key: CellKey): Promise<RoundCell> {
  const meter = new Meter(gauges);
  const { bed } = gauges;
  await meter.part(() => rollOut(bed, credentials, `deployment-${key.delayMs}`, shelf.one().tag, key.concurrency));
  return meter.cell(key, round);
}

/** At once, while the controllers are paused: they never learn of them. */
async function dropOwners({ gauges: { bed } }: Turn): Promise<void> {
  const path = `/apis/apps/v1/namespaces/${bed.namespace}/replicasets?propagationPolicy=Background`;
  await bed.api.must({ method: "DELETE", path });
}
