import { createHash } from "node:crypto";
import type { CacheRegistrySpec } from "../../crds/index.ts";
import type { RemoteRule } from "./step.ts";

export type AzureRegistry = NonNullable<CacheRegistrySpec["azure"]>;

const NAME = /^[a-zA-Z0-9-]{5,50}$/; // of cache rules and credential sets: swagger 2025-11-01
const NAME_LIMIT = 50;

/** The ARM id of the registry, in the spelling of the spec. */
export function azureRegistryId({ subscriptionId, resourceGroup, registryName }: AzureRegistry): string {
  return `/subscriptions/${subscriptionId}/resourceGroups/${resourceGroup}/providers/Microsoft.ContainerRegistry/registries/${registryName}`;
}

/** Where management calls go, without a slash at the end: the audience of tokens is made of it. */
export function azureEndpoint({ endpoint = "https://management.azure.com" }: AzureRegistry): string {
  return endpoint.replace(/\/+$/, "");
}

/** The registry's login server. Each cloud has a domain of its own. */
export function azureLoginServer(azure: AzureRegistry): string {
  if (azure.loginServer !== undefined) return azure.loginServer;
  const host = new URL(azureEndpoint(azure)).hostname;
  const domain = host.endsWith(".usgovcloudapi.net")
    ? "azurecr.us"
    : host.endsWith(".chinacloudapi.cn")
      ? "azurecr.cn"
      : "azurecr.io";
  return `${azure.registryName.toLowerCase()}.${domain}`;
}

/** A name that Azure takes, unique to `identity`: `readable` where that can be, else as much of it as fits and a hash. */
export function azureName(readable: string, identity: string, hashed = false): string {
  if (!hashed && NAME.test(readable)) return readable;
  const hash = createHash("sha256").update(identity).digest("hex").slice(0, 8);
  const stem = readable.replace(/[^a-zA-Z0-9]+/g, "-").slice(0, NAME_LIMIT - hash.length - 1);
  return `${stem.replace(/-+$/, "")}-${hash}`;
}

/** ARM ids are compared without regard to case: services answer with `resourcegroups` for `resourceGroups`. */
export function armKey(id: string | undefined): string {
  return (id ?? "").toLowerCase().replace(/^\/*|\/+$/g, "");
}

/** How an operation on a resource stands, from `provisioningState` in whatever case; one that Azure adds later counts as under way. */
export function azureState(provisioningState: string | undefined): RemoteRule["state"] {
  const state = provisioningState?.toLowerCase() ?? "";
  if (state === "" || state === "succeeded") return "settled";
  return state === "failed" || state === "canceled" ? "failed" : "changing";
}

/** Whether the resource is on its way out. */
export function isDeleting(provisioningState: string | undefined): boolean {
  return provisioningState?.toLowerCase() === "deleting";
}
