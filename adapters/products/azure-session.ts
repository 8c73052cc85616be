import type {
  ContainerRegistryManagementClient,
  ContainerRegistryManagementClientOptionalParams,
} from "@azure/arm-containerregistry";
import type { TokenCredentialOptions } from "@azure/identity";
import { type AzureRegistry, azureEndpoint } from "../../core/product/azure-names.ts";
import type { Clock } from "../clock.ts";
import { AzureAnswer, azureFailure } from "./azure-errors.ts";
import { ProductError } from "./errors.ts";

/** Who the operator is to Azure. */
export type AzureIdentity =
  /** Microsoft Entra Workload ID: what is absent comes from the environment that its webhook gives the Pod. */
  | { readonly kind: "workload"; readonly clientId?: string; readonly tenantId?: string }
  | { readonly kind: "secret"; readonly tenantId: string; readonly clientId: string; readonly clientSecret: string };

export interface AzureProductSettings {
  /** Where tokens come from; absent, AZURE_AUTHORITY_HOST (read by the SDK), else the public cloud's. */
  readonly authorityHost?: string;
}

type Policy = NonNullable<ContainerRegistryManagementClientOptionalParams["additionalPolicies"]>[number]["policy"];

const ANSWER_LIMIT = 8 * 1024 * 1024; // 1,000 rules in one page are below 1 MiB
const TOKEN_LIMIT = 256 * 1024;
const CALL_MS = 30_000;

/** Gives up answers that are too long or too slow: the SDK reads whatever comes. */
function limitAnswers(limit: number): Policy {
  return {
    name: "entrepotLimit",
    sendRequest: async (request, next) => {
      let isTooLong = false;
      if (request.timeout <= 0) request.timeout = CALL_MS;
      request.onDownloadProgress = ({ loadedBytes }) => {
        isTooLong = loadedBytes > limit;
        if (isTooLong) throw new Error("too long");
      };
      try {
        return await next(request);
      } catch (thrown) {
        if (isTooLong)
          throw new ProductError("PRODUCT_MALFORMED", `Azure's answer is longer than ${limit} bytes; it was not read`);
        throw thrown;
      }
    },
  };
}

/** Keeps requests, and with them the token, on the endpoint, and turns every answer but a success into an `AzureAnswer`. */
function checkAnswers(endpoint: string, clock: Pick<Clock, "now">): Policy {
  const { origin } = new URL(endpoint);
  return {
    name: "entrepotCheck",
    sendRequest: async (request, next) => {
      if (new URL(request.url).origin !== origin)
        throw new ProductError(
          "PRODUCT_MALFORMED",
          "Azure's answer points to another host; nothing was sent there: check spec.azure.endpoint",
        );
      const response = await next(request);
      if (response.status < 200 || response.status >= 300)
        throw new AzureAnswer(
          response.status,
          response.bodyAsText ?? "",
          response.headers.get("retry-after"),
          clock.now(),
        );
      return response;
    },
  };
}

/** Retries are the reconcilers' business, and redirects nobody's. */
const ONCE = { retryOptions: { maxRetries: 0 }, redirectOptions: { maxRetries: 0 } } as const;

/** Where a sovereign cloud's tokens come from. Source: learn.microsoft.com, Microsoft Entra authentication endpoints. */
function authorityOf(endpoint: string): string | undefined {
  const { hostname } = new URL(endpoint);
  if (hostname.endsWith(".usgovcloudapi.net")) return "https://login.microsoftonline.us";
  return hostname.endsWith(".chinacloudapi.cn") ? "https://login.chinacloudapi.cn" : undefined;
}

/** The vendor's client, signing in as `identity`; nothing is sent before its first call. Throws `ProductError`. */
export async function openAzureSdk(
  azure: AzureRegistry,
  identity: AzureIdentity,
  settings: AzureProductSettings,
  clock: Pick<Clock, "now">,
): Promise<ContainerRegistryManagementClient> {
  const [{ ContainerRegistryManagementClient: Client }, { ClientSecretCredential, WorkloadIdentityCredential }] =
    await Promise.all([import("@azure/arm-containerregistry"), import("@azure/identity")]);
  const endpoint = azureEndpoint(azure);
  const authorityHost = settings.authorityHost ?? authorityOf(endpoint);
  const options: TokenCredentialOptions & { disableInstanceDiscovery?: boolean } = {
    ...ONCE,
    additionalPolicies: [{ policy: limitAnswers(TOKEN_LIMIT), position: "perCall" }],
    ...(authorityHost !== undefined && { authorityHost, disableInstanceDiscovery: true }),
  };
  try {
    const credential =
      identity.kind === "secret"
        ? new ClientSecretCredential(identity.tenantId, identity.clientId, identity.clientSecret, options)
        : new WorkloadIdentityCredential({
            ...options,
            ...(identity.clientId !== undefined && { clientId: identity.clientId }),
            ...(identity.tenantId !== undefined && { tenantId: identity.tenantId }),
          });
    return new Client(credential, azure.subscriptionId, {
      ...ONCE,
      endpoint,
      additionalPolicies: [
        { policy: checkAnswers(endpoint, clock), position: "perCall" },
        { policy: limitAnswers(ANSWER_LIMIT), position: "perCall" },
      ],
    });
  } catch (thrown) {
    const { name } = azureFailure(thrown, "sign in");
    throw new ProductError(
      "PRODUCT_UNAUTHENTICATED",
      identity.kind === "secret"
        ? "the operator cannot sign in to Azure: tenantId, clientId or clientSecret in the Secret of spec.azure.auth.clientSecretRef is empty or malformed"
        : 'the operator cannot sign in to Azure: its Pod has no workload identity; annotate its ServiceAccount with azure.workload.identity/client-id, label its Pods azure.workload.identity/use: "true", or use spec.azure.auth.clientSecretRef',
      { cause: thrown instanceof Error ? thrown : name },
    );
  }
}
