// latency.svg: what the table says, to be seen at once. Plain text; no browser, no library.
import type { Cell } from "./results.ts";
import type { ScenarioName } from "./scenario-names.ts";

const PANEL_HEIGHT = 230;
const TOP = 108;
const LEFT = 62;
const GAP = { x: 56, y: 64 };
const NARROWEST = 230; // a title fits
const SLOT = 13; // width of one contestant in one scenario
const COLOURS = ["#7f7f7f", "#1f2937", "#1565c0", "#c62828", "#ef8f00", "#2e7d32", "#6a1b9a"] as const;
const GROUPED: readonly ScenarioName[] = ["burst", "deployment"];

interface Panel {
  readonly title: string;
  readonly delayMs: number;
  readonly group: string;
  readonly scenarios: readonly ScenarioName[];
  readonly cells: readonly Cell[];
}

/**
 * An SVG: one panel for each delay and concurrency, milliseconds on a logarithmic scale common to all, a line from median to 99th percentile for each
 * contestant and scenario. Baselines were measured without delay and stand in every row.
 */
export function plot(cells: readonly Cell[]): string {
  const contestants = [...new Set(cells.map(({ contestant }) => contestant))];
  const drawn = cells.filter(({ p50, p99 }) => p50 > 0 && p99 > 0);
  const panels = panelsOf(drawn);
  const groups = [...new Set(panels.map(({ group }) => group))];
  const delays = [...new Set(panels.map(({ delayMs }) => delayMs))];
  const widths = groups.map((group) =>
    widthOf(
      panels.find((panel) => panel.group === group),
      contestants.length,
    ),
  );
  const lefts = widths.map((_, at) => LEFT + widths.slice(0, at).reduce((sum, width) => sum + width + GAP.x, 0));
  const width = Math.max(560, (lefts.at(-1) ?? 0) + (widths.at(-1) ?? 0) + 20);
  const height = TOP + delays.length * (PANEL_HEIGHT + GAP.y);
  const scale = logScale(drawn.flatMap(({ p50, p99 }) => [p50, p99]));
  const parts = panels.flatMap((panel) => {
    const at = groups.indexOf(panel.group);
    const y = TOP + delays.indexOf(panel.delayMs) * (PANEL_HEIGHT + GAP.y);
    const inside = drawPanel(panel, widths[at] ?? 0, contestants, scale);
    return [`<g transform="translate(${lefts[at]},${y})">`, ...inside, "</g>"];
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="11">`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    text(LEFT, 24, "Admission latency, ms (logarithmic)", 'font-size="16" font-weight="bold"'),
    ...legend(contestants),
    ...parts,
    "</svg>",
    "",
  ].join("\n");
}

function panelsOf(cells: readonly Cell[]): readonly Panel[] {
  const delays = [...new Set(cells.map(({ delayMs }) => delayMs))].sort((a, b) => a - b);
  const [least = 0] = delays;
  const groups = [...Map.groupBy(cells, groupOf)];
  return delays.flatMap((delayMs) =>
    groups.map(([group, all]) => ({
      title: `${group}, registry delay ${delayMs} ms`,
      delayMs,
      group,
      scenarios: [...new Set(all.map(({ scenario }) => scenario))],
      cells: all.filter((cell) => cell.delayMs === delayMs || (cell.delayMs === least && isBaseline(cell.contestant))),
    })),
  );
}

const isBaseline = (contestant: string) => contestant === "none" || contestant === "noop";

function groupOf({ scenario, concurrency }: Cell): string {
  return GROUPED.includes(scenario) ? "Many at once" : `Concurrency ${concurrency}`;
}

function widthOf(panel: Panel | undefined, contestants: number): number {
  return Math.max(NARROWEST, (panel?.scenarios.length ?? 0) * Math.max(64, (contestants + 1) * SLOT));
}

interface Scale {
  readonly ticks: readonly number[];
  y(value: number): number;
}

/** From the power of ten below the least value to the first of 1, 2, 5 times a power of ten above the greatest. */
function logScale(values: readonly number[]): Scale {
  const low = 10 ** Math.floor(Math.log10(Math.min(...values, 1000)));
  const high = Math.max(...values, low * 10);
  const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000];
  const top = steps.map((step) => step * low).find((tick) => tick >= high) ?? high;
  const span = Math.log10(top / low);
  return {
    ticks: steps.map((step) => step * low).filter((tick) => tick <= top),
    y: (value) => PANEL_HEIGHT * (1 - Math.log10(value / low) / span),
  };
}

function drawPanel(panel: Panel, width: number, contestants: readonly string[], { ticks, y }: Scale): string[] {
  const column = width / Math.max(1, panel.scenarios.length);
  const grid = ticks.flatMap((tick) => {
    const isPower = Number.isInteger(Math.log10(tick));
    const line = `<line x1="0" x2="${width}" y1="${round(y(tick))}" y2="${round(y(tick))}" stroke="${isPower ? "#bbb" : "#e6e6e6"}"/>`;
    return [line, text(-6, y(tick) + 4, String(tick), 'text-anchor="end" fill="#555"')];
  });
  const names = panel.scenarios.flatMap((scenario, at) => [
    text((at + 0.5) * column, PANEL_HEIGHT + 16, scenario, 'text-anchor="middle"'),
    `<line x1="${round(at * column)}" x2="${round(at * column)}" y1="0" y2="${PANEL_HEIGHT}" stroke="#ddd"/>`,
  ]);
  const marks = panel.cells.flatMap((cell) => {
    const slot = contestants.indexOf(cell.contestant) - (contestants.length - 1) / 2;
    return mark(cell, (panel.scenarios.indexOf(cell.scenario) + 0.5) * column + slot * SLOT, contestants, y);
  });
  return [text(0, -10, panel.title, 'font-weight="bold"'), ...grid, ...names, ...marks];
}

function mark(cell: Cell, at: number, contestants: readonly string[], y: Scale["y"]): string[] {
  const colour = colourOf(contestants.indexOf(cell.contestant));
  const [x, low, high] = [round(at), round(y(cell.p50)), round(y(cell.p99))];
  return [
    `<g stroke="${colour}" stroke-width="2">`,
    `<title>${cell.contestant} ${cell.scenario}: p50 ${cell.p50.toFixed(2)} ms, p99 ${cell.p99.toFixed(2)} ms</title>`,
    `<line x1="${x}" x2="${x}" y1="${low}" y2="${high}"/>`,
    `<circle cx="${x}" cy="${low}" r="4" fill="${colour}"/><circle cx="${x}" cy="${high}" r="3.5" fill="#fff"/></g>`,
  ];
}

function legend(contestants: readonly string[]): string[] {
  let x = LEFT;
  const entries = contestants.map((name, at) => {
    const entry = `<rect x="${x}" y="40" width="12" height="12" fill="${colourOf(at)}"/>${text(x + 17, 50, name)}`;
    x += 40 + name.length * 6.5;
    return entry;
  });
  return [
    ...entries,
    text(LEFT, 70, "● median, ○ 99th percentile; deployment: until the last Pod exists", 'fill="#555"'),
  ];
}

function colourOf(index: number): string {
  return COLOURS[index % COLOURS.length] ?? "#000";
}

function text(x: number, y: number, content: string, attributes = ""): string {
  return `<text x="${round(x)}" y="${round(y)}" ${attributes}>${content}</text>`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
