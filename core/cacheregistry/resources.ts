import type { PodResources } from "./types.ts";

/**
 * `resources` of a container: what is given, whole, else the default. Empty parts are left out, as the API server leaves them out:
 * otherwise the live object would never be as wanted.
 */
export function containerResources(given: PodResources | undefined, fallback: PodResources): PodResources {
  const { requests, limits } = given ?? fallback;
  return {
    ...(requests !== undefined && Object.keys(requests).length > 0 && { requests }),
    ...(limits !== undefined && Object.keys(limits).length > 0 && { limits }),
  };
}
