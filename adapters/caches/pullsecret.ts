import { DomainError } from "../../core/errors.ts";
import type { Keychain } from "../../core/policy/types.ts";
import { type PullSecret, parsePullSecret } from "../../core/registry/docker-config.ts";
import { ANONYMOUS, createKeychain } from "../../core/registry/keychain.ts";
import type { CacheRegistryObject } from "../../crds/index.ts";
import { type CacheAccessErrorCode, keychainFor, type SecretLookup } from "./place.ts";

function text(secret: PullSecret, key: string): string {
  return Buffer.from(secret.data?.[key] ?? "", "base64").toString("utf8");
}

/**
 * What a registry product at `host` is pulled from with: the Secret that `spec.pullSecretRef` names in the system namespace; nobody's
 * credentials without. Throws `CACHE_CREDENTIALS`.
 */
export function pullKeychain(
  registry: CacheRegistryObject,
  host: string,
  options: { readonly namespace: string; readonly secret: SecretLookup },
): Keychain {
  const name = registry.spec.pullSecretRef?.name;
  if (name === undefined) return ANONYMOUS;
  const problem = (why: string) =>
    new DomainError<CacheAccessErrorCode>(
      "CACHE_CREDENTIALS",
      `Secret "${name}" (spec.pullSecretRef of CacheRegistry "${registry.metadata.name}") in namespace ${options.namespace} ${why}`,
    );
  const secret = options.secret(name);
  if (secret === undefined) throw problem("does not exist; create it there");
  if (secret.type === "kubernetes.io/basic-auth") {
    const [username, password] = [text(secret, "username"), text(secret, "password")];
    if (username === "" || password === "") throw problem("has an empty username or password; fill in both");
    return keychainFor(host, { username, password });
  }
  const { entries, problem: unusable } = parsePullSecret(secret);
  if (entries.length === 0) throw problem(`can't be used: ${unusable ?? "it has no entries"}`);
  return createKeychain(entries);
}
