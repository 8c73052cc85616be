import type { Image } from "./images.ts";
import type { Options } from "./options.ts";

/** Warm-up of a scenario whose images must be new. */
export const FRESH_WARM_UP = 40;
/** Pods of one new image at once, in the scenario `burst`. */
export const BURST = 200;
const SPARE = 4; // the warm images, and one for the question whether a contestant is in force

/** Images that the contestant now running has never seen: it gets each once. */
export class Shelf {
  readonly #images: readonly Image[];
  #next = 0;

  constructor(images: readonly Image[]) {
    this.#images = images;
  }

  /** The next `count`; throws when there are none left. */
  take(count: number): readonly Image[] {
    const taken = this.#images.slice(this.#next, this.#next + count);
    if (taken.length < count) throw new Error(`the bench has made ${this.#images.length} images, which is too few`);
    this.#next += count;
    return taken;
  }

  one(): Image {
    const [image] = this.take(1);
    if (image === undefined) throw new Error("no image");
    return image;
  }
}

/** How many owners (each with an image of its own) the scenario `restart` has: a quarter of the samples, because a cell has several restarts. */
export function ownersIn({ samples }: Options): number {
  return Math.ceil(samples / 4);
}

/** How many images one contestant sees in one round. */
export function imagesNeeded(options: Options): number {
  const cells = options.delays.length * options.concurrency.length;
  const cold = cells * (options.fresh + FRESH_WARM_UP);
  return cold + ownersIn(options) + 2 * options.delays.length + SPARE;
}
