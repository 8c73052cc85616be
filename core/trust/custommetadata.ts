import { fieldsOf, stringField } from "../json.ts";
import {
  invalidTrustRoot,
  TRUSTED_ROOT_MEDIA_TYPE,
  type TrustedRootMessage,
  trustedAuthority,
  trustedLog,
  trustedSignatureLog,
} from "./trustedroot.ts";

/** What a TUF target is for, by its custom metadata, and where the service is. */
export interface CustomMetadata {
  readonly usage: "Fulcio" | "CTFE" | "Rekor" | "TSA";
  readonly uri: string;
}

const USAGES: readonly string[] = ["Fulcio", "CTFE", "Rekor", "TSA"] satisfies readonly CustomMetadata["usage"][];

/** Reads `{"sigstore": {"usage": …, "uri": …}}`; undefined for a target that is not one of Sigstore's. */
export function customMetadata(custom: unknown): CustomMetadata | undefined {
  const sigstore = fieldsOf(fieldsOf(custom)?.["sigstore"]);
  const usage = stringField(sigstore, "usage");
  if (usage === undefined || !USAGES.includes(usage)) return undefined;
  return { usage: usage as CustomMetadata["usage"], uri: stringField(sigstore, "uri") ?? "" };
}

export interface CustomTarget extends CustomMetadata {
  readonly name: string;
  readonly content: Uint8Array;
}

/**
 * The trusted root of a TUF repository that has no such target, put together from targets with custom metadata, as policy-controller
 * does. At least one must be of a certificate authority, or a timestamp authority. Throws `TRUST_ROOT_INVALID`.
 */
export function trustedRootOfTargets(targets: readonly CustomTarget[]): string {
  const of = (usage: CustomMetadata["usage"]) =>
    targets
      .filter((target) => target.usage === usage)
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .map(({ name, uri, content }) => ({
        where: `TUF target ${JSON.stringify(name)}`,
        uri,
        baseUrl: uri,
        hashAlgorithm: "sha-256",
        pem: Buffer.from(content).toString("latin1"),
      }));
  const message: TrustedRootMessage = {
    mediaType: TRUSTED_ROOT_MEDIA_TYPE,
    tlogs: of("Rekor").map(trustedSignatureLog),
    certificateAuthorities: of("Fulcio").map(trustedAuthority),
    ctlogs: of("CTFE").map(trustedLog),
    timestampAuthorities: of("TSA").map(trustedAuthority),
  };
  if (message.certificateAuthorities?.length === 0 && message.timestampAuthorities?.length === 0)
    throw invalidTrustRoot("TUF targets", "no certificate authorities found");
  return JSON.stringify(message);
}
