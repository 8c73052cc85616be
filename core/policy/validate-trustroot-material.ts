import { X509Certificate } from "node:crypto";
import { type FieldErrors, invalidValue, missingField } from "./fielderror.ts";

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** RFC 4648 base64 with padding, line breaks ignored, as Go decodes `[]byte` fields; undefined for what is not. */
export function decodeBase64(text: string): Uint8Array | undefined {
  const compact = text.replace(/[\r\n]/g, "");
  return BASE64.test(compact) ? Buffer.from(compact, "base64") : undefined;
}

/**
 * What is wrong with a TUF root.json in base64, with paths from the object that has it. Its signatures are not verified
 * here.
 */
export function rootErrors(root: string | undefined): FieldErrors {
  if (root === undefined) return missingField("root");
  const bytes = decodeBase64(root);
  if (bytes === undefined) return invalidValue("failed to decode", "root", "illegal base64 data");
  const parsed = parseObject(Buffer.from(bytes).toString("utf8"));
  if (typeof parsed === "string") return invalidValue("failed to unmarshal", "root", parsed);
  return (parsed["signatures"] ?? null) === null
    ? invalidValue("missing signatures in root.json", "root", "no signatures")
    : [];
}

/** The object, or what is wrong with the text, as Go's encoding/json puts it where that can be told. */
function parseObject(text: string): Readonly<Record<string, unknown>> | string {
  if (text === "") return "unexpected end of JSON input";
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return "invalid JSON";
  }
  if (value === null) return {};
  if (typeof value === "object" && !Array.isArray(value)) return value as Record<string, unknown>;
  const kind = Array.isArray(value) ? "array" : typeof value === "boolean" ? "bool" : typeof value;
  return `json: cannot unmarshal ${kind} into Go value of type map[string]interface {}`;
}

/**
 * What is wrong with a timestamp authority's chain in base64: it must be certificates in PEM, at most one of which is
 * no authority's.
 */
export function authorityChainErrors(certChain: string | undefined): FieldErrors {
  if (!certChain) return [];
  const bytes = decodeBase64(certChain);
  if (bytes === undefined) return invalidValue("failed to decode", "certChain", "illegal base64 data");
  const certificates = parseChain(Buffer.from(bytes).toString("utf8"));
  if (certificates === undefined) {
    return invalidValue("error splitting the certificates", "certChain", "error during PEM decoding");
  }
  return certificates.filter(({ ca }) => !ca).length > 1
    ? invalidValue("certificate chain must contain at most one TSA certificate", "certChain")
    : [];
}

const BEGIN = "-----BEGIN CERTIFICATE-----";

function parseChain(pem: string): readonly X509Certificate[] | undefined {
  const [before = "", ...blocks] = pem.trim().split(BEGIN);
  if (before !== "" || blocks.length === 0) return undefined;
  try {
    return blocks.map((block) => new X509Certificate(BEGIN + block));
  } catch {
    return undefined;
  }
}
