import { DomainError } from "../errors.ts";
import { type ImageReference, parseReference, repositoryName } from "./reference.ts";

export type GlobErrorCode = "GLOB_INVALID";

/** A compiled pattern of image names (`spec.images[].glob` of ClusterImagePolicy). Immutable. */
export interface Glob {
  /** The pattern as it was written. */
  readonly pattern: string;
  /**
   * Whether the image that `image` names matches, however it is spelled. Throws `REFERENCE_INVALID` for what is no
   * image reference.
   */
  matches(image: string): boolean;
  /** Whether the pattern covers exactly this text; `matchesReference` is what decides on images. */
  matchesText(text: string): boolean;
}

const HUB = "index.docker.io";
const HUB_SPELLED = /^(?:index\.docker\.io|docker\.io|registry-1\.docker\.io|registry\.hub\.docker\.com)\/(.*)$/;
const HOST_FIRST = /^(?:[^/]*[.:]|localhost\/)/;
const ALLOWED = /^[a-zA-Z0-9\-_:/*.@]+$/;

const SLASH = "/".charCodeAt(0);

// A step of a pattern is a character's code, or one of these, which no character of a pattern has.
const ANY_IN_SEGMENT = 0; // `*`: any characters but /
const ANY = 1; // `**`: any characters

/**
 * Compiles a glob as policy-controller does: `**` stands for any characters, `*` for any but `/`, and all others for
 * themselves; `*` alone means Docker Hub's official images, and two `*` joined by a slash its other ones. Beyond it,
 * Docker Hub may be written in any of its spellings, with `library/` understood. Matching takes time linear in pattern
 * and text. Throws `GLOB_INVALID`, with policy-controller's words.
 */
export function compileGlob(pattern: string): Glob {
  if (!ALLOWED.test(pattern)) {
    throw new DomainError<GlobErrorCode>("GLOB_INVALID", `invalid glob "${pattern}"`, { terminal: true });
  }
  const matchesText = matcherOf(qualified(pattern));
  const glob: Glob = { pattern, matchesText, matches: (image) => matchesReference(glob, parseReference(image)) };
  return glob;
}

/**
 * Whether an image matches. Every name of the image is tried, so that neither its spelling nor a digest added to it
 * decides whether a policy applies: with its tag (`latest` if it has none), with its digest, with both, and as it was
 * written; for Docker Hub also below `docker.io` and without a host. Policy-controller tries `registry/repository:tag`
 * or, where there is a digest, `registry/repository@digest` alone.
 */
export function matchesReference(glob: Glob, reference: ImageReference): boolean {
  return namesOf(reference).some((name) => glob.matchesText(name));
}

function namesOf(reference: ImageReference): readonly string[] {
  const { asWritten, digest, tag = "latest" } = reference;
  const names = digest === undefined ? [asWritten] : [asWritten, asWritten.slice(0, -(digest.length + 1))];
  for (const repository of spellings(reference)) {
    names.push(`${repository}:${tag}`);
    if (tag === "latest") names.push(repository);
    if (digest !== undefined) names.push(`${repository}@${digest}`, `${repository}:${tag}@${digest}`);
  }
  return names;
}

/**
 * The repository with its registry and, on Docker Hub, in the shorter ways that mean the same: `nginx`,
 * `docker.io/nginx`.
 */
function spellings(reference: ImageReference): readonly string[] {
  const full = repositoryName(reference);
  if (reference.registry !== HUB) return [full];
  const { repository } = reference;
  const short = repository.replace(/^library\/(?=[^/]+$)/, "");
  const paths = short === repository ? [repository] : [repository, short];
  const below = [full, ...paths.map((path) => `docker.io/${path}`)];
  // docker.io/ghcr.io/app must not pass for ghcr.io/app.
  return HOST_FIRST.test(repository) ? below : [...below, ...paths];
}

/** The pattern with Docker Hub in its canonical spelling. */
function qualified(pattern: string): string {
  if (pattern === "*") return `${HUB}/library/*`;
  if (pattern === "*/*") return `${HUB}/*/*`;
  const path = HUB_SPELLED.exec(pattern)?.[1];
  if (path === undefined) return pattern;
  return path.includes("/") || path.includes("**") ? `${HUB}/${path}` : `${HUB}/library/${path}`;
}

type Matcher = (text: string) => boolean;

function matcherOf(pattern: string): Matcher {
  const star = pattern.indexOf("*");
  if (star < 0) return (text) => text === pattern;
  const prefix = pattern.slice(0, star);
  const steps = stepsOf(pattern.slice(star));
  return (text) => text.startsWith(prefix) && walk(steps, text, prefix.length);
}

function stepsOf(pattern: string): readonly number[] {
  return (pattern.match(/\*\*|./gs) ?? []).map((part) => {
    if (part === "**") return ANY;
    return part === "*" ? ANY_IN_SEGMENT : part.charCodeAt(0);
  });
}

/**
 * Runs the pattern as the nondeterministic automaton that it is: `alive[i]` says whether the steps before the i-th can
 * stand for the text so far. Nothing makes it backtrack.
 */
function walk(steps: readonly number[], text: string, from: number): boolean {
  let alive = new Uint8Array(steps.length + 1);
  let next = new Uint8Array(steps.length + 1);
  alive[0] = 1;
  for (let at = from; at <= text.length; at++) {
    skipWildcards(steps, alive);
    if (at === text.length) break;
    if (!advance(steps, alive, text.charCodeAt(at), next)) return false;
    [alive, next] = [next, alive];
  }
  return alive[steps.length] === 1;
}

/** Reads one character: fills `next`, and says whether any way is left. */
function advance(steps: readonly number[], alive: Uint8Array, character: number, next: Uint8Array): boolean {
  let any = false;
  next.fill(0);
  for (let index = 0; index < steps.length; index++) {
    if (alive[index] !== 1) continue;
    const step = steps[index];
    const stays = step === ANY || (step === ANY_IN_SEGMENT && character !== SLASH);
    if (stays) next[index] = 1;
    else if (step === character) next[index + 1] = 1;
    any ||= stays || step === character;
  }
  return any;
}

/** A wildcard may stand for nothing. */
function skipWildcards(steps: readonly number[], alive: Uint8Array): void {
  for (let index = 0; index < steps.length; index++) {
    if (alive[index] === 1 && (steps[index] === ANY || steps[index] === ANY_IN_SEGMENT)) alive[index + 1] = 1;
  }
}
