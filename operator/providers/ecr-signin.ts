import type { EcrSettings, EcrSignIn } from "../../adapters/products/ecr-client.ts";
import { ProductError } from "../../adapters/products/errors.ts";
import type { CacheRegistryObject } from "../../crds/index.ts";
import type { ProductContext } from "./provider.ts";

/** Values of a Secret in the system namespace; throws `PRODUCT_UNAUTHENTICATED`, naming what is missing. */
function secretKeys({ namespace, secrets }: ProductContext, name: string) {
  const data = secrets.get(`${namespace}/${name}`)?.data;
  const say = (words: string) => new ProductError("PRODUCT_UNAUTHENTICATED", words, { reason: "SecretNotFound" });
  if (data === undefined)
    throw say(`there is no Secret "${name}" in namespace ${namespace}, with which to sign in to ECR: create it`);
  const optional = (key: string): string | undefined => {
    const value = Buffer.from(data[key] ?? "", "base64")
      .toString()
      .trim();
    return value === "" ? undefined : value;
  };
  const required = (key: string): string => {
    const value = optional(key);
    if (value === undefined)
      throw say(
        `Secret "${name}" in namespace ${namespace}, with which to sign in to ECR, has no key "${key}": add it`,
      );
    return value;
  };
  return { optional, required };
}

/** How a CacheRegistry says to sign in. Throws `PRODUCT_UNAUTHENTICATED` when its Secret is missing or lacks a key. */
function signInOf(auth: NonNullable<CacheRegistryObject["spec"]["ecr"]>["auth"], context: ProductContext): EcrSignIn {
  if (auth.roleArn !== undefined) return { kind: "role", roleArn: auth.roleArn };
  if (auth.secretRef === undefined) return { kind: "serviceAccount" };
  const { required, optional } = secretKeys(context, auth.secretRef.name);
  const sessionToken = optional("sessionToken");
  return {
    kind: "keys",
    accessKeyId: required("accessKeyId"),
    secretAccessKey: required("secretAccessKey"),
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
