/** The first of some names, for a message: `a, b, c and 4 more`. */
export function shortlist(names: readonly string[], shown = 3): string {
  const more = names.length > shown ? ` and ${names.length - shown} more` : "";
  return `${names.slice(0, shown).join(", ")}${more}`;
}
