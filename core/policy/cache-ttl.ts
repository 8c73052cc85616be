import type { ANNOTATION } from "../../crds/names.ts";
import { LONGEST_CACHE_TTL_SECONDS, parseDuration } from "../admission/config.ts";

const NAME: typeof ANNOTATION.cacheTtl = "entrepot.dev/cache-ttl";

/** What a policy's annotation `entrepot.dev/cache-ttl` says. */
export interface PolicyCacheTtl {
  /** How long its results are believed, in seconds; 0: they are never cached. Absent: as the ConfigMap says. */
  readonly seconds?: number;
  /** Why the annotation has no effect, in words for its author. */
  readonly problem?: string;
}

/**
 * Reads `entrepot.dev/cache-ttl` of a ClusterImagePolicy: a duration between 1s and 30d as for the ConfigMap's `dev.entrepot.cache-ttl`, or
 * `0` (`0s`) for a policy whose results are never cached. Anything else counts as absent and is named in `problem`.
 */
export function policyCacheTtl(annotations: Readonly<Record<string, string>> | undefined): PolicyCacheTtl {
  const text = annotations?.[NAME];
  if (text === undefined) return {};
  const seconds = text === "0" ? 0 : parseDuration(text);
  if (seconds !== undefined && seconds <= LONGEST_CACHE_TTL_SECONDS) return { seconds };
  const longest = LONGEST_CACHE_TTL_SECONDS / (24 * 3600);
  return {
    problem: `metadata.annotations[${NAME}]: "${text.slice(0, 64)}" is no duration between 1s and ${longest}d, nor 0 (never cached); dev.entrepot.cache-ttl of config-policy-controller is used`,
  };
}
