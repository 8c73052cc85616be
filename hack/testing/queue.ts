import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./count.ts";
import type { Times } from "./times.ts";

/** policy-controller has fixed ports: whoever wants it runs while no other file does that wants it. */
const ONE_OF_A_KIND = /support\/(?:policy-controller|differential\/)/;

/** Of files whose time is not known, these go first: no worker shall be left with a long one at the end. */
const LONG =
  /\/(?:operator|inheritance|storm|bench|cluster|demo|cli-|admission-scope|policy-engine-bounds|byte-stability)/;

/**
 * Hands test files out, each once: those that run alone among their kind first, then the others, the longest first by what they took when
 * they last ran. Where that is not known, those with the names of long ones come before all, and the others after all, as they are named.
 */
export class FileQueue {
  readonly #waiting: string[];
  readonly #alone: ReadonlySet<string>;
  #isBusy = false;
  #wake: (() => void)[] = [];

  /** `times` are seconds by file. */
  constructor(
    files: readonly string[],
    times: Times = {},
    textOf = (file: string) => readFileSync(join(ROOT, file), "utf8"),
  ) {
    this.#alone = new Set(files.filter((file) => ONE_OF_A_KIND.test(textOf(file))));
    const rank = (file: string) => (this.#alone.has(file) ? 0 : 1);
    const seconds = (file: string) => times[file] ?? (LONG.test(file) ? Number.MAX_VALUE : 0);
    this.#waiting = files.toSorted((a, b) => rank(a) - rank(b) || seconds(b) - seconds(a));
  }

  /** Resolves to a file that may run beside those that run, once there is one; to undefined when none is left. */
  async take(): Promise<string | undefined> {
    while (this.#waiting.length > 0) {
      const at = this.#waiting.findIndex((file) => !(this.#isBusy && this.#alone.has(file)));
      const [file] = at < 0 ? [] : this.#waiting.splice(at, 1);
      if (file === undefined) await new Promise<void>((resolve) => this.#wake.push(resolve));
      else {
        if (this.#alone.has(file)) this.#isBusy = true;
        return file;
      }
    }
    return undefined;
  }

  /** Says that a file that was taken has ended. */
  end(file: string): void {
    if (!this.#alone.has(file)) return;
    this.#isBusy = false;
    for (const wake of this.#wake.splice(0)) wake();
  }
}
