import { messageOf } from "../../core/errors.ts";
import { parsePublicKeys } from "../../core/policy/publickeys.ts";
import { startDeadline } from "../deadline.ts";
import { type AwsSettings, awsPublicKey } from "./aws.ts";
import { type AzureSettings, azurePublicKey } from "./azure.ts";
import { KmsError } from "./errors.ts";
import { type GoogleSettings, googlePublicKey } from "./google.ts";
import { type KmsKey, parseKmsUri } from "./uri.ts";
import { type VaultSettings, vaultPublicKey } from "./vault.ts";

/** What is not in a URI. Credentials are not here, but Vault's: the vendors' SDKs find them where their users expect it. */
export interface KmsSettings {
  readonly aws: AwsSettings;
  readonly azure: AzureSettings;
  readonly google: GoogleSettings;
  /** Absent: no Vault is known. */
  readonly vault?: VaultSettings;
}

/** The public key behind the URI of a KMS, as PEM. Throws `KmsError`. */
export type FetchPublicKey = (uri: string, signal: AbortSignal) => Promise<string>;

const DEADLINE_MS = 20_000; // a token first, then the key; each with one more try

/**
 * Fetches public keys from AWS KMS, Azure Key Vault, Google Cloud KMS and HashiCorp Vault, each within `deadlineMs`. A vendor's SDK is
 * loaded when the first key of that vendor is asked for: most clusters have none.
 */
export function createKms(settings: KmsSettings, deadlineMs = DEADLINE_MS): FetchPublicKey {
  return async (uri, signal) => {
    const key = parseKmsUri(uri);
    using deadline = startDeadline(deadlineMs, signal);
    try {
      return usable(await fetchFrom(key, settings, deadline.signal));
    } catch (thrown) {
      if (signal.aborted) throw signal.reason;
      if (deadline.expired)
        throw new KmsError("KMS_TIMEOUT", `no answer within ${deadlineMs / 1000} s`, { cause: thrown });
      throw thrown instanceof KmsError
        ? thrown
        : new KmsError("KMS_FAILED", "no public key was given", { cause: thrown });
    }
  };
}

/** What a service calls a public key may be one that nothing here verifies with. */
function usable(pem: string): string {
  try {
    parsePublicKeys(pem);
    return pem;
  } catch (thrown) {
    throw new KmsError("KMS_KEY_UNUSABLE", `the key can't be used: ${messageOf(thrown)}`, { cause: thrown });
  }
}

function fetchFrom(key: KmsKey, settings: KmsSettings, signal: AbortSignal): Promise<string> {
  switch (key.provider) {
    case "awskms":
      return awsPublicKey(key, settings.aws, signal);
    case "azurekms":
      return azurePublicKey(key, settings.azure, signal);
    case "gcpkms":
      return googlePublicKey(key, settings.google, signal);
    case "hashivault":
      if (settings.vault === undefined)
        throw new KmsError("KMS_NOT_CONFIGURED", "VAULT_ADDR is not set for the operator");
      return vaultPublicKey(key, settings.vault, signal);
  }
}
