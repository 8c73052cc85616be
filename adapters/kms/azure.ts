import { createPublicKey, type JsonWebKey } from "node:crypto";
import { getCACertificates } from "node:tls";
import { KmsError, type KmsErrorCode, networkCodeOf, wordOf } from "./errors.ts";
import type { AzureKey } from "./uri.ts";

export interface AzureSettings {
  /** Where tokens come from, as `https://login.microsoftonline.us`; the public cloud if absent. */
  readonly authorityHost?: string;
  /** More certificate authorities (PEM), beside the system's. */
  readonly ca?: string;
  /** For a vault that is not Microsoft's: the token that it asks for may be one for another name than its own. */
  readonly disableChallengeResourceVerification?: boolean;
}

/** Microsoft's own authorities know of each other; any other one must be believed by itself. */
const MICROSOFT =
  /^https:\/\/login\.(?:microsoftonline\.(?:com|us)|chinacloudapi\.cn|partner\.microsoftonline\.cn|windows\.net)(?:\/|$)/;

/** As much of the key of an Azure Key Vault as is used; `kty` has `-HSM` behind it where a module holds the key. */
export interface VaultJsonWebKey {
  readonly kty?: string;
  readonly crv?: string;
  readonly n?: Uint8Array;
  readonly e?: Uint8Array;
  readonly x?: Uint8Array;
  readonly y?: Uint8Array;
}

/**
 * The public key of a key in an Azure Key Vault or Managed HSM, by `keys/get`. Credentials are those of `DefaultAzureCredential`
 * (environment, workload identity, managed identity). Throws `KmsError`.
 */
export async function azurePublicKey(key: AzureKey, settings: AzureSettings, signal: AbortSignal): Promise<string> {
  const [{ KeyClient }, { DefaultAzureCredential }] = await Promise.all([
    import("@azure/keyvault-keys"),
    import("@azure/identity"),
  ]);
  const { authorityHost, ca } = settings;
  const tls = ca === undefined ? {} : { tlsOptions: { ca: [...getCACertificates("default"), ca].join("\n") } };
  const common = { ...tls, retryOptions: { maxRetries: 1 } };
  try {
    const authority =
      authorityHost === undefined ? {} : { authorityHost, disableInstanceDiscovery: !MICROSOFT.test(authorityHost) };
    const credential = new DefaultAzureCredential({ ...common, ...authority });
    const client = new KeyClient(key.vaultUrl, credential, {
      ...common,
      disableChallengeResourceVerification: settings.disableChallengeResourceVerification === true,
    });
    const version = key.version === undefined ? {} : { version: key.version };
    const found = await client.getKey(key.name, { ...version, abortSignal: signal });
    return publicKeyOf(found.key ?? {});
  } catch (thrown) {
    throw failureOf(thrown, new URL(key.vaultUrl).host);
  }
}

const COORDINATE_BYTES: Readonly<Record<string, number>> = { "P-256": 32, "P-384": 48, "P-521": 66 };

/** The PEM of a key as a vault describes it. Throws `KMS_KEY_UNUSABLE`. */
export function publicKeyOf({ kty = "", crv = "", n, e, x, y }: VaultJsonWebKey): string {
  const bytes = COORDINATE_BYTES[crv];
  const text = (value: Uint8Array | undefined, length = 0): string => {
    const raw = Buffer.from(value ?? new Uint8Array());
    return Buffer.concat([Buffer.alloc(Math.max(0, length - raw.length)), raw]).toString("base64url");
  };
  const jwk: JsonWebKey | undefined = kty.startsWith("RSA")
    ? { kty: "RSA", n: text(n), e: text(e) }
    : kty.startsWith("EC") && bytes !== undefined
      ? { kty: "EC", crv, x: text(x, bytes), y: text(y, bytes) }
      : undefined;
  if (jwk === undefined)
    throw new KmsError(
      "KMS_KEY_UNUSABLE",
      `a key of type ${wordOf(kty.replace("-", "_"))} does not sign images here: use EC (P-256, P-384, P-521) or RSA`,
    );
  return createPublicKey({ key: jwk, format: "jwk" }).export({ format: "pem", type: "spki" }).toString();
}

const BY_STATUS: Readonly<Record<number, readonly [KmsErrorCode, string]>> = {
  401: ["KMS_UNAUTHENTICATED", "does not take the operator's token"],
  403: ["KMS_FORBIDDEN", "does not allow keys/get to the operator's identity (or to its network)"],
  404: ["KMS_KEY_NOT_FOUND", "has no such key or version"],
};

function failureOf(thrown: unknown, where: string): KmsError {
  if (thrown instanceof KmsError) return thrown;
  const { name, statusCode, code } = thrown as { name?: unknown; statusCode?: unknown; code?: unknown };
  if (
    name === "AggregateAuthenticationError" ||
    name === "CredentialUnavailableError" ||
    name === "AuthenticationError"
  )
    return new KmsError(
      "KMS_UNAUTHENTICATED",
      `${where} was not asked: the operator got no Azure token (${wordOf(name)}); give its ServiceAccount a workload identity`,
      { cause: thrown },
    );
  const network = networkCodeOf(thrown);
  if (network !== undefined)
    return new KmsError("KMS_UNREACHABLE", `cannot talk to ${where} (${network})`, { cause: thrown });
  const [kind, why] = BY_STATUS[typeof statusCode === "number" ? statusCode : 0] ?? [
    "KMS_FAILED",
    "did not give the public key",
  ];
  const detail = typeof statusCode === "number" ? `HTTP status ${statusCode}` : wordOf(code ?? name);
  return new KmsError(kind as KmsErrorCode, `Azure Key Vault ${where} ${why} (${detail})`, { cause: thrown });
}
