/** One challenge of a `WWW-Authenticate` header: the scheme and the parameter names in lower case. */
export interface Challenge {
  readonly scheme: string;
  readonly params: ReadonlyMap<string, string>;
}

const LENGTH_LIMIT = 8 * 1024;
const CHALLENGE_LIMIT = 8;
const PARAM_LIMIT = 16;

// RFC 9110 sections 5.6.2 (token), 5.6.4 (quoted-string), 11.2 (token68). The alternatives are disjoint: matching is linear.
const TOKEN = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y;
const TOKEN68 = /[A-Za-z0-9._~+/-]+=*(?=[ \t]*(?:,|$))/y;
// biome-ignore lint/suspicious/noControlCharactersInRegex: the grammar excludes control characters by number
const QUOTED = /"((?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\[\t\x20-\x7e\x80-\xff])*)"/y;
const EQUALS = /[ \t]*=[ \t]*/y;
const SEPARATOR = /[ \t]*(?:,[ \t]*)+/y;
const SPACE = /[ \t]+(?=[^, \t])/y; // before parameters; not the optional space before a comma

/** Reads a header's text from left to right; every `take` either consumes a whole production or nothing. */
class Scanner {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  take(production: RegExp): RegExpExecArray | undefined {
    production.lastIndex = this.#at;
    const found = production.exec(this.#text);
    if (found === null) return undefined;
    this.#at = production.lastIndex;
    return found;
  }

  /** Runs `read`; if it gives nothing, the text it consumed is given back. */
  attempt<T>(read: () => T | undefined): T | undefined {
    const start = this.#at;
    const result = read();
    if (result === undefined) this.#at = start;
    return result;
  }

  get done(): boolean {
    return this.#at >= this.#text.length;
  }
}

function readParam(scanner: Scanner): [string, string] | undefined {
  return scanner.attempt(() => {
    const name = scanner.take(TOKEN)?.[0];
    if (name === undefined || scanner.take(EQUALS) === undefined) return undefined;
    const quoted = scanner.take(QUOTED)?.[1];
    const value = quoted === undefined ? scanner.take(TOKEN)?.[0] : quoted.replace(/\\(.)/gs, "$1");
    return value === undefined ? undefined : [name.toLowerCase(), value];
  });
}

/** The parameters that follow a scheme, up to the next scheme or the end; undefined when one is repeated or there are too many. */
function readParams(scanner: Scanner): ReadonlyMap<string, string> | undefined {
  const params = new Map<string, string>();
  let param = readParam(scanner);
  if (param === undefined) return scanner.take(TOKEN68) === undefined ? undefined : params;
  while (param !== undefined) {
    if (params.has(param[0]) || params.size >= PARAM_LIMIT) return undefined;
    params.set(...param);
    param = scanner.attempt(() => (scanner.take(SEPARATOR) === undefined ? undefined : readParam(scanner)));
  }
  return params;
}

/**
 * Reads `WWW-Authenticate` (RFC 9110 section 11.6.1) strictly: anything outside the grammar, a repeated parameter or an absurd
 * length makes the whole header undefined. A registry that is misunderstood could be handed credentials that it should not get.
 */
export function parseChallenges(header: string): readonly Challenge[] | undefined {
  if (header.length > LENGTH_LIMIT) return undefined;
  const scanner = new Scanner(header.replace(/^[ \t]+|[ \t]+$/g, ""));
  const challenges: Challenge[] = [];
  scanner.take(SEPARATOR);
  while (!scanner.done) {
    const scheme = scanner.take(TOKEN)?.[0];
    if (scheme === undefined || challenges.length >= CHALLENGE_LIMIT) return undefined;
    const params = scanner.take(SPACE) === undefined ? new Map<string, string>() : readParams(scanner);
    if (params === undefined) return undefined;
    challenges.push({ scheme: scheme.toLowerCase(), params });
    if (!scanner.done && scanner.take(SEPARATOR) === undefined) return undefined;
  }
  return challenges;
}

/** What this project can answer to: a token service (distribution's token specification) or Basic (RFC 7617). */
export type UsableChallenge =
  | { readonly scheme: "bearer"; readonly realm: string; readonly service?: string }
  | { readonly scheme: "basic" };

/** The challenge to answer: Bearer before Basic, as Docker and containerd choose. Undefined when there is none to answer. */
export function usableChallenge(challenges: readonly Challenge[]): UsableChallenge | undefined {
  for (const { scheme, params } of challenges) {
    const realm = params.get("realm");
    const service = params.get("service");
    if (scheme === "bearer" && realm !== undefined) return { scheme, realm, ...(service !== undefined && { service }) };
  }
  return challenges.some(({ scheme }) => scheme === "basic") ? { scheme: "basic" } : undefined;
}
