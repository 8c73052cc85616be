import { createPublicKey, X509Certificate } from "node:crypto";
import {
  type CertificateAuthority,
  type TimeRange,
  type TransparencyLogInstance,
  TrustedRoot,
} from "@sigstore/protobuf-specs";
import { messageOf } from "../../core/errors.ts";
import { isFields, parseJson } from "../../core/json.ts";
import { invalidTrustRoot } from "../../core/trust/trustedroot.ts";

const MEDIA_TYPE = "application/vnd.dev.sigstore.trustedroot";

/** With lowerCamelCase names: protobuf JSON may also have the names of the .proto file, and what is not known would be passed over. */
function camelNames(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(camelNames);
  if (!isFields(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, field]) => [
      name.replace(/_([a-z0-9])/g, (_match, letter: string) => letter.toUpperCase()),
      camelNames(field),
    ]),
  );
}

function checkPeriod(what: string, period: TimeRange | undefined): void {
  const times = [period?.start, period?.end].map((time) => time?.getTime());
  if (times.some((time) => Number.isNaN(time))) throw invalidTrustRoot(what, "validFor has a time that is none");
}

function checkAuthority(what: string, { certChain, validFor }: CertificateAuthority): void {
  checkPeriod(what, validFor);
  const certificates = certChain?.certificates ?? [];
  if (certificates.length === 0) throw invalidTrustRoot(what, "it has no certificate");
  for (const { rawBytes } of certificates) {
    try {
      new X509Certificate(rawBytes);
    } catch (cause) {
      throw invalidTrustRoot(what, "it has a certificate that can't be read", cause);
    }
  }
}

function checkLog(what: string, { publicKey, logId }: TransparencyLogInstance): void {
  checkPeriod(what, publicKey?.validFor);
  const der = publicKey?.rawBytes;
  if (der === undefined || der.length === 0) throw invalidTrustRoot(what, "it has no public key");
  if ((logId?.keyId.length ?? 0) === 0) throw invalidTrustRoot(what, "it has no log ID");
  const readable = (["spki", "pkcs1"] as const).some((type) => {
    try {
      createPublicKey({ key: der, format: "der", type });
      return true;
    } catch {
      return false;
    }
  });
  if (!readable) throw invalidTrustRoot(what, "its public key can't be read");
}

/** Times as Go's protojson writes them: no fraction where there is none. */
function wholeSeconds(_name: string, value: unknown): unknown {
  return typeof value === "string" ? value.replace(/^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.000Z$/, "$1Z") : value;
}

function parsed(where: string, json: object): TrustedRoot {
  try {
    return TrustedRoot.fromJSON(camelNames(json));
  } catch (thrown) {
    throw invalidTrustRoot(
      where,
      messageOf(thrown)
        .replace(/\p{Cc}+/gu, " ")
        .slice(0, 200),
      thrown,
    );
  }
}

/**
 * A Sigstore TrustedRoot in protobuf JSON from outside, as it is given on: parsed, every certificate and key readable, in
 * protobuf's own spelling, without what is not known. `where` names it in messages. Throws `TRUST_ROOT_INVALID`.
 */
export function checkedTrustedRoot(text: string, where: string): string {
  const json = parseJson(text);
  if (!isFields(json)) throw invalidTrustRoot(where, "it is no JSON object");
  const root = parsed(where, json);
  if (root.mediaType !== "" && !root.mediaType.startsWith(MEDIA_TYPE))
    throw invalidTrustRoot(where, "its media type is not that of a Sigstore trusted root");
  const { tlogs, certificateAuthorities, ctlogs, timestampAuthorities } = root;
  const authorities = { certificateAuthorities, timestampAuthorities };
  for (const [list, items] of Object.entries(authorities))
    for (const [index, item] of items.entries()) checkAuthority(`${where}: ${list}[${index}]`, item);
  for (const [list, items] of Object.entries({ tlogs, ctlogs }))
    for (const [index, item] of items.entries()) checkLog(`${where}: ${list}[${index}]`, item);
  if (certificateAuthorities.length + timestampAuthorities.length + tlogs.length + ctlogs.length === 0)
    throw invalidTrustRoot(where, "it trusts nobody: there is no certificate authority, log or timestamp authority");
  return JSON.stringify(TrustedRoot.toJSON(root), wholeSeconds);
}
