import { readFileSync } from "node:fs";
import type { KmsSettings } from "../../adapters/kms/client.ts";
import type { VaultLogin, VaultSettings } from "../../adapters/kms/vault.ts";
import { messageOf } from "../../core/errors.ts";

const SERVICE_ACCOUNT_TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/** The names that sigstore's azure package takes for clouds, and where each gives out tokens. */
const AZURE_AUTHORITIES: Readonly<Record<string, string>> = {
  AZUREUSGOVERNMENT: "https://login.microsoftonline.us",
  AZUREUSGOVERNMENTCLOUD: "https://login.microsoftonline.us",
  AZURECHINACLOUD: "https://login.chinacloudapi.cn",
};

type Text = (...names: readonly string[]) => string | undefined;

/**
 * What of the environment decides how key management services are reached, by the names that the vendors' tools and sigstore use. The
 * SDKs of AWS, Azure and Google find their credentials in it by themselves. What is wrong is added to `problems`; no value of a secret is.
 */
export function readKmsSettings(env: NodeJS.ProcessEnv, problems: string[]): KmsSettings {
  const text: Text = (...names) => names.map((name) => env[name]).find((value) => value !== undefined && value !== "");
  const region = text("AWS_REGION", "AWS_DEFAULT_REGION");
  const authority = text("AZURE_AUTHORITY_HOST") ?? AZURE_AUTHORITIES[text("AZURE_ENVIRONMENT") ?? ""];
  const vault = vaultSettings(text, problems);
  return {
    aws: { ...(region !== undefined && { region }) },
    azure: { ...(authority !== undefined && { authorityHost: authority }) },
    google: {},
    ...(vault !== undefined && { vault }),
  };
}

function vaultSettings(text: Text, problems: string[]): VaultSettings | undefined {
  const address = text("VAULT_ADDR", "BAO_ADDR");
  if (address === undefined) return undefined;
  if (!/^https?:\/\//.test(address) || !URL.canParse(address)) {
    problems.push("VAULT_ADDR is no http or https URL");
    return undefined;
  }
  const namespace = text("VAULT_NAMESPACE", "BAO_NAMESPACE");
  const ca = certificate(text("VAULT_CACERT", "BAO_CACERT"), problems);
  return {
    address,
    transitPath: text("TRANSIT_SECRET_ENGINE_PATH") ?? "transit",
    login: vaultLogin(text),
    ...(namespace !== undefined && { namespace }),
    ...(ca !== undefined && { ca }),
  };
}

function vaultLogin(text: Text): VaultLogin {
  const token = text("VAULT_TOKEN", "BAO_TOKEN");
  if (token !== undefined) return { kind: "token", token };
  const role = text("VAULT_KUBERNETES_ROLE");
  if (role === undefined) return { kind: "none" };
  return {
    kind: "kubernetes",
    role,
    mount: text("VAULT_KUBERNETES_MOUNT") ?? "kubernetes",
    tokenFile: text("VAULT_KUBERNETES_TOKEN_FILE") ?? SERVICE_ACCOUNT_TOKEN,
  };
}

function certificate(path: string | undefined, problems: string[]): string | undefined {
  if (path === undefined) return undefined;
  try {
    return readFileSync(path, "utf8");
  } catch (thrown) {
    problems.push(`VAULT_CACERT: ${messageOf(thrown)}`);
    return undefined;
  }
}
