import { setTimeout as pause } from "node:timers/promises";
import { type ClientOptions, type Got, type Observer, PullClient, type Wrong } from "./client.ts";
import type { LoadImage } from "./images.ts";

const REST_MS = 25;

/** The answers of one phase. */
class Tally {
  readonly begun = performance.now();
  readonly answers = new Map<string, number>();
  pulls = 0;
  failed = 0;

  count(answer: string): void {
    this.answers.set(answer, (this.answers.get(answer) ?? 0) + 1);
  }

  toString(): string {
    const seconds = ((performance.now() - this.begun) / 1000).toFixed(1);
    const counts = [...this.answers].sort(([, a], [, b]) => b - a).map(([answer, count]) => `${answer}: ${count}`);
    return `${seconds} s, ${this.pulls} pulls (${this.failed} failed); ${counts.join(", ")}`;
  }
}

/** Clients that pull and pull, from before the first event to after the last, and remember everything that was wrong. */
export class LoadGenerator implements Observer {
  readonly wrongs: Wrong[] = [];
  /** Error answers that are none of the registry API's. */
  readonly malformed: string[] = [];
  /** Images that came whole since the last `forget`. */
  readonly whole = new Set<LoadImage>();
  readonly #client: PullClient;
  readonly #images: readonly LoadImage[];
  #tally = new Tally();
  #ending = false;
  #workers: Promise<void>[] = [];

  constructor(options: ClientOptions, images: readonly LoadImage[]) {
    this.#client = new PullClient(options);
    this.#images = images;
  }

  /** The answers of this phase so far. */
  get answers(): ReadonlyMap<string, number> {
    return this.#tally.answers;
  }

  /** Connections so far that were refused at first and made at the second attempt. */
  get refused(): number {
    return this.#client.refused;
  }

  start(width: number): void {
    this.#workers = Array.from({ length: width }, (_, worker) => this.#work(worker));
  }

  /** Begins a new count; gives the one that ends, for the eye and for assertions. */
  turn(): { readonly text: string; readonly answers: ReadonlyMap<string, number>; readonly failed: number } {
    const ended = this.#tally;
    this.#tally = new Tally();
    return { text: ended.toString(), answers: ended.answers, failed: ended.failed };
  }

  count(answer: string): void {
    this.#tally.count(answer);
    if (answer.startsWith("malformed")) this.malformed.push(answer);
  }

  wrong(found: Wrong): void {
    this.wrongs.push(found);
  }

  /** One pull besides the load, by the same client: undefined when all of the image came. */
  async pull(image: LoadImage): Promise<Got | undefined> {
    return await this.#client.pull({ image, ranged: true }, this);
  }

  async #work(worker: number): Promise<void> {
    for (let turn = worker; !this.#ending; turn++) {
      const image = this.#images[Math.floor(Math.random() * this.#images.length)];
      if (image === undefined) return;
      const tally = this.#tally;
      const failure = await this.#client.pull({ image, ranged: turn % 8 === 0 }, this);
      tally.pulls += 1;
      if (failure === undefined) this.whole.add(image);
      else tally.failed += 1;
      await pause(REST_MS);
    }
  }

  async stop(): Promise<void> {
    this.#ending = true;
    await Promise.all(this.#workers);
    await this.#client.close();
  }
}
