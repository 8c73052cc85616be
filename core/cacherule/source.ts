import { DomainError } from "../errors.ts";
import { normaliseHost, parseReference } from "../image/reference.ts";
import type { RulePattern, TargetPattern } from "./pattern.ts";

export type RulePatternErrorCode = "SOURCE_INVALID" | "TARGET_INVALID" | "WILDCARD_MISMATCH";

const SHOWN_LIMIT = 200;
const PORT_LIMIT = 65_535;
const WILDCARD = "/*";

type Field = "source" | "target";

function invalid(field: Field, text: string, why: string): DomainError<RulePatternErrorCode> {
  const shown = text.length > SHOWN_LIMIT ? `${text.slice(0, SHOWN_LIMIT)}…` : text;
  const code = field === "source" ? "SOURCE_INVALID" : "TARGET_INVALID";
  return new DomainError(code, `invalid ${field} "${shown}": ${why}`, { terminal: true });
}

/** The mistakes that people make in either field, each with its remedy; `undefined` when the text has none of them. */
function commonMistake(text: string): string | undefined {
  if (text === "") return "it is empty";
  if (/\s/.test(text)) return "it contains white space";
  if (/^[a-z]+:\/\//i.test(text)) return "leave out the scheme (https://)";
  if (text !== text.toLowerCase()) return "write it in lower case";
  if (text.includes("@")) return "leave out the digest: a rule is about a repository, not about one image of it";
  if (text.includes("//")) return "it has an empty path component (//)";
  if (text.startsWith("/")) return "leave out the leading slash";
  if (text.endsWith("/")) return "leave out the trailing slash, or end with /* for everything below";
  const stem = text === "*" ? "" : stripWildcard(text);
  if (stem.includes("*")) return "a wildcard may only be the whole last component, as in path/*";
  return undefined;
}

function stripWildcard(text: string): string {
  return text.endsWith(WILDCARD) ? text.slice(0, -WILDCARD.length) : text;
}

function hasTag(text: string): boolean {
  return text.lastIndexOf(":") > text.lastIndexOf("/");
}

/** Whether the first component is a host by the rule that image references follow (distribution/reference). */
function looksLikeHost(first: string): boolean {
  return /[.:[]/.test(first) || first === "localhost";
}

function checkPort(text: string, host: string): void {
  const port = /:([0-9]+)$/.exec(host)?.[1];
  if (port !== undefined && (Number(port) < 1 || Number(port) > PORT_LIMIT)) {
    throw invalid("source", text, `${port} is no port number`);
  }
}

function splitSourceHost(text: string): { host: string; rest: string } {
  const slash = text.indexOf("/");
  const first = slash < 0 ? text : text.slice(0, slash);
  if (slash < 0 && looksLikeHost(first) && !hasTag(text)) {
    throw invalid(
      "source",
      text,
      `it names a registry alone; write ${text}/* for all of it, or ${text}/path for one repository`,
    );
  }
  if (slash < 0 || !looksLikeHost(first)) {
    throw invalid("source", text, "it must start with the registry's host, as in docker.io/library/nginx");
  }
  checkPort(text, first);
  return { host: normaliseHost(first), rest: text.slice(slash + 1) };
}

/** Lets the one grammar of image references judge `host/path`; what it refuses is reported in this field's words. */
function checkedRepository(field: Field, text: string, host: string, path: string): string {
  const { repository } = ((): { repository: string } => {
    try {
      return parseReference(`${host}/${path}`);
    } catch (thrown) {
      const why =
        thrown instanceof DomainError
          ? thrown.message.slice(thrown.message.lastIndexOf('": ') + 3)
          : "it does not parse";
      throw invalid(field, text, why);
    }
  })();
  return repository;
}

/**
 * Reads a rule's `source`: `host/path`, `host/path/*` or `host/*`. Docker Hub's aliases become `index.docker.io` and its implicit
 * `library/` is made explicit, so that equal sources compare equal. Throws `SOURCE_INVALID` with what to write instead.
 */
export function parseSource(text: string): RulePattern {
  const mistake = commonMistake(text);
  if (mistake !== undefined) throw invalid("source", text, mistake);
  const { host, rest } = splitSourceHost(text);
  if (rest === "*") {
    checkedRepository("source", text, host, "x/x");
    return { host, path: "", wildcard: true };
  }
  if (hasTag(rest)) throw invalid("source", text, "leave out the tag: a rule is about a repository with all its tags");
  const wildcard = rest.endsWith(WILDCARD);
  // With a wildcard the path is a namespace, which has no implicit library/: judged with a repository below it.
  if (wildcard) checkedRepository("source", text, host, `${stripWildcard(rest)}/x`);
  return { host, path: wildcard ? stripWildcard(rest) : checkedRepository("source", text, host, rest), wildcard };
}

/** Reads a rule's `target`: `path`, `path/*` or `*`. Throws `TARGET_INVALID` with what to write instead. */
export function parseTarget(text: string): TargetPattern {
  const mistake = commonMistake(text);
  if (mistake !== undefined) throw invalid("target", text, mistake);
  if (text === "*") return { path: "", wildcard: true };
  if (hasTag(text)) throw invalid("target", text, "leave out the tag: the tags of the source are kept");
  const path = stripWildcard(text);
  checkedRepository("target", text, "localhost", path);
  return { path, wildcard: text.endsWith(WILDCARD) };
}
