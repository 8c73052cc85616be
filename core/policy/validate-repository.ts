import { isAuthority } from "./validate-uri.ts";

const CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789_-./";
const HUB = new Set(["docker.io", "index.docker.io"]);

/**
 * What is wrong with `source[].oci`, a registry or a repository with its registry, or undefined: the strict validation
 * of go-containerregistry's `name` package, in its words.
 */
export function repositoryProblem(oci: string): string | undefined {
  const slash = oci.indexOf("/");
  const first = slash < 0 ? "" : oci.slice(0, slash);
  if (!first.includes(".") && !first.includes(":")) return registryProblem(oci);
  const path = oci.slice(slash + 1);
  return pathProblem(path) ?? registryProblem(first) ?? implicitLibrary(first, path);
}

function registryProblem(registry: string): string | undefined {
  return isAuthority(registry) ? undefined : `registries must be valid RFC 3986 URI authorities: ${registry}`;
}

function pathProblem(path: string): string | undefined {
  const length = [...path].length;
  if (length < 2 || length > 255) return `repository must be between 2 and 255 characters in length: ${path}`;
  const legal = [...path].every((character) => CHARACTERS.includes(character));
  return legal ? undefined : `repository can only contain the characters \`${CHARACTERS}\`: ${path}`;
}

function implicitLibrary(registry: string, path: string): string | undefined {
  return HUB.has(registry) && !path.includes("/")
    ? "strict validation requires the full repository path (missing 'library')"
    : undefined;
}
