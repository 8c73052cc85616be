/** Where text stands on a terminal. A width of `undefined` is no terminal: nothing is folded, so that one thing stays one line. */
export type Width = number | undefined;

const NARROWEST = 40;

/** The lines of `text`, folded between words to `width` columns, each behind `indent`. A word that is longer stands on a line of its own. */
export function fold(text: string, width: Width, indent = ""): readonly string[] {
  if (width === undefined) return [`${indent}${text}`];
  const room = Math.max(width, NARROWEST) - indent.length;
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > room) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line].map((one) => `${indent}${one}`);
}

/** A label, and beside it text that is folded within its own column. */
export function labelled(label: string, text: string, width: Width, column = 12): readonly string[] {
  const [first = "", ...rest] = fold(text, width, " ".repeat(column));
  return [`${label.padEnd(column - 1)} ${first.slice(column)}`, ...rest];
}

/** Rows under a header, in columns as wide as their widest cell, three blanks apart. The last column is as wide as it likes. */
export function table(header: readonly string[], rows: readonly (readonly string[])[], indent = ""): readonly string[] {
  const widths = header.map((_, column) => {
    let widest = 0;
    for (const row of [header, ...rows]) widest = Math.max(widest, row[column]?.length ?? 0);
    return widest;
  });
  const last = header.length - 1;
  return [header, ...rows].map(
    (row) =>
      indent +
      row
        .map((cell, column) => (column === last ? cell : cell.padEnd(widths[column] ?? 0)))
        .join("   ")
        .trimEnd(),
  );
}

/** The first of `items` in words: `a, b, c and 957 more`. */
export function firstOf(items: readonly string[], most: number, total = items.length): string {
  const shown = items.slice(0, most);
  const left = total - shown.length;
  return `${shown.join(", ")}${left > 0 ? ` and ${left} more` : ""}`;
}
