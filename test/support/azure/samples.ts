import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "../../../adapters/clock.ts";
import { AzureClient } from "../../../adapters/products/azure.ts";
import { openAzureSdk } from "../../../adapters/products/azure-session.ts";
import { CallGate } from "../../../adapters/products/gate.ts";
import { specFile } from "../specs.ts";
import { GROUP, REGISTRY, SECRET, SUBSCRIPTION, TENANT } from "./replies.ts";

/** One exchange with the real service, as azure-cli recorded it. */
export interface Recorded {
  readonly method: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly requestBody: unknown;
  readonly status: number;
  readonly responseHeaders: Readonly<Record<string, string>>;
  /** Absent where there was no body at all. */
  readonly responseBody?: unknown;
}

/** One of the examples beside Azure's description of the API. */
export interface Example {
  readonly title: string;
  readonly operationId: string;
  readonly parameters: Readonly<Record<string, unknown>>;
  readonly responses: Readonly<
    Record<string, { readonly headers?: Readonly<Record<string, string>>; readonly body?: unknown }>
  >;
}

/** The recorded exchanges in their order, of the registry that the tests speak of; empty where they are not to be had. */
export function recordedExchanges(): readonly Recorded[] {
  const file = specFile("azure-recorded-exchanges.json");
  if (file === undefined) return [];
  const text = readFileSync(file, "utf8")
    .replaceAll("{subscriptionId}", SUBSCRIPTION)
    .replaceAll("{resourceGroupName}", GROUP)
    .replaceAll("{registryName}", REGISTRY);
  return JSON.parse(text) as readonly Recorded[];
}

/** The official examples; empty where they are not to be had. */
export function examples(): readonly Example[] {
  const folder = specFile("azure-examples");
  if (folder === undefined) return [];
  return readdirSync(folder)
    .filter((name) => name.endsWith(".json"))
    .sort()
    .map((name) => JSON.parse(readFileSync(join(folder, name), "utf8")) as Example);
}

/** The operation that asks for how another one stands: Entrepot's client never does. */
export function isPoll(path: string): boolean {
  return /\/operation(?:Statuses|Results)\//.test(path);
}

/** Entrepot's client of the tests' registry, at a server. */
export async function clientAt(url: string): Promise<AzureClient> {
  const azure = {
    subscriptionId: SUBSCRIPTION,
    resourceGroup: GROUP,
    registryName: REGISTRY,
    endpoint: url,
    auth: { clientSecretRef: { name: "azure" } },
  };
  const identity = { kind: "secret", tenantId: TENANT, clientId: SUBSCRIPTION, clientSecret: SECRET } as const;
  const sdk = await openAzureSdk(azure, identity, { authorityHost: url }, systemClock);
  return new AzureClient(sdk, azure, new CallGate({ clock: systemClock }));
}
