import { join } from "node:path";
import { parseArgs } from "node:util";
import { SCENARIOS, type ScenarioName } from "./scenario-names.ts";

/** What one run measures, and for how long. */
export interface Options {
  /** Names of contestants; empty: all. */
  readonly only: readonly string[];
  readonly scenarios: readonly ScenarioName[];
  readonly rounds: number;
  /** A cell is measured for this long at least, and until it has `samples`. */
  readonly seconds: number;
  /** Admissions per cell, at least; cells whose images must be new have `fresh` instead. */
  readonly samples: number;
  /** New images per cell. */
  readonly fresh: number;
  readonly delays: readonly number[];
  readonly concurrency: readonly number[];
  /** Folder of results.json and latency.svg. */
  readonly out: string;
}

const DEFAULTS = { rounds: "3", seconds: "1", samples: "500", fresh: "60" } as const;
const QUICK = { rounds: "1", seconds: "0.5", samples: "100", fresh: "20" } as const;

export const USAGE = `node bench/main.ts [--quick] [--only none,noop,entrepot] [--scenarios ${SCENARIOS.join(",")}]
  [--rounds ${DEFAULTS.rounds}] [--seconds ${DEFAULTS.seconds}] [--samples ${DEFAULTS.samples}] [--fresh ${DEFAULTS.fresh}] [--delays 0,50] [--concurrency 1,16] [--out bench/out]`;

/** Reads the command line. Throws with words for a person when it is not understood. */
export function readOptions(argv: readonly string[]): Options {
  const text = { type: "string" } as const;
  const { values } = parseArgs({
    args: [...argv],
    options: {
      quick: { type: "boolean", default: false },
      only: text,
      scenarios: text,
      rounds: text,
      seconds: text,
      samples: text,
      fresh: text,
      delays: text,
      concurrency: text,
      out: text,
    },
  });
  const base = values.quick ? QUICK : DEFAULTS;
  const number = (name: keyof typeof DEFAULTS) => numbersIn(name, values[name] ?? base[name])[0] ?? 0;
  return {
    only: listOf(values.only),
    scenarios: scenariosIn(values.scenarios),
    rounds: number("rounds"),
    seconds: number("seconds"),
    samples: number("samples"),
    fresh: number("fresh"),
    delays: numbersIn("delays", values.delays ?? "0,50"),
    concurrency: numbersIn("concurrency", values.concurrency ?? "1,16"),
    out: values.out ?? join(import.meta.dirname, "out"),
  };
}

function listOf(text: string | undefined): readonly string[] {
  return (text ?? "").split(",").filter((part) => part !== "");
}

function numbersIn(name: string, text: string): readonly number[] {
  const numbers = listOf(text).map(Number);
  if (numbers.length === 0 || numbers.some((number) => !Number.isFinite(number) || number < 0))
    throw new Error(`--${name} is "${text}": it wants numbers\n${USAGE}`);
  return numbers;
}

function scenariosIn(text: string | undefined): readonly ScenarioName[] {
  if (text === undefined) return SCENARIOS;
  return listOf(text).map((wanted) => {
    const found = SCENARIOS.find((name) => name === wanted);
    if (found === undefined) throw new Error(`--scenarios has no "${wanted}"\n${USAGE}`);
    return found;
  });
}
