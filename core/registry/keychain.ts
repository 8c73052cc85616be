import { normaliseHost } from "../image/reference.ts";
import type { Credentials, Keychain } from "../policy/types.ts";
import type { CredentialEntry } from "./docker-config.ts";

/** The keychain of nobody: every request is anonymous. */
export const ANONYMOUS: Keychain = { forRepository: () => [] };

/**
 * Whether one label fits a label's glob, in time linear in both. Only `*` is special: the rest of Go's filepath.Match, which kubelet
 * uses, cannot occur in a host name.
 */
export function labelMatches(glob: string, label: string): boolean {
  const [head = "", ...rest] = glob.split("*");
  const tail = rest.pop();
  if (tail === undefined) return glob === label;
  if (label.length < head.length + tail.length || !label.startsWith(head) || !label.endsWith(tail)) return false;
  let at = head.length;
  const end = label.length - tail.length;
  for (const part of rest) {
    const found = label.indexOf(part, at);
    if (found < 0 || found + part.length > end) return false;
    at = found + part.length;
  }
  return true;
}

function hostMatches(entry: CredentialEntry, host: string, port: string): boolean {
  const globs = entry.host.split(".");
  const labels = host.split(".");
  return (
    entry.port === port &&
    globs.length === labels.length &&
    globs.every((glob, i) => labelMatches(glob, labels[i] ?? ""))
  );
}

function keyOf(entry: CredentialEntry): string {
  return `${entry.host}${entry.port === "" ? "" : `:${entry.port}`}${entry.path}`;
}

/**
 * A keychain that looks up as kubelet's `BasicDockerKeyring` does: a host matches label by label with wildcards (`*.example.com`
 * is one label deep), the port must be equal, the path is a plain prefix; every match is given, in reverse order of the keys so that
 * the more specific path comes first. What kubelet would pull with is what signatures are looked up with.
 */
export function createKeychain(entries: readonly CredentialEntry[]): Keychain {
  const keyed = entries.map((entry) => ({ entry, key: keyOf(entry) }));
  keyed.sort((a, b) => (a.key === b.key ? 0 : a.key < b.key ? 1 : -1)); // stable: the first Secret's entry stays first
  return {
    forRepository(registry, repository) {
      const [, host = "", port = ""] = /^(.*?)(?::([0-9]{1,5}))?$/.exec(normaliseHost(registry)) ?? [];
      const matching = keyed.filter(
        ({ entry }) => hostMatches(entry, host, port) && `/${repository}`.startsWith(entry.path),
      );
      return distinct(matching.map(({ entry }) => entry.credentials));
    },
  };
}

function distinct(credentials: readonly Credentials[]): readonly Credentials[] {
  return credentials.filter(
    (one, i) =>
      credentials.findIndex(({ username, password }) => username === one.username && password === one.password) === i,
  );
}

/** Asks several keychains in turn. */
export function joinKeychains(...keychains: readonly Keychain[]): Keychain {
  return {
    forRepository: (registry, repository) =>
      distinct(keychains.flatMap((one) => one.forRepository(registry, repository))),
  };
}
