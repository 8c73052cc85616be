import type { AzureClient } from "../../../adapters/products/azure.ts";
import { REGISTRY_ID } from "./replies.ts";
import type { Example } from "./samples.ts";

const { signal } = new AbortController();

/** What Entrepot's client is asked to do for an operation of the contract. */
export type Act = (client: AzureClient, name: string, body: Body | undefined) => Promise<unknown>;
export interface Body {
  readonly properties: {
    readonly sourceRepository: string;
    readonly targetRepository: string;
    readonly credentialSetResourceId: string | null;
    readonly loginServer: string;
    readonly authCredentials: readonly {
      readonly usernameSecretIdentifier: string;
      readonly passwordSecretIdentifier: string;
    }[];
  };
}

function wanted(name: string, body: Body | undefined) {
  const { loginServer = "", authCredentials = [] } = body?.properties ?? {};
  const [credential] = authCredentials;
  const secrets = {
    username: credential?.usernameSecretIdentifier ?? "",
    password: credential?.passwordSecretIdentifier ?? "",
  };
  return { name, id: "", loginServer, secrets };
}

/** By the operation's id. */
export const ACTS: Readonly<Record<string, Act>> = {
  CacheRules_List: (client) => client.rules(signal),
  CacheRules_Get: (client, name) => client.rule(name, signal),
  CacheRules_Create: (client, name, body) => {
    const {
      sourceRepository: source = "",
      targetRepository: target = "",
      credentialSetResourceId,
    } = body?.properties ?? {};
    return client.createRule(name, { source, target, credentialSetId: credentialSetResourceId ?? "" }, signal);
  },
  CacheRules_Update: (client, name, body) =>
    client.setRuleCredentials(name, body?.properties.credentialSetResourceId ?? undefined, signal),
  CacheRules_Delete: (client, name) => client.deleteRule(name, signal),
  CredentialSets_List: (client) => client.credentialSets(signal),
  CredentialSets_Get: (client, name) => client.credentialSet(name, signal),
  CredentialSets_Create: (client, name, body) => client.createCredentialSet(wanted(name, body), signal),
  CredentialSets_Update: (client, name, body) => client.updateCredentialSet(wanted(name, body), signal),
  CredentialSets_Delete: (client, name) => client.deleteCredentialSet(name, signal),
};

/** What changes from one time to the next. */
export function lasting(body: unknown): unknown {
  const volatile = new Set(["systemData", "principalId", "tenantId", "creationDate", "credentialHealth"]);
  const text = JSON.stringify(body ?? null, (key, value: unknown) => (volatile.has(key) ? "*" : value));
  return JSON.parse(text) as unknown;
}

/** The example's HTTP method. */
export function methodOf({ operationId }: Example): string {
  const verb = operationId.split("_")[1] ?? "";
  return { Create: "PUT", Update: "PATCH", Delete: "DELETE" }[verb] ?? "GET";
}

/** The example's path and query. */
export function pathOf(example: Example): string {
  const { cacheRuleName, credentialSetName } = example.parameters;
  const kind = example.operationId.startsWith("CacheRules") ? "cacheRules" : "credentialSets";
  const name = cacheRuleName ?? credentialSetName;
  return `${REGISTRY_ID}/${kind}${name === undefined ? "" : `/${String(name)}`}?api-version=2025-11-01`;
}

/** The body of the example's request. */
export function bodyOf({ parameters }: Example): unknown {
  return Object.entries(parameters).find(([key]) => key.endsWith("Parameters"))?.[1];
}
