import type { CacheRegistryObject, Reason, UpstreamCredentials } from "../../crds/index.ts";
import { shownHost } from "../cacheregistry/upstream.ts";
import { type AzureRegistry, armKey, azureName, azureRegistryId, azureState } from "./azure-names.ts";

/** A credential set as Azure Resource Manager describes it (API 2025-11-01, `CredentialSet`). */
export interface AzureCredentialSet {
  readonly name: string;
  readonly loginServer: string;
  readonly usernameSecretId?: string;
  readonly passwordSecretId?: string;
  /** `Healthy` or `Unhealthy`, in whatever case. */
  readonly health?: string;
  /** Why it is unhealthy, a plain word. */
  readonly healthCode?: string;
  /** Its own identity, which reads the secrets. */
  readonly principalId?: string;
  readonly provisioningState?: string;
}

/** The credential set that an upstream is to be read with: one that Entrepot makes, or one of the user's. */
export interface WantedSet {
  readonly name: string;
  readonly id: string;
  readonly loginServer: string;
  /** Absent for a set of the user's. */
  readonly secrets?: { readonly username: string; readonly password: string };
}

/** What to do about a credential set. `note` writes down that it is about to be made. */
export type SetStep =
  | { readonly do: "note" | "create" | "update" | "wait" | "use" }
  | { readonly do: "report"; readonly reason: Reason; readonly message: string };

/** The credential set of an upstream; undefined where it is read anonymously. */
export function wantedSet(
  azure: AzureRegistry,
  registry: string,
  host: string,
  credentials: UpstreamCredentials | undefined,
): WantedSet | undefined {
  const loginServer = shownHost(host);
  const { keyVault, credentialSetName } = credentials ?? {};
  const derived = () => azureName(`entrepot-${loginServer}`, `${registry}/${loginServer}`, true);
  const name = keyVault === undefined ? credentialSetName : (keyVault.credentialSetName ?? derived());
  if (name === undefined) return undefined;
  const id = `${azureRegistryId(azure)}/credentialSets/${name}`;
  if (keyVault === undefined) return { name, id, loginServer };
  return {
    name,
    id,
    loginServer,
    secrets: { username: keyVault.usernameSecretId, password: keyVault.passwordSecretId },
  };
}

/** The ARM id of the credential set of an upstream; undefined where it is read anonymously. */
export function azureSetId(
  azure: AzureRegistry,
  registry: string,
  host: string,
  credentials: UpstreamCredentials | undefined,
): string | undefined {
  return wantedSet(azure, registry, host, credentials)?.id;
}

/**
 * The credential sets that Entrepot made for each upstream, or was about to, as the status tells, by the upstream's host. Only while one
 * takes the place of another there are two of them, with a space between.
 */
export function notedSets(registry: Pick<CacheRegistryObject, "status">): ReadonlyMap<string, readonly string[]> {
  const upstreams = registry.status?.upstreams ?? [];
  return new Map(upstreams.map(({ host, remoteId }) => [host, remoteId?.split(" ").filter((id) => id !== "") ?? []]));
}

/** Whether one of the noted ids is this one. */
export function isNoted(noted: readonly string[], id: string): boolean {
  return noted.some((each) => armKey(each) === armKey(id));
}

function secretKey(uri: string | undefined): string {
  return (uri ?? "").toLowerCase().replace(/\/+$/, "");
}

function hasOtherSecrets({ secrets }: WantedSet, found: AzureCredentialSet): boolean {
  return (
    secrets !== undefined &&
    (secretKey(secrets.username) !== secretKey(found.usernameSecretId) ||
      secretKey(secrets.password) !== secretKey(found.passwordSecretId))
  );
}

/** What to do about a credential set of which there is none. `noted`: it was written down that it is about to be made. */
function decideAbsent(wanted: WantedSet, noted: boolean): SetStep {
  if (wanted.secrets !== undefined) return { do: noted ? "create" : "note" };
  const message = `credential set "${wanted.name}" does not exist in the registry: make it, or let Entrepot make one with credentials.keyVault`;
  return { do: "report", reason: "SecretNotFound", message };
}

/** What to do about a credential set that is there and is not Entrepot's: it is used if it fits, and never written to. */
function decideForeign(wanted: WantedSet, found: AzureCredentialSet): SetStep {
  if (!hasOtherSecrets(wanted, found)) return { do: "use" };
  const message = `the registry already has a credential set "${wanted.name}" with other secrets, which Entrepot did not make; name another in credentials.keyVault.credentialSetName, or use that one as it is with credentials.credentialSetName`;
  return { do: "report", reason: "ForeignRule", message };
}

/**
 * What to do about the credential set of an upstream. `found` is the one of that name; `noted` says whether the status has it as made by
 * Entrepot. Only such a one is ever changed.
 */
export function decideSet(
  wanted: WantedSet,
  found: AzureCredentialSet | undefined,
  noted: boolean,
  drift: "Correct" | "Report",
): SetStep {
  if (found === undefined) return decideAbsent(wanted, noted);
  if (!isFor(found, wanted.loginServer)) {
    const message = `credential set "${wanted.name}" is for another upstream than ${wanted.loginServer}, and Azure can't change that; name another one`;
    return { do: "report", reason: noted ? "ImmutableChange" : "ForeignRule", message };
  }
  const state = azureState(found.provisioningState);
  if (state === "changing") return { do: "wait" };
  if (!noted || wanted.secrets === undefined) return decideForeign(wanted, found);
  if (hasOtherSecrets(wanted, found)) {
    if (drift === "Correct") return { do: "update" };
    const message = `credential set "${wanted.name}" has other secrets than declared and driftPolicy is Report; change it in Azure, or set driftPolicy: Correct`;
    return { do: "report", reason: "Drifted", message };
  }
  if (state !== "failed") return { do: "use" };
  const message = `Azure could not make credential set "${wanted.name}"; delete it there and Entrepot makes it again`;
  return { do: "report", reason: "RemoteError", message };
}

/** Whether a set is for this upstream: one by the name of ours that is not has been made anew by somebody else. */
export function isFor(found: AzureCredentialSet, loginServer: string): boolean {
  return found.loginServer.toLowerCase() === loginServer;
}

function vaultOf(uri: string | undefined): string {
  return uri !== undefined && URL.canParse(uri) ? new URL(uri).host : "the key vault";
}

/** What Azure says of the credentials in a set, for people. */
export function setHealth(found: AzureCredentialSet): {
  readonly status: "True" | "False" | "Unknown";
  readonly message: string;
} {
  const { name, loginServer, principalId, healthCode } = found;
  const what = `credential set "${name}" for ${loginServer}`;
  const status = found.health?.toLowerCase();
  if (status === "healthy") return { status: "True", message: `${what} is healthy` };
  if (status !== "unhealthy") return { status: "Unknown", message: `Azure does not say whether ${what} works` };
  const why = healthCode === undefined ? "" : ` (${healthCode})`;
  const vault = vaultOf(found.passwordSecretId ?? found.usernameSecretId);
  const grant =
    principalId === undefined
      ? `let its identity read the secrets in ${vault}`
      : `grant principal ${principalId} the role Key Vault Secrets User (or an access policy with get on secrets) in ${vault}`;
  return {
    status: "False",
    message: `${what} is unhealthy${why}: ${grant}, and check that user name and password there are right`,
  };
}
