import type { Cell, Results } from "./results.ts";

type Column = readonly [heading: string, text: (cell: Cell) => string];

const times = (value: number | undefined) => (value === undefined ? "-" : `${value.toFixed(2)}x`);
const ms = (value: number) => value.toFixed(value < 100 ? 2 : 0);

const COLUMNS: readonly Column[] = [
  ["scenario", ({ scenario }) => scenario],
  ["conc.", ({ concurrency }) => String(concurrency)],
  ["delay", ({ delayMs }) => `${delayMs} ms`],
  ["contestant", ({ contestant }) => contestant],
  ["p50/noop", ({ ratios }) => times(ratios["noop"]?.p50)],
  ["p99/noop", ({ ratios }) => times(ratios["noop"]?.p99)],
  ["rate/noop", ({ ratios }) => times(ratios["noop"]?.throughput)],
  ["p50/none", ({ ratios }) => times(ratios["none"]?.p50)],
  ["p50 ms", ({ p50 }) => ms(p50)],
  ["p90 ms", ({ p90 }) => ms(p90)],
  ["p99 ms", ({ p99 }) => ms(p99)],
  ["per s", ({ throughput }) => throughput.toFixed(throughput < 10 ? 1 : 0)],
  ["registry", registry],
  ["kube API", ({ kubePerAdmission }) => count(kubePerAdmission)],
  ["CPU ms", ({ cpuMsPerAdmission }) => cpuMsPerAdmission.toFixed(2)],
  ["MiB", ({ peakMiB }) => peakMiB.toFixed(0)],
  ["samples", ({ samples }) => String(samples)],
  ["failed", ({ failures }) => String(failures)],
];

const TEXTS = new Set(["scenario", "contestant"]);

function count(value: number): string {
  return Number.isInteger(value) ? String(value) : value.toFixed(2);
}

/** What many Pods of one image share is told as a whole. */
function registry({ scenario, registryPerAdmission, registryRequests }: Cell): string {
  return scenario === "burst" ? `${registryRequests} in all` : count(registryPerAdmission);
}

/** The cells as a table, those of one scenario, concurrency and delay together. */
export function table({ cells }: Pick<Results, "cells">): string {
  const groups = [
    ...Map.groupBy(cells, ({ scenario, concurrency, delayMs }) => `${scenario} ${concurrency} ${delayMs}`),
  ];
  const rows = groups.flatMap(([, group]) => group.map((cell) => COLUMNS.map(([, text]) => text(cell))));
  const headings = COLUMNS.map(([heading]) => heading);
  const widths = headings.map((heading, at) => Math.max(heading.length, ...rows.map((row) => row[at]?.length ?? 0)));
  const line = (row: readonly string[]) =>
    row
      .map((text, at) =>
        TEXTS.has(headings[at] ?? "") ? text.padEnd(widths[at] ?? 0) : text.padStart(widths[at] ?? 0),
      )
      .join("  ")
      .trimEnd();
  return [line(headings), ...rows.map(line)].join("\n");
}
