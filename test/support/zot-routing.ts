/** An entry of zot's `content`, as it is configured. */
export interface ZotContent {
  readonly prefix: string;
  readonly destination: string;
  readonly stripPrefix: boolean;
}

function trim(text: string, characters: string): string {
  let [from, to] = [0, text.length];
  while (from < to && characters.includes(text[from] ?? "")) from++;
  while (to > from && characters.includes(text[to - 1] ?? "")) to--;
  return text.slice(from, to);
}

/** doublestar's `Match` for patterns of plain text and whole components `*` and `**`; `a/**` is `a`, too. */
function matches(pattern: readonly string[], name: readonly string[]): boolean {
  const [first, ...rest] = pattern;
  if (first === undefined) return name.length === 0;
  if (first === "**") return matches(rest, name) || (name.length > 0 && matches(pattern, name.slice(1)));
  return name.length > 0 && (first === "*" || first === name[0]) && matches(rest, name.slice(1));
}

/** doublestar's `SplitPattern`: the part of a pattern behind the last slash before its first meta character. */
function behindBase(pattern: string): string {
  const meta = pattern.search(/[*?[{\\]/);
  const slash = pattern.slice(0, meta < 0 ? pattern.length : meta).lastIndexOf("/");
  return slash < 0 ? pattern : pattern.slice(slash + 1);
}

/**
 * The repository that zot asks upstream when a client pulls `local`, or undefined when no entry covers it. Written from the
 * behaviour of zot's pkg/extensions/sync/content.go (GetContentByLocalRepo, getRepoSource): not zot itself.
 */
export function zotSource(contents: readonly ZotContent[], local: string): string | undefined {
  const content = contents.find(({ prefix, destination, stripPrefix }) => {
    const slashed = `${trim(prefix, "/")}/`;
    const pattern = trim(`${trim(destination, "/")}/${stripPrefix ? behindBase(slashed) : slashed}`, "/");
    return matches(pattern.split("/"), local.split("/"));
  });
  if (content === undefined) return undefined;
  const destination = trim(content.destination, "/");
  const below = trim(local.startsWith(destination) ? local.slice(destination.length) : local, "/");
  return trim(content.stripPrefix ? `${trim(content.prefix, "/*")}/${below}` : below, "/");
}
