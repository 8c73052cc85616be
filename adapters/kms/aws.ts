import { createPublicKey } from "node:crypto";
import { getCACertificates } from "node:tls";
import { messageOf } from "../../core/errors.ts";
import { KmsError, type KmsErrorCode, networkCodeOf, wordOf } from "./errors.ts";
import { limitResponses } from "./limit.ts";
import type { AwsKey } from "./uri.ts";

export interface AwsSettings {
  /** For keys that are not named by an ARN. */
  readonly region?: string;
  /** More certificate authorities (PEM), beside the system's, for endpoints of one's own. */
  readonly ca?: string;
}

/**
 * The public key of an AWS KMS key, by `kms:GetPublicKey`. Credentials come from the SDK's default chain (environment, web identity of
 * EKS, Pod Identity, instance role). Throws `KmsError`.
 */
export async function awsPublicKey(key: AwsKey, settings: AwsSettings, signal: AbortSignal): Promise<string> {
  const region = key.region ?? settings.region;
  if (region === undefined)
    throw new KmsError("KMS_NOT_CONFIGURED", "the key has no region: name it by its ARN, or set AWS_REGION");
  const { KMSClient, GetPublicKeyCommand } = await import("@aws-sdk/client-kms");
  const ca = settings.ca === undefined ? {} : { ca: [...getCACertificates("default"), settings.ca] };
  const client = new KMSClient({
    region,
    maxAttempts: 2,
    requestHandler: { httpsAgent: ca },
    ...(key.endpoint !== undefined && { endpoint: `https://${key.endpoint}` }),
  });
  limitResponses(client.middlewareStack);
  try {
    const answer = await client.send(new GetPublicKeyCommand({ KeyId: key.keyId }), { abortSignal: signal });
    if (answer.KeyUsage !== "SIGN_VERIFY")
      throw new KmsError("KMS_KEY_UNUSABLE", `its key usage is ${wordOf(answer.KeyUsage)}, not SIGN_VERIFY`);
    const der = Buffer.from(answer.PublicKey ?? new Uint8Array());
    return createPublicKey({ key: der, format: "der", type: "spki" })
      .export({ format: "pem", type: "spki" })
      .toString();
  } catch (thrown) {
    throw failureOf(thrown, key.endpoint ?? `KMS in ${region}`);
  } finally {
    client.destroy();
  }
}

const NAMED: Readonly<Record<string, readonly [KmsErrorCode, string]>> = {
  NotFoundException: ["KMS_KEY_NOT_FOUND", "has no such key; check id, account and region"],
  AccessDeniedException: ["KMS_FORBIDDEN", "does not allow kms:GetPublicKey to the operator's identity"],
  DisabledException: ["KMS_KEY_UNUSABLE", "says that the key is disabled"],
  KMSInvalidStateException: ["KMS_KEY_UNUSABLE", "says that the key's state does not allow it"],
  UnsupportedOperationException: ["KMS_KEY_UNUSABLE", "says that the key is not asymmetric"],
  InvalidKeyUsageException: ["KMS_KEY_UNUSABLE", "says that the key is not for signing"],
  CredentialsProviderError: [
    "KMS_UNAUTHENTICATED",
    "was not asked: the operator has no AWS credentials; give its ServiceAccount a role",
  ],
  UnrecognizedClientException: ["KMS_UNAUTHENTICATED", "does not know the operator's credentials"],
  ExpiredTokenException: ["KMS_UNAUTHENTICATED", "says that the operator's credentials have expired"],
};

function failureOf(thrown: unknown, where: string): KmsError {
  if (thrown instanceof KmsError) return thrown;
  const network = networkCodeOf(thrown);
  if (network !== undefined)
    return new KmsError("KMS_UNREACHABLE", `cannot talk to ${where} (${network})`, { cause: thrown });
  const name = wordOf(thrown instanceof Error ? thrown.name : undefined);
  const [code, why] = NAMED[name] ?? ["KMS_FAILED", "did not give the public key"];
  const detail = code === "KMS_FAILED" && name === "Error" ? messageOf(thrown).slice(0, 200) : name;
  return new KmsError(code, `AWS (${where}) ${why} (${detail})`, { cause: thrown });
}
