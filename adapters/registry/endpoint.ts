import { isPlainHttpHost } from "../../core/image/reference.ts";

/** Where a registry's API answers. */
export interface Endpoint {
  readonly base: URL;
  readonly plainHttp: boolean;
}

const HUB = "index.docker.io";
const HUB_API = "registry-1.docker.io"; // index.docker.io is the name in references, the API answers here

/** Whether a registry speaks plain HTTP; the default goes by its name alone. */
export type IsPlainHttp = (registry: string) => boolean;

/** The endpoint of `registry` (host[:port] as `normaliseHost` spells it). */
export function endpointOf(registry: string, isPlainHttp: IsPlainHttp = isPlainHttpHost): Endpoint {
  const plainHttp = isPlainHttp(registry);
  return { base: new URL(`${plainHttp ? "http" : "https"}://${registry === HUB ? HUB_API : registry}/`), plainHttp };
}
