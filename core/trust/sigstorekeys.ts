import type { CertificateAuthority, SigstoreKeys, TransparencyLog } from "../../crds/index.ts";
import { withoutNulls } from "../policy/defaults.ts";
import { decodeBase64 } from "../policy/validate-trustroot-material.ts";
import {
  invalidTrustRoot,
  TRUSTED_ROOT_MEDIA_TYPE,
  type TrustedAuthority,
  type TrustedLog,
  type TrustedRootMessage,
  trustedAuthority,
  trustedLog,
  trustedSignatureLog,
} from "./trustedroot.ts";

/** The text of a field that holds base64. */
function textOf(where: string, field: string | undefined): string {
  const bytes = decodeBase64(field ?? "");
  if (bytes === undefined) throw invalidTrustRoot(where, "illegal base64 data");
  return Buffer.from(bytes).toString("latin1"); // PEM is ASCII
}

function authority(list: string, source: CertificateAuthority, index: number): TrustedAuthority {
  const { subject, uri = "", certChain, validFor } = source;
  const where = `${list}[${index}].certChain`;
  return trustedAuthority({
    where,
    subject: { organization: subject?.organization ?? "", commonName: subject?.commonName ?? "" },
    uri,
    pem: textOf(where, certChain),
    ...(validFor && { period: validFor }),
  });
}

type MakeLog = typeof trustedLog;

function log(list: string, make: MakeLog, source: TransparencyLog, index: number): TrustedLog {
  const { baseURL = "", hashAlgorithm = "", publicKey, validFor } = source;
  const where = `${list}[${index}].publicKey`;
  const pem = textOf(where, publicKey);
  return make({ where, baseUrl: baseURL, hashAlgorithm, pem, ...(validFor && { period: validFor }) });
}

function listed<T, R>(name: string, sources: readonly T[] | undefined, convert: (source: T, index: number) => R) {
  return sources === undefined || sources.length === 0 ? {} : { [name]: sources.map(convert) };
}

/**
 * A TrustRoot's `spec.sigstoreKeys` as a Sigstore TrustedRoot in protobuf JSON, which is what policy-controller writes into
 * `config-sigstore-keys`. Where a period is not given, it is all time. Throws `TRUST_ROOT_INVALID` naming the field.
 */
export function trustedRootOfKeys(source: SigstoreKeys): string {
  const { tLogs, certificateAuthorities, ctLogs, timestampAuthorities } = withoutNulls(source);
  const path = (list: string) => `spec.sigstoreKeys.${list}`;
  const message: TrustedRootMessage = {
    mediaType: TRUSTED_ROOT_MEDIA_TYPE,
    ...listed("tlogs", tLogs, (item, index) => log(path("tLogs"), trustedSignatureLog, item, index)),
    ...listed("certificateAuthorities", certificateAuthorities, (item, index) =>
      authority(path("certificateAuthorities"), item, index),
    ),
    ...listed("ctlogs", ctLogs, (item, index) => log(path("ctLogs"), trustedLog, item, index)),
    ...listed("timestampAuthorities", timestampAuthorities, (item, index) =>
      authority(path("timestampAuthorities"), item, index),
    ),
  };
  return JSON.stringify(message);
}
