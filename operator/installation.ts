import { Resources } from "../adapters/kube/resources.ts";
import type { KubeClient, KubeObject } from "../adapters/kube/types.ts";
import type { Installation } from "../core/cacheregistry/types.ts";
import { DomainError } from "../core/errors.ts";
import type { OperatorConfig } from "./config.ts";

interface Pod extends KubeObject {
  readonly spec?: {
    readonly containers?: readonly {
      readonly name: string;
      readonly image?: string;
      readonly imagePullPolicy?: string;
    }[];
  };
}

const CONTAINER = "operator";

/** What is installed here. The gateway runs the operator's own image, which is read from its Pod. Throws `IMAGE_UNKNOWN`. */
export async function readInstallation(
  client: Pick<KubeClient, "get">,
  config: OperatorConfig,
  signal: AbortSignal,
): Promise<Installation> {
  const { namespace, podName, distributionImage, logLevel } = config;
  const common = { namespace, distributionImage, logLevel, gatewayServiceAccount: "entrepot-gateway" };
  if (config.gatewayImage !== undefined) return { ...common, gatewayImage: config.gatewayImage };
  const pod = await client.get<Pod>(Resources.pods, podName, { namespace, signal });
  const container = pod.spec?.containers?.find(({ name }) => name === CONTAINER) ?? pod.spec?.containers?.[0];
  if (container?.image === undefined) {
    throw new DomainError(
      "IMAGE_UNKNOWN",
      `Pod "${podName}" in namespace ${namespace} has no container with an image; set GATEWAY_IMAGE`,
      { terminal: true },
    );
  }
  const { image, imagePullPolicy } = container;
  return {
    ...common,
    gatewayImage: image,
    ...(imagePullPolicy !== undefined && { gatewayPullPolicy: imagePullPolicy }),
  };
}
