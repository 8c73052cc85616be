const QUIET_MS = 15_000;

/** Says what is going on: one line rewritten each second on a terminal, a line now and then in a log. */
export interface Progress {
  update(state: string): void;
  /** Ends the line; `summary` is what remains to be read. */
  done(summary: string): void;
}

/** Starts reporting on `what` to `out`; the seconds since then are shown. */
export function startProgress(what: string, out: NodeJS.WriteStream = process.stderr): Progress {
  const began = performance.now();
  let state = "";
  let printed = began;
  const line = () => `${what}: ${state} (${Math.round((performance.now() - began) / 1000)} s)`;
  const tick = () => {
    if (out.isTTY) out.write(`\r\x1b[K${line().slice(0, (out.columns || 80) - 1)}`);
    else if (performance.now() - printed >= QUIET_MS) {
      printed = performance.now();
      out.write(`${line()}\n`);
    }
  };
  const timer = setInterval(tick, 1000).unref();
  return {
    update: (next) => {
      state = next;
    },
    done: (summary) => {
      clearInterval(timer);
      out.write(
        `${out.isTTY ? "\r\x1b[K" : ""}${what}: ${summary} (${((performance.now() - began) / 1000).toFixed(1)} s)\n`,
      );
    },
  };
}
