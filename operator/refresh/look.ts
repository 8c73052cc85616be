import { isRegistryError } from "../../adapters/registry/errors.ts";
import type { RuleMapping } from "../../core/cacherule/mapping.ts";
import { toUpstream } from "../../core/cacherule/mapping.ts";
import { tagsToFollow } from "../../core/refresh/follow.ts";
import type { HeldTag, WantedTag } from "../../core/refresh/held.ts";
import type { RefreshPlan } from "../../core/refresh/plan.ts";
import { inParallel } from "../parallel.ts";
import type { CacheDoor, Door } from "./doors.ts";

/** The bounds of one look at one rule. */
export interface LookLimits {
  /** Repositories of a rule with a wildcard. */
  readonly repositories: number;
  /** Tags read of one repository. */
  readonly tags: number;
  /** Tags followed of one rule. */
  readonly followed: number;
}

export const LOOK_LIMITS: LookLimits = { repositories: 100, tags: 50_000, followed: 1_000 };

/** What is looked at. */
export interface Scene {
  readonly mapping: RuleMapping;
  readonly plan: RefreshPlan;
  readonly held: readonly HeldTag[];
  readonly cache: CacheDoor;
  readonly upstream: Door | undefined;
  /** Whether a name in the cache is this rule's, and not that of a rule with a more precise target. */
  readonly owns: (repository: string) => boolean;
  readonly limits: LookLimits;
}

/** What the upstream has of what is to be followed. */
export interface Sight {
  readonly wanted: readonly WantedTag[];
  /** Repositories that were looked at to the end: what is not wanted of them is not followed any more. */
  readonly seen: ReadonlySet<string>;
  /** What kept a repository from being looked at. */
  readonly failures: readonly unknown[];
  /** What is left out, and what to do about it. */
  readonly notices: readonly string[];
}

const WIDTH = 2;

/** The repository as the cache's registry is asked for it. */
export function inCache({ cache }: Pick<Scene, "cache">, repository: string): string {
  return cache.prefix === "" ? repository : `${cache.prefix}/${repository}`;
}

/** The repositories that the cache lists; undefined when it does not tell. */
async function listed(scene: Scene, signal: AbortSignal): Promise<readonly string[] | undefined> {
  const { cache, limits } = scene;
  try {
    const { names } = await cache.puller.catalog(cache.source(""), limits.tags, signal);
    const prefix = cache.prefix === "" ? "" : `${cache.prefix}/`;
    return names.flatMap((name) => (name.startsWith(prefix) ? [name.slice(prefix.length)] : []));
  } catch (thrown) {
    const silent = ["REGISTRY_UNAUTHORIZED", "REGISTRY_FORBIDDEN", "MANIFEST_UNKNOWN", "NAME_UNKNOWN"] as const;
    if (isRegistryError(thrown, ...silent, "RESPONSE_MALFORMED")) return undefined;
    throw thrown;
  }
}

async function repositoriesOf(scene: Scene, notices: string[], signal: AbortSignal): Promise<readonly string[]> {
  const { mapping, held, limits, owns } = scene;
  if (!mapping.target.wildcard) return [mapping.target.path];
  const catalog = await listed(scene, signal);
  const known = new Set([...held.map(({ repository }) => repository), ...(catalog ?? [])]);
  const own = [...known].filter((name) => toUpstream(mapping, name) !== undefined && owns(name)).sort();
  if (own.length === 0 && catalog === undefined)
    notices.push(
      "the registry does not tell which repositories it has cached, so nothing is followed for a rule with a wildcard; write a CacheRule for each image to be fetched ahead",
    );
  if (own.length > limits.repositories)
    notices.push(
      `the rule has ${own.length} cached repositories, of which the first ${limits.repositories} by name are followed; write a CacheRule for each image to be fetched ahead`,
    );
  return own.slice(0, limits.repositories);
}

/** Who lists the tags of a repository and says what they name: the upstream, or the cache that asks it first. */
function teller(scene: Scene, repository: string): { readonly door: Door; readonly name: string } {
  const { upstream, cache, mapping } = scene;
  if (upstream === undefined) return { door: cache, name: inCache(scene, repository) };
  return { door: upstream, name: toUpstream(mapping, repository)?.repository ?? repository };
}

/** The tags that were pulled before, for a rule that names none: what we pulled, and what the cache says that it has. */
async function pulledBefore(
  scene: Scene,
  repository: string,
  notices: string[],
  signal: AbortSignal,
): Promise<ReadonlySet<string>> {
  const { cache, held, limits } = scene;
  const known = held.flatMap((one) => (one.repository === repository ? [one.tag] : []));
  if (!cache.listsPulled) {
    if (known.length === 0)
      notices.push(
        `the cache does not tell which tags of ${repository} were pulled, so none is followed; write them in spec.refresh.tags`,
      );
    return new Set(known);
  }
  try {
    const { names } = await cache.puller.tags(cache.source(inCache(scene, repository)), limits.tags, signal);
    return new Set([...known, ...names]);
  } catch (thrown) {
    if (isRegistryError(thrown, "NAME_UNKNOWN", "MANIFEST_UNKNOWN")) return new Set(known); // nothing was pulled yet
    throw thrown;
  }
}

async function lookAt(
  scene: Scene,
  repository: string,
  budget: number,
  notices: string[],
  signal: AbortSignal,
): Promise<readonly WantedTag[]> {
  const { plan, limits } = scene;
  const { door, name } = teller(scene, repository);
  const source = door.source(name);
  const held =
    plan.selectors === undefined ? await pulledBefore(scene, repository, notices, signal) : new Set<string>();
  const list = await door.puller.tags(source, limits.tags, signal);
  if (!list.complete)
    notices.push(`${repository} has more than ${list.names.length} tags, and only these are looked at`);
  const follow = tagsToFollow(plan, list.names, held);
  if (follow.length > budget)
    notices.push(
      `more than ${limits.followed} tags are to be followed, and only the newest are; set spec.refresh.keep, or narrow spec.refresh.tags`,
    );
  const wanted = new Map<string, WantedTag>();
  await inParallel(follow.slice(0, budget), WIDTH, async (tag) => {
    const digest = await door.puller.resolve(source, tag, signal);
    if (digest !== undefined) wanted.set(tag, { repository, tag, digest });
  });
  return follow.flatMap((tag) => wanted.get(tag) ?? []);
}

/**
 * Finds out what the cache should hold for a rule: lists the tags of its repositories, chooses, and asks what each names. What fails for
 * one repository does not hold up the others, unless the registry asks to be left alone.
 */
export async function look(scene: Scene, signal: AbortSignal): Promise<Sight> {
  const notices: string[] = [];
  const failures: unknown[] = [];
  const wanted: WantedTag[] = [];
  const seen = new Set<string>();
  for (const repository of await repositoriesOf(scene, notices, signal)) {
    try {
      wanted.push(...(await lookAt(scene, repository, scene.limits.followed - wanted.length, notices, signal)));
      seen.add(repository);
    } catch (thrown) {
      signal.throwIfAborted();
      failures.push(thrown);
      if (isRegistryError(thrown, "REGISTRY_THROTTLED")) break;
    }
  }
  return { wanted, seen, failures, notices: [...new Set(notices)] };
}
