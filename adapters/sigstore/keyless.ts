import type { KeylessAuthority, SignatureFact } from "../../core/policy/types.ts";
import type { Material } from "./candidate.ts";
import { type Certificate, readCertificate } from "./certificate.ts";
import { type CertificatePath, isPathValidAt } from "./certificate-path.ts";
import type { SignedContent } from "./content.ts";
import { checkIdentity, identityFact, identityOf } from "./identity.ts";
import type { Issuers } from "./issuers.ts";
import { verificationKeyOf } from "./keys.ts";
import { type ObservationOptions, observedTimes } from "./observation.ts";
import { firstAccepted, Refusal, reading } from "./refusal.ts";
import { checkTransparency } from "./sct.ts";

function intermediatesOf({ intermediates }: Material): Certificate[] {
  return intermediates.flatMap((der) => {
    try {
      return [readCertificate(der)];
    } catch {
      return []; // untrusted and optional: a path is found without it, or not at all
    }
  });
}

function expired(leaf: Certificate, time: Date, observed: boolean): Refusal {
  const validity = `it was valid from ${leaf.notBefore.toISOString()} to ${leaf.notAfter.toISOString()}`;
  if (leaf.notAfter < time) {
    return new Refusal(
      observed
        ? `certificate expired before the signature was made: ${validity}, the signature was seen at ${time.toISOString()}`
        : `certificate has expired: ${validity}, and no log entry or timestamp by the trust root shows that the signature was made in that time`,
    );
  }
  if (leaf.notBefore > time)
    return new Refusal(
      `certificate was issued after the signature was made: ${validity}, the signature was seen at ${time.toISOString()}`,
    );
  return new Refusal(`the certificate's authority was not valid when the signature was made, at ${time.toISOString()}`);
}

function checkValidity(leaf: Certificate, paths: readonly CertificatePath[], times: readonly Date[], now: Date): void {
  const all = times.length > 0 ? times : [now];
  if (paths.some((path) => all.every((time) => isPathValidAt(path, time)))) return;
  const culprit = all.find((time) => !paths.some((path) => isPathValidAt(path, time))) ?? now;
  throw expired(leaf, culprit, times.length > 0);
}

/**
 * Checks a signature that came with a certificate, cheapest first and what needs a network last: the certificate's path to an issuer and
 * its SCT, the signature, the identity, then the times at which it was seen, each of which must lie in the validity of the certificate
 * and its authority. With no such time, and none asked for, it must be valid now. Throws `Refusal`; rejects when it cannot be decided.
 */
export async function verifyKeyless(
  content: SignedContent,
  material: Material,
  authority: KeylessAuthority,
  issuers: Issuers,
  options: ObservationOptions,
): Promise<Omit<SignatureFact, "id">> {
  const der = material.certificate;
  if (der === undefined) throw new Refusal("no certificate found on signature");
  const leaf = reading("the certificate", () => readCertificate(der));
  const paths = reading("the certificate", () => issuers.pathsFrom(leaf, intermediatesOf(material)));
  const logs = authority.ignoreSct ? undefined : issuers.certificateLogs;
  if (logs !== undefined) firstAccepted(paths, (path) => checkTransparency(path, logs), "no path to an authority");
  const key = reading("the certificate's key", () => verificationKeyOf(leaf.x509.publicKey, "sha256"));
  if (!content.isSignedBy(key)) throw new Refusal("the signature is not by the key of its certificate");
  const identity = identityOf(leaf);
  checkIdentity(identity, authority.identities);
  const signer = { kind: "certificate", der } as const;
  const times = await observedTimes({ content, material, signer, key }, authority, options);
  checkValidity(leaf, paths, times, options.now);
  return identityFact(identity);
}
