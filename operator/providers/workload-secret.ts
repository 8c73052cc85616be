import { managedLabels, ownedBy, REGISTRY_LABEL, registryLabel } from "../../core/cacheregistry/labels.ts";
import { type CacheRegistryObject, REASON } from "../../crds/index.ts";
import type { SecretObject } from "../resources.ts";
import type { Pending } from "./provider.ts";

type Texts = Readonly<Record<string, string>>;

/** What a registry's Secret is to hold. Where no upstream has credentials it holds the same keys, empty, so that what mounts it starts. */
export interface WantedCredentials {
  readonly texts: Texts;
  /** Whether an upstream has credentials, so that there must be a Secret. */
  readonly required: boolean;
}

/** What to do about a registry's Secret. */
export type SecretStep =
  | { readonly do: "nothing" }
  | { readonly do: "create"; readonly secret: SecretObject }
  | { readonly do: "patch"; readonly patch: object }
  | { readonly do: "report"; readonly pending: Pending };

/** The texts of a Secret. */
export function textsOf(secret: SecretObject): Texts {
  return Object.fromEntries(
    Object.entries(secret.data ?? {}).map(([key, value]) => [key, Buffer.from(value, "base64").toString("utf8")]),
  );
}

/** Whether a Secret was made for this registry, and may be written to. */
export function isOwnSecret(secret: SecretObject | undefined, registry: CacheRegistryObject): secret is SecretObject {
  const labels = secret?.metadata.labels ?? {};
  const ours = labels["app.kubernetes.io/managed-by"] === "entrepot";
  return ours && labels[REGISTRY_LABEL] === registryLabel(registry.metadata.name);
}

function base64(texts: Texts): Record<string, string> {
  return Object.fromEntries(
    Object.entries(texts).map(([key, text]) => [key, Buffer.from(text, "utf8").toString("base64")]),
  );
}

function newSecret(registry: CacheRegistryObject, name: string, namespace: string, texts: Texts): SecretObject {
  const label = registryLabel(registry.metadata.name);
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: {
      name,
      namespace,
      labels: managedLabels(registry.metadata.name, "credentials", label),
      ownerReferences: ownedBy(registry.metadata),
    },
    type: "Opaque",
    data: base64(texts),
  };
}

/** What to do about a registry's Secret `name`, of which `live` is there. One that Entrepot did not make is never written to. */
export function secretStep(
  registry: CacheRegistryObject,
  name: string | undefined,
  namespace: string,
  live: SecretObject | undefined,
  { texts, required }: WantedCredentials,
): SecretStep {
  const report = (reason: Pending["reason"], message: string): SecretStep =>
    required ? { do: "report", pending: { done: false, reason, message } } : { do: "nothing" };
  if (name === undefined) {
    return report(
      REASON.InvalidSpec,
      "an upstream has credentials: name a Secret for them in credentialsSecretName, and give it to the workload",
    );
  }
  if (live === undefined) return { do: "create", secret: newSecret(registry, name, namespace, texts) };
  if (!isOwnSecret(live, registry)) {
    return report(
      REASON.ForeignRule,
      `Secret "${name}" exists and Entrepot did not make it; it is never overwritten: delete it, or give credentialsSecretName another name`,
    );
  }
  const wanted = base64(texts);
  const keys = [...new Set([...Object.keys(live.data ?? {}), ...Object.keys(wanted)])];
  if (keys.every((key) => live.data?.[key] === wanted[key])) return { do: "nothing" };
  const data = Object.fromEntries(keys.map((key) => [key, wanted[key] ?? null]));
  return { do: "patch", patch: { metadata: { resourceVersion: live.metadata.resourceVersion }, data } };
}
