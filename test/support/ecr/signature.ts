import { createHash, createHmac } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";

export interface Keys {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

const hash = (text: string): string => createHash("sha256").update(text).digest("hex");
const mac = (key: string | Buffer, text: string): Buffer => createHmac("sha256", key).update(text).digest();
const FORM =
  /^AWS4-HMAC-SHA256 Credential=([^/]+)\/([0-9]{8})\/([^/]+)\/([^/]+)\/aws4_request, SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})$/;

/**
 * Checks a request to `/` by Signature Version 4 ("Create a signed AWS API request", IAM user guide). Gives the error type that AWS
 * answers, or undefined when all is well.
 */
export function signatureProblem(
  headers: IncomingHttpHeaders,
  body: string,
  scope: { readonly region: string; readonly service: string },
  keys: Keys,
): string | undefined {
  const [, id, day = "", region = "", service = "", signed = "", signature] =
    FORM.exec(headers.authorization ?? "") ?? [];
  if (id === undefined) return "IncompleteSignature";
  if (id !== keys.accessKeyId) return "UnrecognizedClientException";
  if (headers["x-amz-security-token"] !== keys.sessionToken) return "UnrecognizedClientException";
  const names = signed.split(";");
  const needed = [
    "host",
    "x-amz-date",
    "x-amz-target",
    ...(keys.sessionToken === undefined ? [] : ["x-amz-security-token"]),
  ];
  const date = String(headers["x-amz-date"]);
  if (!needed.every((name) => names.includes(name)) || !date.startsWith(day)) return "IncompleteSignature";
  if (region !== scope.region || service !== scope.service) return "InvalidSignatureException";
  const canonicalHeaders = names.map((name) => `${name}:${String(headers[name]).trim()}\n`).join("");
  const canonical = ["POST", "/", "", canonicalHeaders, signed, hash(body)].join("\n");
  const text = ["AWS4-HMAC-SHA256", date, `${day}/${region}/${service}/aws4_request`, hash(canonical)].join("\n");
  const key = [day, region, service, "aws4_request"].reduce<string | Buffer>(mac, `AWS4${keys.secretAccessKey}`);
  return mac(key, text).toString("hex") === signature ? undefined : "InvalidSignatureException";
}
