import type { RulePattern } from "../cacherule/pattern.ts";

/** A regular expression (RE2) for images as people write them, and what of its groups follows the name that replaces the rule's source. */
export interface ImageExpression {
  /** Without anchors. Neither quotes, backslashes nor braces are in it, which Kyverno would read as its own. */
  readonly body: string;
  readonly rest: string;
}

const HUB = "index.docker.io";
/** The spellings of Docker Hub that mean the same registry (core/image/reference.ts). */
const HUB_HOSTS = "(?i:docker[.]io|index[.]docker[.]io|registry-1[.]docker[.]io|registry[.]hub[.]docker[.]com)/";
/** A tag and a digest, or neither. */
const SUFFIX = "((?::[A-Za-z0-9_.-]+)?(?:@[A-Za-z0-9:]+)?)";
/** The rest of a reference after its host, or of it what has no slash. */
const BELOW = "[a-z0-9][A-Za-z0-9._/:@-]*";
const FLAT = "[a-z0-9][A-Za-z0-9._:@-]*";
/** A first component that is no host. `localhost` is one. */
const NO_HOST = "[a-z0-9][a-z0-9_-]*";

const literal = (text: string): string =>
  text.replace(/[.[\]]/g, (found) => (found === "[" ? "[[]" : found === "]" ? "[]]" : "[.]"));

/** What stands before a path on Docker Hub: its host, which may be left out where the path does not look like another's. */
function hubBefore(path: string): string {
  const [first = ""] = path.split("/");
  return first.includes(".") || first === "localhost" ? HUB_HOSTS : `(?:${HUB_HOSTS})?`;
}

function hubExact(path: string): readonly ImageExpression[] {
  const official = /^library\/([^/]+)$/.exec(path)?.[1];
  const body =
    official === undefined
      ? `${hubBefore(path)}${literal(path)}${SUFFIX}`
      : `(?:${HUB_HOSTS})?(?:library/)?${literal(official)}${SUFFIX}`;
  return [{ body, rest: "$1" }];
}

function hubBelow(path: string): readonly ImageExpression[] {
  if (path === "") {
    return [
      { body: `(?:${HUB_HOSTS})?(${FLAT})`, rest: "/library/$1" },
      { body: `(?:${HUB_HOSTS}(${BELOW})|(${NO_HOST}/${BELOW}))`, rest: "/$1$2" },
    ];
  }
  const all = { body: `${hubBefore(path)}${literal(path)}/(${BELOW})`, rest: "/$1" };
  return path === "library" ? [{ body: `(?:${HUB_HOSTS})?(${FLAT})`, rest: "/$1" }, all] : [all];
}

/** The expressions that together match every spelling of the images that a pattern names, and no other image. */
export function imageExpressions({ host, path, wildcard }: RulePattern): readonly ImageExpression[] {
  if (host === HUB) return wildcard ? hubBelow(path) : hubExact(path);
  const before = `(?i:${literal(host)})/${path === "" ? "" : literal(path)}`;
  if (!wildcard) return [{ body: `${before}${SUFFIX}`, rest: "$1" }];
  return [{ body: `${before}${path === "" ? "" : "/"}(${BELOW})`, rest: "/$1" }];
}
