import { generatePem, type KeyKind } from "./keys.ts";
import { selfSigned } from "./self-signed.ts";

const spki = (pem: string) => Buffer.from(pem.replace(/-----[A-Z ]+-----|\s/g, ""), "base64");

/** A certificate in PEM that is its own authority. */
export const authorityPem = (): string => selfSigned().cert;

/** A public key in PEM. */
export const publicPem = (kind: KeyKind = "P-256"): string => generatePem(kind).publicKey;

/** A Sigstore TrustedRoot in protobuf JSON that trusts one new authority, whose `uri` tells it from others. */
export function trustedRootJson(uri: string): Buffer {
  const certificates = [{ rawBytes: spki(authorityPem()).toString("base64") }];
  return Buffer.from(
    JSON.stringify({
      mediaType: "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
      certificateAuthorities: [{ uri, certChain: { certificates }, validFor: { start: "2020-01-01T00:00:00Z" } }],
    }),
  );
}

/** The URIs of the certificate authorities of a TrustedRoot. */
export function urisOf(trustedRoot: string): readonly string[] {
  const { certificateAuthorities = [] } = JSON.parse(trustedRoot) as { certificateAuthorities?: { uri: string }[] };
  return certificateAuthorities.map(({ uri }) => uri);
}
