// Times the choice of an image's names among few rules and many: what rewriting and reverse names cost in one process.
import { buildNames } from "../core/cachenames/names.ts";
import type { CacheNames } from "../core/cachenames/types.ts";
import type { ImageReference } from "../core/image/reference.ts";
import { SAMPLE_REGISTRY, sampleImages, sampleRules } from "./names-sample.ts";
import { median } from "./statistics.ts";

const SIZES = [1, 100, 10_000] as const;
const ROUNDS = 7;
const CHOICES = 20_000;
const MIB = 1024 * 1024;

type Size = (typeof SIZES)[number];

interface Prepared {
  readonly names: CacheNames;
  readonly images: readonly ImageReference[];
  readonly cached: readonly ImageReference[];
  readonly buildMs: number;
  readonly againMs: number;
  readonly mib: number;
}

/** Of CPU, so that what else runs on the machine counts for less. */
function milliseconds(act: () => unknown): number {
  const before = process.cpuUsage();
  act();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

/** What is in use after a collection; needs --expose-gc. */
function heapMiB(): number {
  globalThis.gc?.();
  return process.memoryUsage().heapUsed / MIB;
}

function prepare(size: Size): Prepared {
  const rules = sampleRules(size);
  const before = heapMiB();
  const names = buildNames(rules, [SAMPLE_REGISTRY]);
  const mib = heapMiB() - before;
  const registries = [SAMPLE_REGISTRY];
  const images = sampleImages(size).map(({ image }) => image);
  return {
    names,
    images,
    cached: images.flatMap((image) => names.cachedAs(image)[0]?.reference ?? []),
    buildMs: median(Array.from({ length: 3 }, () => milliseconds(() => buildNames(rules, registries)))),
    againMs: median(Array.from({ length: 3 }, () => milliseconds(() => buildNames(rules, registries, names)))),
    mib,
  };
}

/** Microseconds of one choice. */
function timed(images: readonly ImageReference[], choose: (image: ImageReference) => unknown): number {
  if (images.length === 0) return Number.NaN;
  const ms = milliseconds(() => {
    for (let n = 0; n < CHOICES; n += images.length) for (const image of images) choose(image);
  });
  return (ms * 1000) / CHOICES;
}

/** What is timed. Images of teams have three names where there are teams, one for each of their rules; others have one. */
const CASES = {
  "one name µs": ({ names, images }) => timed(images.slice(0, 2), (image) => names.cachedAs(image)),
  "three µs": ({ names, images }) => timed(images.slice(2), (image) => names.cachedAs(image)),
  "origin µs": ({ names, cached }) => timed(cached.slice(0, 2), (image) => names.originOf(image)),
} as const satisfies Record<string, (one: Prepared) => number>;
type Case = keyof typeof CASES;

const prepared = new Map(SIZES.map((size) => [size, prepare(size)]));
const times = new Map<string, number[]>();
for (let round = 0; round <= ROUNDS; round++) {
  for (const [size, one] of prepared) {
    for (const [name, measure] of Object.entries(CASES)) {
      const value = measure(one);
      const key = `${size} ${name}`;
      if (round > 0) times.set(key, [...(times.get(key) ?? []), value]); // in the first one V8 compiles
    }
  }
}

const of = (name: Case, size: Size) => median(times.get(`${size} ${name}`) ?? []);
const cell = (value: number) => (Number.isNaN(value) ? "-" : value.toFixed(2)).padStart(12);
const names = Object.keys(CASES) as Case[];
console.log(
  `CPU of choosing the names of an image (cachedAs) and its origin (originOf), median of ${ROUNDS} interleaved rounds of ${CHOICES}; of building the index from nothing, and after one change; memory of the index:`,
);
console.log(["rules", ...names, "build ms", "again ms", "MiB"].map((text) => text.padStart(12)).join(""));
for (const [size, { buildMs, againMs, mib }] of prepared) {
  const cells = [
    ...names.map((name) => of(name, size)),
    buildMs,
    againMs,
    globalThis.gc === undefined ? Number.NaN : mib,
  ];
  console.log(String(size).padStart(12) + cells.map(cell).join(""));
}
const ratio = (name: Case) => (of(name, 10_000) / of(name, 1)).toFixed(2);
console.log(`10,000 rules to 1: names ${ratio("one name µs")} ×, origin ${ratio("origin µs")} ×`);
