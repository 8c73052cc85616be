import type { CacheRegistryObject } from "../../crds/index.ts";
import { type CacheProvider, type Providers, providerOf } from "./provider.ts";

/** The provider of a registry; undefined where this version has none for it. */
export function providerFor(registry: CacheRegistryObject, providers: Providers): CacheProvider | undefined {
  const kind = providerOf(registry.spec);
  return kind === undefined ? undefined : providers.get(kind);
}

/** The CacheRegistry that is the same one in its product and was there first, if there is one: that one alone is served. */
export function elderOf(
  registry: CacheRegistryObject,
  all: readonly CacheRegistryObject[],
  provider: CacheProvider,
): CacheRegistryObject | undefined {
  const age = ({ metadata }: CacheRegistryObject) => `${metadata.creationTimestamp} ${metadata.name}`;
  const identity = provider.identity(registry);
  return all.find(
    (other) =>
      other.metadata.uid !== registry.metadata.uid &&
      providerOf(other.spec) === provider.name &&
      provider.identity(other) === identity &&
      age(other) < age(registry),
  );
}
