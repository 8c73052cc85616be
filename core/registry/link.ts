const LENGTH_LIMIT = 8 * 1024;

// RFC 8288 section 3: `<target>` and its parameters, whose values are tokens or quoted-strings. Disjoint alternatives: linear.
const TARGET = /[ \t,]*<([^<>"\s]*)>/y;
const PARAM =
  /[ \t]*;[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([!#$%&'*+.^_`|~0-9A-Za-z-]+)))?/y;
const END = /[ \t]*(?=,|$)/y;

function at(production: RegExp, text: string, index: number): RegExpExecArray | null {
  production.lastIndex = index;
  return production.exec(text);
}

/**
 * The target of the first link with relation `next` in a `Link` header, as written (it may be relative): how registries page
 * (OCI distribution specification 1.1, "Listing Referrers"). Undefined when there is none or the header is malformed.
 */
export function nextLink(header: string): string | undefined {
  if (header.length > LENGTH_LIMIT) return undefined;
  let index = 0;
  while (index < header.length) {
    const target = at(TARGET, header, index);
    if (target === null) return undefined;
    index = TARGET.lastIndex;
    let relations: string | undefined; // only the first `rel` counts (section 3.3)
    for (let param = at(PARAM, header, index); param !== null; param = at(PARAM, header, index)) {
      index = PARAM.lastIndex;
      if (param[1]?.toLowerCase() === "rel") relations ??= param[2] ?? param[3] ?? "";
    }
    if (at(END, header, index) === null) return undefined;
    index = END.lastIndex;
    const next = relations?.toLowerCase().split(/\s+/).includes("next") === true;
    if (next && target[1] !== "") return target[1];
  }
  return undefined;
}
