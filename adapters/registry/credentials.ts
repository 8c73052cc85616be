import { DomainError } from "../../core/errors.ts";
import { isObjectName } from "../../core/objectnames.ts";
import type { Keychain } from "../../core/policy/types.ts";
import { type CredentialEntry, type PullSecret, parsePullSecret } from "../../core/registry/docker-config.ts";
import { createKeychain } from "../../core/registry/keychain.ts";
import { isKubeError } from "../kube/errors.ts";
import { Resources } from "../kube/resources.ts";
import type { KubeClient, KubeObject } from "../kube/types.ts";

export type KeychainErrorCode = "PULL_SECRETS_EXCESSIVE";

/** Whose pull Secrets count: the Pod's own and its ServiceAccount's, as kubelet and the ServiceAccount admission plugin combine them. */
export interface PodCredentials {
  readonly namespace: string;
  /** `default` if absent or empty. */
  readonly serviceAccountName?: string;
  readonly imagePullSecrets: readonly string[];
}

/** A keychain that is read when it is first asked for, and once: an admission that needs no registry reads no Secret. */
export type LazyKeychain = () => Promise<Keychain>;

/** Told of a Secret that exists but is of no use, by name and reason; never of its content. */
export type OnUnusableSecret = (namespace: string, name: string, problem: string) => void;

interface Secret extends KubeObject, PullSecret {}

interface ServiceAccount extends KubeObject {
  readonly imagePullSecrets?: readonly { readonly name?: string }[];
}

// A Pod's author chooses how many Secrets it names, and each costs a request to the API server.
const SECRETS_LIMIT = 32;

interface Reader {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly signal: AbortSignal;
  readonly onUnusable: OnUnusableSecret | undefined;
}

async function optional<T>(get: Promise<T>): Promise<T | undefined> {
  try {
    return await get;
  } catch (thrown) {
    if (isKubeError(thrown, "NOT_FOUND")) return undefined;
    throw thrown;
  }
}

async function secretsOf({ client, namespace, signal }: Reader, serviceAccount: string): Promise<readonly string[]> {
  if (!isObjectName(serviceAccount)) return [];
  const account = await optional(
    client.get<ServiceAccount>(Resources.serviceAccounts, serviceAccount, { namespace, signal }),
  );
  return (account?.imagePullSecrets ?? []).flatMap(({ name }) => name ?? []);
}

async function entriesOf(
  { client, namespace, signal, onUnusable }: Reader,
  name: string,
): Promise<readonly CredentialEntry[]> {
  const secret = await optional(client.get<Secret>(Resources.secrets, name, { namespace, signal }));
  if (secret === undefined) return [];
  const { entries, problem } = parsePullSecret(secret);
  if (problem !== undefined) onUnusable?.(namespace, name, problem);
  return entries;
}

async function read(reader: Reader, named: readonly string[]): Promise<Keychain> {
  const names = [...new Set(named)].filter(isObjectName); // nothing else can exist
  if (names.length > SECRETS_LIMIT) {
    const why = `${names.length} imagePullSecrets are named in namespace ${reader.namespace}; at most ${SECRETS_LIMIT} are read`;
    throw new DomainError<KeychainErrorCode>("PULL_SECRETS_EXCESSIVE", why, { terminal: true });
  }
  return createKeychain((await Promise.all(names.map((name) => entriesOf(reader, name)))).flat());
}

function once(start: () => Promise<Keychain>): LazyKeychain {
  let started: Promise<Keychain> | undefined;
  return () => (started ??= start());
}

/**
 * The credentials that kubelet would pull a Pod's images with: its imagePullSecrets, then its ServiceAccount's. Missing objects are
 * ignored, as kubelet ignores them; any other failure to read one rejects with the `KubeError`, for an answer without the
 * credentials would be a wrong answer. Nothing is read before the first call.
 */
export function keychainForPod(
  client: KubeClient,
  { namespace, serviceAccountName, imagePullSecrets }: PodCredentials,
  signal: AbortSignal,
  onUnusable?: OnUnusableSecret,
): LazyKeychain {
  const reader = { client, namespace, signal, onUnusable };
  return once(async () =>
    read(reader, [...imagePullSecrets, ...(await secretsOf(reader, serviceAccountName || "default"))]),
  );
}

/** The credentials of the named Secrets alone: `source.signaturePullSecrets` of a policy. Same promises as `keychainForPod`. */
export function keychainForSecrets(
  client: KubeClient,
  namespace: string,
  names: readonly string[],
  signal: AbortSignal,
  onUnusable?: OnUnusableSecret,
): LazyKeychain {
  return once(() => read({ client, namespace, signal, onUnusable }, names));
}
