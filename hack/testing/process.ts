import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Count, noResults, ROOT, sum } from "./count.ts";

/** Far more than any file needs: who has not ended then never will, such as a loop that lets no timeout be noticed. */
const ENDLESS_MS = 20 * 60_000;

const NOTHING: Count = { passed: 0, failed: [], skipped: [] };

/** A process that runs test files, one after the other, and its successor when it has died: that costs a failure and the file's results. */
export class TestProcess {
  readonly #level: string;
  readonly #log: string;
  #child: ChildProcess | undefined;
  #last = "";
  #printed = 0;

  /** `log` is a file for what the tests print. */
  constructor(level: string, log: string) {
    this.#level = level;
    this.#log = log;
  }

  /** Runs a file and prints what it printed. */
  async run(file: string): Promise<Count> {
    const late = this.#lateDeath();
    const child = this.#child ?? this.#start();
    this.#last = file;
    const tooLate = setTimeout(() => child.kill("SIGKILL"), ENDLESS_MS);
    const count = await new Promise<Count>((resolve) => {
      const died = (code: number | null, signal: string | null) => {
        this.#child = undefined;
        resolve(noResults(`${this.#level}: ${file} ended its process: ${signal ?? `exit code ${code}`}`));
      };
      child.once("exit", died).once("message", (message) => {
        child.off("exit", died);
        resolve(message as Count);
      });
      child.send({ level: this.#level, file }, () => undefined); // what cannot be sent to is about to exit
    });
    clearTimeout(tooLate);
    this.#print();
    return sum([late, count]);
  }

  /** Ends the process, and with it what it keeps for its files. */
  async end(): Promise<Count> {
    const late = this.#lateDeath();
    if (this.#child !== undefined) {
      const gone = once(this.#child, "exit");
      this.#child.disconnect();
      await gone;
      this.#child = undefined;
    }
    this.#print();
    return late;
  }

  /** What a file left behind may end the process after its results are in: that is a failure too. */
  #lateDeath(): Count {
    const { exitCode, signalCode } = this.#child ?? { exitCode: null, signalCode: null };
    if (exitCode === null && signalCode === null) return NOTHING;
    this.#child = undefined;
    return noResults(
      `${this.#level}: ${this.#last} ended its process later on: ${signalCode ?? `exit code ${exitCode}`}`,
    );
  }

  #start(): ChildProcess {
    const log = openSync(this.#log, "a");
    this.#child = fork(join(import.meta.dirname, "worker.ts"), { cwd: ROOT, stdio: ["ignore", log, log, "ipc"] });
    closeSync(log);
    return this.#child;
  }

  #print(): void {
    const text = readFileSync(this.#log);
    process.stdout.write(text.subarray(this.#printed));
    this.#printed = text.length;
  }
}
