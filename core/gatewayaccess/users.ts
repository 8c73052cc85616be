import { readCredentials, type SecretContent } from "../cacheregistry/credentials.ts";
import { type PasswordHashes, saltFor } from "./passwords.ts";
import type { AccessProblem, ClientUser, GatewaySpec } from "./types.ts";

/** A Secret of the system namespace, by name. */
export type SecretLookup = (name: string) => SecretContent | undefined;

/** The users of `spec.inCluster.clients.secretRefs`. A Secret that is missing or unusable lets nobody in, and is a problem. */
export async function readUsers(
  spec: Pick<GatewaySpec, "clients">,
  registryUid: string,
  secret: SecretLookup,
  hashes: PasswordHashes,
): Promise<{ readonly users: readonly ClientUser[]; readonly problems: readonly AccessProblem[] }> {
  const users: ClientUser[] = [];
  const problems: AccessProblem[] = [];
  for (const { name } of spec.clients?.secretRefs ?? []) {
    const found = secret(name);
    if (found === undefined) {
      problems.push({
        reason: "SecretNotFound",
        message: `Secret "${name}" of spec.inCluster.clients.secretRefs does not exist in the system namespace: create it there, or remove the reference`,
      });
      continue;
    }
    const read = readBasicAuth(found);
    if (read.kind === "problem") {
      problems.push({ reason: "SecretInvalid", message: `${read.message} (spec.inCluster.clients.secretRefs)` });
      continue;
    }
    const { username, password } = read.credentials;
    const salt = saltFor(registryUid, name, username);
    users.push({ secret: name, username, salt, hash: await hashes.of(password, salt) });
  }
  return { users, problems };
}

function readBasicAuth(secret: SecretContent): ReturnType<typeof readCredentials> {
  if (secret.type === "kubernetes.io/basic-auth") return readCredentials(secret, "");
  const message = `Secret "${secret.metadata.name}" has type "${secret.type ?? "Opaque"}"; make it of type kubernetes.io/basic-auth`;
  return { kind: "problem", message };
}
