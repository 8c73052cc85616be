import type { EcrSettings, EcrSignIn } from "../../adapters/products/ecr-client.ts";
import type { CacheRegistryObject } from "../../crds/index.ts";
import type { ProductContext } from "./provider.ts";
import { optionalSecretValue, secretValue } from "./secret-value.ts";

/** How a CacheRegistry says to sign in. Throws `PRODUCT_UNAUTHENTICATED` when its Secret is missing or lacks a key. */
function signInOf(auth: NonNullable<CacheRegistryObject["spec"]["ecr"]>["auth"], context: ProductContext): EcrSignIn {
  if (auth.roleArn !== undefined) return { kind: "role", roleArn: auth.roleArn };
  if (auth.secretRef === undefined) return { kind: "serviceAccount" };
  const { name } = auth.secretRef;
  const purpose = "spec.ecr.auth.secretRef needs accessKeyId and secretAccessKey, and sessionToken where there is one";
  const sessionToken = optionalSecretValue(context, name, "sessionToken");
  return {
    kind: "keys",
    accessKeyId: secretValue(context, name, "accessKeyId", purpose),
    secretAccessKey: secretValue(context, name, "secretAccessKey", purpose),
    ...(sessionToken !== undefined && { sessionToken }),
  };
}

/** Everything that a client for the registry is opened with. */
export function ecrSettings(registry: CacheRegistryObject, context: ProductContext): EcrSettings {
  const { ecr } = registry.spec;
  if (ecr === undefined) throw new TypeError(`CacheRegistry "${registry.metadata.name}" is no ECR`);
  const { region, accountId, endpoint, auth } = ecr;
  return { region, accountId, ...(endpoint !== undefined && { endpoint }), signIn: signInOf(auth, context) };
}
