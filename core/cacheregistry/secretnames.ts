import type { CacheRegistrySpec } from "../../crds/index.ts";

const REFERENCES = new Set(["secretRef", "clientSecretRef", "pullSecretRef", "secretRefs"]);

function collect(value: unknown, found: Set<string>, isReference = false): void {
  if (Array.isArray(value)) {
    for (const item of value) collect(item, found, isReference);
    return;
  }
  if (typeof value !== "object" || value === null) return;
  for (const [key, inner] of Object.entries(value)) {
    if (isReference && key === "name" && typeof inner === "string") found.add(inner);
    collect(inner, found, REFERENCES.has(key));
  }
}

/** The names of all Secrets, in the system namespace, that a CacheRegistry's spec speaks of, wherever in it. */
export function secretNames(spec: CacheRegistrySpec): ReadonlySet<string> {
  const found = new Set<string>();
  collect(spec, found);
  return found;
}
