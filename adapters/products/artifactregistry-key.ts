import { createPrivateKey } from "node:crypto";
import { parseJson, stringField } from "../../core/json.ts";
import { wordOf } from "../kms/errors.ts";
import { ProductError } from "./errors.ts";

/** What is used of a service account key. */
export interface ServiceAccountKey {
  readonly email: string;
  readonly privateKey: string;
  readonly keyId?: string;
  /** The cloud that it is of; `googleapis.com` is the public one. */
  readonly universe: string;
}

export const PUBLIC_UNIVERSE = "googleapis.com";
const DOMAIN = /^[a-z0-9-]+(?:\.[a-z0-9-]+)+$/;

/** Whether a key's `token_uri` is the cloud's own. It is not called (calls carry tokens that the key itself signs), but a key that names another is not Google's. */
function isOwnTokenUri(uri: string, universe: string): boolean {
  if (!URL.canParse(uri)) return false;
  const { protocol, hostname, port, username } = new URL(uri);
  if (protocol !== "https:" || port !== "" || username !== "") return false;
  return (
    hostname === "accounts.google.com" || hostname.endsWith(`.${PUBLIC_UNIVERSE}`) || hostname.endsWith(`.${universe}`)
  );
}

/**
 * Reads a service account key, `where` being how to name it in a message. Only that kind of credential is taken: others name addresses
 * to call, or programs to run. Throws `PRODUCT_UNAUTHENTICATED`, whose message holds nothing of the key.
 */
export function serviceAccountKey(text: string, where: string): ServiceAccountKey {
  const refuse = (why: string): ProductError =>
    new ProductError(
      "PRODUCT_UNAUTHENTICATED",
      `${where} ${why}; put the JSON file of a Google service account key there, or use auth.workloadIdentity`,
      { reason: "SecretInvalid" },
    );
  const key = parseJson(text);
  const type = stringField(key, "type");
  if (type === undefined) throw refuse("is no service account key");
  if (type !== "service_account") throw refuse(`holds credentials of the type ${wordOf(type)}, not service_account`);
  const email = stringField(key, "client_email") ?? "";
  const privateKey = stringField(key, "private_key") ?? "";
  const universe = stringField(key, "universe_domain") ?? PUBLIC_UNIVERSE;
  const tokenUri = stringField(key, "token_uri");
  if (!/^[^\s@]{1,128}@[a-z0-9.-]{1,253}$/i.test(email)) throw refuse("has no client_email");
  if (!DOMAIN.test(universe)) throw refuse("has a universe_domain that is no domain");
  if (tokenUri !== undefined && !isOwnTokenUri(tokenUri, universe))
    throw refuse("has a token_uri that is not Google's over https");
  try {
    createPrivateKey(privateKey);
  } catch {
    throw refuse("has a private_key that is no PEM key"); // without a cause: it may quote the key
  }
  const keyId = stringField(key, "private_key_id");
  return { email, privateKey, universe, ...(keyId !== undefined && { keyId }) };
}
