import { KmsError } from "./errors.ts";

export interface AwsKey {
  readonly provider: "awskms";
  /** `host:port` of another server than AWS's; it is spoken to by https. */
  readonly endpoint?: string;
  /** As the API takes it: key id, key ARN, `alias/NAME` or alias ARN. */
  readonly keyId: string;
  /** That of the ARN. */
  readonly region?: string;
}

export interface AzureKey {
  readonly provider: "azurekms";
  /** `https://NAME.vault.azure.net`. */
  readonly vaultUrl: string;
  readonly name: string;
  readonly version?: string;
}

export interface GoogleKey {
  readonly provider: "gcpkms";
  /** `projects/…/locations/…/keyRings/…/cryptoKeys/…`. */
  readonly cryptoKey: string;
  readonly version?: string;
}

export interface VaultKey {
  readonly provider: "hashivault";
  readonly name: string;
}

export type KmsKey = AwsKey | AzureKey | GoogleKey | VaultKey;

// The expressions are those of github.com/sigstore/sigstore/pkg/signature/kms (aws, azure, gcp, hashivault; v1.10).
const AWS_KEY_ID = "m?r?k?-?[A-Fa-f0-9]{8}-?[A-Fa-f0-9]{4}-?[A-Fa-f0-9]{4}-?[A-Fa-f0-9]{4}-?[A-Fa-f0-9]{12}";
const AWS_ARN = "arn:(?:aws|aws-us-gov|aws-cn):kms:(?<region>[a-z0-9-]+):[0-9]{12}:";
const AWS = new RegExp(
  `^awskms://(?<endpoint>[^/]*)/(?<id>(?:${AWS_ARN})?(?:key/${AWS_KEY_ID}|alias/[^\\n]*)|${AWS_KEY_ID})$`,
);
const AZURE = /^azurekms:\/\/(?<host>[^/]+)\/(?<name>[^/]+)(?:\/(?<version>[a-z0-9]*))?$/;
const GOOGLE =
  /^gcpkms:\/\/(?<key>projects\/[^/]+\/locations\/[^/]+\/keyRings\/[^/]+\/cryptoKeys\/[^/]+)(?:\/(?:cryptoKeyVersions|versions)\/(?<version>[^/]+))?$/;
const VAULT = /^hashivault:\/\/(?<name>\w(?:[\w.-]*\w)?)$/;

const FORMS: Readonly<Record<KmsKey["provider"], string>> = {
  awskms: "awskms://[ENDPOINT]/[ID/ALIAS/ARN] (endpoint optional)",
  azurekms: "azurekms://[VAULT_NAME][VAULT_URL]/[KEY_NAME]/[VERSION (optional)]",
  gcpkms:
    "gcpkms://projects/[PROJECT_ID]/locations/[LOCATION]/keyRings/[KEY_RING]/cryptoKeys/[KEY]/cryptoKeyVersions/[VERSION]",
  hashivault: "hashivault://<key>",
};

/** Which key a URI names. Throws `KMS_URI_INVALID` with the form that its provider wants. */
export function parseKmsUri(uri: string): KmsKey {
  const provider = /^([a-z]+):\/\//.exec(uri)?.[1] ?? "";
  const key = parsers.get(provider)?.(uri);
  if (key !== undefined) return key;
  const form = FORMS[provider as KmsKey["provider"]] as string | undefined;
  throw new KmsError(
    "KMS_URI_INVALID",
    form === undefined
      ? `a KMS URI begins with one of ${[...parsers.keys()].map((name) => `${name}://`).join(", ")}`
      : `kms specification should be in the format ${form}`,
  );
}

const parsers: ReadonlyMap<string, (uri: string) => KmsKey | undefined> = new Map<
  string,
  (uri: string) => KmsKey | undefined
>([
  ["awskms", awsKey],
  ["azurekms", azureKey],
  ["gcpkms", googleKey],
  ["hashivault", vaultKey],
]);

function awsKey(uri: string): AwsKey | undefined {
  const { endpoint, id, region } = AWS.exec(uri)?.groups ?? {};
  // `key/ID` is no key id outside an ARN.
  if (id === undefined || (region === undefined && id.startsWith("key/"))) return undefined;
  if (endpoint && !isHost(endpoint)) return undefined;
  return { provider: "awskms", keyId: id, ...(endpoint && { endpoint }), ...(region !== undefined && { region }) };
}

function azureKey(uri: string): AzureKey | undefined {
  const { host, name, version } = AZURE.exec(uri)?.groups ?? {};
  if (host === undefined || name === undefined || !isHost(host)) return undefined;
  return { provider: "azurekms", vaultUrl: `https://${host}`, name, ...(version && { version }) };
}

function googleKey(uri: string): GoogleKey | undefined {
  const { key, version } = GOOGLE.exec(uri)?.groups ?? {};
  if (key === undefined || /[?#\s]/.test(uri)) return undefined;
  return { provider: "gcpkms", cryptoKey: key, ...(version !== undefined && { version }) };
}

function vaultKey(uri: string): VaultKey | undefined {
  const { name } = VAULT.exec(uri)?.groups ?? {};
  return name === undefined ? undefined : { provider: "hashivault", name };
}

/** Whether a text is a host with or without a port: nothing in it may turn the URL that it becomes into another one. */
function isHost(text: string): boolean {
  return /^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?$/.test(text);
}
