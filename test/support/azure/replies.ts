import type { AzureReply, AzureRequestSeen } from "./server.ts";

export const SUBSCRIPTION = "00000000-0000-0000-0000-000000000000";
export const GROUP = "myResourceGroup";
export const REGISTRY = "myRegistry";
export const REGISTRY_ID = `/subscriptions/${SUBSCRIPTION}/resourceGroups/${GROUP}/providers/Microsoft.ContainerRegistry/registries/${REGISTRY}`;
export const TOKEN = "token-of-a-test";
export const TENANT = "00000000-0000-0000-0000-000000000001";
export const SECRET = "client-secret-of-a-test";

export type Kind = "cacheRules" | "credentialSets";

export interface Properties {
  readonly creationDate: string;
  provisioningState: string;
  credentialSetResourceId?: string;
  sourceRepository?: string;
  targetRepository?: string;
  loginServer?: string;
  authCredentials?: readonly object[];
}

export interface Stored {
  readonly kind: Kind;
  readonly name: string;
  readonly principalId: string;
  properties: Properties;
  modifiedAt: string;
  /** How many reads still see it under way. */
  readsLeft: number;
}

/** How the fake behaves; change it in a test. */
export interface Behaviour {
  /** How many reads see an operation under way. */
  reads: number;
  /** Health of credentials that are made from now on. */
  health: object;
  lowerCase: boolean;
  /** The length of the URLs that tell how an operation stands. */
  pollUrlLength: number;
  pageSize: number;
  /** Answers in place of the fake, or after it (`cut`) did what it was asked. */
  fault: (request: AzureRequestSeen) => AzureReply | undefined;
  /** Answers token requests. */
  login: (request: AzureRequestSeen) => AzureReply;
}

export function json(status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): AzureReply {
  return {
    status,
    headers: { "content-type": "application/json; charset=utf-8", ...headers },
    text: JSON.stringify(body),
  };
}

/** An error in ARM's common format. */
export function failure(status: number, code: string, message: string, more: object = {}): AzureReply {
  return json(status, { error: { code, message, ...more } });
}

/** Microsoft Entra ID's answers to whoever wants a token of the server at `url`. */
export function tokenReply({ path }: AzureRequestSeen, url: string): AzureReply {
  const base = `${url}/${TENANT}`;
  if (!path.includes("openid-configuration")) {
    return json(200, { token_type: "Bearer", expires_in: 3600, access_token: TOKEN });
  }
  return json(200, {
    issuer: `${base}/v2.0`,
    authorization_endpoint: `${base}/oauth2/v2.0/authorize`,
    token_endpoint: `${base}/oauth2/v2.0/token`,
    jwks_uri: `${base}/keys`,
  });
}
