import { CURRENT_FIELD, type FieldErrors, invalidValue } from "./fielderror.ts";

const AWS = "awskms://";
const PROVIDERS = [AWS, "azurekms://", "hashivault://", "gcpkms://"];

const TOO_SHORT =
  "malformed AWS KMS format 'awskms://$ENDPOINT/$KEYID', should be conformant with KMS standard documented here: https://docs.aws.amazon.com/kms/latest/developerguide/concepts.html#key-id";
const MALFORMED = "kms key should be in the format awskms://[ENDPOINT]/[ID/ALIAS/ARN] (endpoint optional)";

// https://docs.aws.amazon.com/kms/latest/developerguide/concepts.html#key-id
const KEY_ID = "m?r?k?-?[A-Fa-f0-9]{8}-?(?:[A-Fa-f0-9]{4}-?){3}[A-Fa-f0-9]{12}";
const ARN = "arn:(?:aws|aws-us-gov|aws-cn):kms:[a-z0-9-]+:[0-9]{12}:";
const ALIAS = "alias/.*";
const AWS_REFERENCE = new RegExp(`^awskms://[^/]*/(?:${KEY_ID}|${ARN}key/${KEY_ID}|${ALIAS}|${ARN}${ALIAS})$`);

/** What is wrong with the URI of a key in a key management service; the path is that of the value itself. */
export function kmsErrors(uri: string): FieldErrors {
  const problem = kmsProblem(uri);
  return problem === undefined ? [] : invalidValue(uri, CURRENT_FIELD, problem);
}

function kmsProblem(uri: string): string | undefined {
  if (!PROVIDERS.some((prefix) => uri.startsWith(prefix))) {
    return `malformed KMS format, should be prefixed by any of the supported providers: [${PROVIDERS.join(" ")}]`;
  }
  return uri.startsWith(AWS) ? awsProblem(uri) : undefined;
}

/**
 * Key ids and alias names pass the expression and then fail for not being ARNs, the only form that names its region and
 * account.
 */
function awsProblem(uri: string): string | undefined {
  const [, , endpoint = "", keyId = "", ...rest] = uri.split("/");
  if (keyId === "" && rest.length === 0 && uri.split("/").length < 4) return TOO_SHORT;
  if (!AWS_REFERENCE.test(uri) || endpoint.startsWith("arn") || endpoint.startsWith("alias")) return MALFORMED;
  const host = endpoint === "" ? undefined : hostPortProblem(endpoint);
  if (host !== undefined) return `malformed endpoint: address ${endpoint}: ${host}`;
  return keyId.startsWith("arn:") ? undefined : "failed to parse either key or alias arn: arn: invalid prefix";
}

/** What Go's net.SplitHostPort says of an address, or undefined if it has a host and a port. */
function hostPortProblem(address: string): string | undefined {
  const colon = address.lastIndexOf(":");
  if (colon < 0) return "missing port in address";
  if (address.startsWith("[")) return bracketedProblem(address, colon);
  if (address.indexOf(":") !== colon) return "too many colons in address";
  return strayBracket(address, 0, 0);
}

function bracketedProblem(address: string, colon: number): string | undefined {
  const end = address.indexOf("]");
  if (end < 0) return "missing ']' in address";
  if (end + 1 === address.length) return "missing port in address";
  if (end + 1 !== colon) return address[end + 1] === ":" ? "too many colons in address" : "missing port in address";
  return strayBracket(address, 1, end + 1);
}

function strayBracket(address: string, opening: number, closing: number): string | undefined {
  if (address.indexOf("[", opening) >= 0) return "unexpected '[' in address";
  return address.indexOf("]", closing) >= 0 ? "unexpected ']' in address" : undefined;
}
