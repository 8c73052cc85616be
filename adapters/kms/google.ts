import type { KeyManagementServiceClient } from "@google-cloud/kms";
import { abortable } from "../deadline.ts";
import { KmsError, type KmsErrorCode, networkCodeOf, wordOf } from "./errors.ts";
import type { GoogleKey } from "./uri.ts";

export interface GoogleSettings {
  /** Another server than Google's. */
  readonly endpoint?: { readonly host: string; readonly port: number; readonly protocol: "http" | "https" };
}

type Client = KeyManagementServiceClient;

const VERSIONS_LIMIT = 1_000;
/** Whoever asks tries again. */
const ONCE = { retry: null, timeout: 10_000 };

/**
 * The public key of a Google Cloud KMS key version, or of the newest enabled one (`cloudkms.cryptoKeyVersions.viewPublicKey`, and `.list`
 * where the URI names no version), over REST. Credentials are Application Default Credentials. Throws `KmsError`.
 */
export async function googlePublicKey(key: GoogleKey, settings: GoogleSettings, signal: AbortSignal): Promise<string> {
  const google = await import("@google-cloud/kms");
  const { host, port, protocol } = settings.endpoint ?? {};
  const elsewhere = host === undefined ? {} : { apiEndpoint: host, port: port ?? 443, protocol: protocol ?? "https" };
  const client = new google.KeyManagementServiceClient({ fallback: true, ...elsewhere });
  try {
    const name = await abortable(versionName(key, client), signal);
    const [answer] = await abortable(client.getPublicKey({ name }, ONCE), signal);
    if (!String(answer.algorithm).includes("_SIGN_"))
      throw new KmsError("KMS_KEY_UNUSABLE", `its algorithm is ${wordOf(answer.algorithm)}, which does not sign`);
    return answer.pem ?? "";
  } catch (thrown) {
    if (signal.aborted) throw signal.reason;
    throw failureOf(thrown);
  } finally {
    await client.close().catch(() => undefined);
  }
}

/** The resource name of the version to read: the newest enabled one, unless the key says which. Throws `KMS_KEY_NOT_FOUND`. */
async function versionName({ cryptoKey, version }: GoogleKey, client: Client): Promise<string> {
  if (version !== undefined) return `${cryptoKey}/cryptoKeyVersions/${version}`;
  const request = { parent: cryptoKey, filter: "state=ENABLED", pageSize: VERSIONS_LIMIT };
  const [versions] = await client.listCryptoKeyVersions(request, { ...ONCE, autoPaginate: false });
  const enabled = versions.flatMap(({ name, state }) => (name && (state === "ENABLED" || state === 1) ? [name] : []));
  const numberOf = (name: string): number => Number(/\/([0-9]+)$/.exec(name)?.[1] ?? 0);
  const newest = enabled.toSorted((a, b) => numberOf(b) - numberOf(a))[0];
  if (newest === undefined) throw new KmsError("KMS_KEY_NOT_FOUND", "the key has no enabled version");
  return newest;
}

// google.rpc.Code
const BY_CODE: Readonly<Record<number, readonly [KmsErrorCode, string]>> = {
  5: ["KMS_KEY_NOT_FOUND", "has no such key or version"],
  7: ["KMS_FORBIDDEN", "does not allow the operator's identity to view the public key (or to list versions)"],
  9: ["KMS_KEY_UNUSABLE", "says that the key version is not enabled, or not asymmetric"],
  16: ["KMS_UNAUTHENTICATED", "does not take the operator's token"],
};

function failureOf(thrown: unknown): KmsError {
  if (thrown instanceof KmsError) return thrown;
  const network = networkCodeOf(thrown);
  if (network !== undefined)
    return new KmsError("KMS_UNREACHABLE", `cannot talk to Google Cloud KMS (${network})`, { cause: thrown });
  const { code, message } = thrown as { code?: unknown; message?: unknown };
  if (typeof message === "string" && /default credentials/i.test(message))
    return new KmsError(
      "KMS_UNAUTHENTICATED",
      "Google Cloud KMS was not asked: the operator has no credentials; give its ServiceAccount a workload identity",
      { cause: thrown },
    );
  const [kind, why] = BY_CODE[typeof code === "number" ? code : 0] ?? ["KMS_FAILED", "did not give the public key"];
  return new KmsError(
    kind as KmsErrorCode,
    `Google Cloud KMS ${why} (code ${typeof code === "number" ? code : wordOf(code)})`,
    {
      cause: thrown,
    },
  );
}
