const PART = /([0-9]+(?:[.][0-9]+)?)(ms|s|m|h)/gy;
const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** Milliseconds of a Go duration as the CRDs take it (`90m`, `1h30m`, `1.5h`); undefined when it is none. */
export function durationMs(text: string): number | undefined {
  PART.lastIndex = 0;
  let total = 0;
  let end = 0;
  for (let part = PART.exec(text); part !== null; part = PART.exec(text)) {
    total += Number(part[1]) * (UNIT_MS[part[2] ?? ""] ?? Number.NaN);
    end = PART.lastIndex;
  }
  return end === text.length && end > 0 && Number.isFinite(total) ? total : undefined;
}
