import { ProductError } from "../../adapters/products/errors.ts";
import { REASON } from "../../crds/index.ts";
import type { ProductContext } from "./provider.ts";

/** A value of a Secret in the system namespace, as text without white space around it; undefined when the Secret, the key or a character of it is missing. */
export function optionalSecretValue(
  { namespace, secrets }: Pick<ProductContext, "namespace" | "secrets">,
  name: string,
  key: string,
): string | undefined {
  const value = Buffer.from(secrets.get(`${namespace}/${name}`)?.data?.[key] ?? "", "base64")
    .toString()
    .trim();
  return value === "" ? undefined : value;
}

/**
 * A value with which a registry is signed in to. Throws `PRODUCT_UNAUTHENTICATED` with what is missing and `purpose`, which says what the
 * Secret is to hold.
 */
export function secretValue(
  context: Pick<ProductContext, "namespace" | "secrets">,
  name: string,
  key: string,
  purpose: string,
): string {
  const value = optionalSecretValue(context, name, key);
  if (value !== undefined) return value;
  const { namespace, secrets } = context;
  const [reason, what] =
    secrets.get(`${namespace}/${name}`) === undefined
      ? [REASON.SecretNotFound, `does not exist in namespace ${namespace}`]
      : [REASON.SecretInvalid, `in namespace ${namespace} has no key "${key}"`];
  throw new ProductError("PRODUCT_UNAUTHENTICATED", `Secret "${name}" ${what}; ${purpose}`, { reason });
}
