import { normaliseHost } from "../image/reference.ts";

/** What a rule's target names in the cache: one repository, or with `wildcard` everything below `path` ("" is the whole registry). */
export interface TargetPattern {
  readonly path: string;
  readonly wildcard: boolean;
}

/** What a rule's source names upstream: a `TargetPattern` on a host in canonical spelling (`index.docker.io` for Docker Hub). */
export interface RulePattern extends TargetPattern {
  readonly host: string;
}

const HUB = normaliseHost("docker.io");
const REPOSITORY_LIMIT = 255;

/** The target as its author wrote it. */
export function formatTarget(target: TargetPattern): string {
  if (!target.wildcard) return target.path;
  return target.path === "" ? "*" : `${target.path}/*`;
}

/** `a/b/c` → `a/b`, `a`, ``: the prefixes above a path, nearest first. The root has none. */
export function ancestors(path: string): readonly string[] {
  const found: string[] = [];
  for (let slash = path.lastIndexOf("/"); slash > 0; slash = path.lastIndexOf("/", slash - 1))
    found.push(path.slice(0, slash));
  return path === "" ? found : [...found, ""];
}

/** Whether `repository` is what `pattern` names. A wildcard stands for one or more path components, never for none. */
export function patternMatches(pattern: TargetPattern, repository: string): boolean {
  if (!pattern.wildcard) return repository === pattern.path;
  return pattern.path === ""
    ? repository !== ""
    : repository.length > pattern.path.length + 1 && repository.startsWith(`${pattern.path}/`);
}

/** Docker Hub, and only it, serves repositories of one component below `library/`. */
export function withImplicitLibrary(host: string, repository: string): string {
  return host === HUB && !repository.includes("/") ? `library/${repository}` : repository;
}

/** Puts `repository`, which `from` names, where `to` says; undefined where the result is longer than any registry takes. */
export function transplant(from: TargetPattern, to: TargetPattern, repository: string): string | undefined {
  if (!to.wildcard) return to.path;
  const below = from.path === "" ? repository : repository.slice(from.path.length + 1);
  const moved = to.path === "" ? below : `${to.path}/${below}`;
  return moved.length > REPOSITORY_LIMIT ? undefined : moved;
}
