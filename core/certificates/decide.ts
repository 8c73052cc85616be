import type { X509Certificate } from "node:crypto";
import { isAddress } from "./issue.ts";
import type { CertificateMaterial } from "./material.ts";

/** How long certificates live. Each is replaced when a third of its life is left. */
export interface CertificateRule {
  readonly authoritySeconds: number;
  readonly servingSeconds: number;
  /** What the authority is for, in its name. Default webhook. */
  readonly owner?: string;
}

export const DEFAULT_CERTIFICATE_RULE: CertificateRule = Object.freeze({
  authoritySeconds: 365 * 86_400,
  servingSeconds: 30 * 86_400,
});

/** The next step, and why. One step at a time: each is one write of the Secret, and the next is decided from what is then live. */
export type CertificateStep =
  /** Nothing usable is there: a new authority and a serving certificate by it. */
  | { readonly kind: "bootstrap"; readonly reason: string }
  /** A new authority joins the trusted ones; the serving certificate stays by the old one until everybody trusts the new. */
  | { readonly kind: "add-authority"; readonly reason: string }
  /** A new serving certificate by the authority that signs. */
  | { readonly kind: "issue-serving"; readonly reason: string }
  /** Drop retired authorities that have expired. */
  | { readonly kind: "prune"; readonly reason: string }
  /** The serving certificate should be by the new authority, which the API server does not trust yet. */
  | { readonly kind: "await-trust"; readonly reason: string }
  | { readonly kind: "keep"; readonly until: Date };

function renewAt(certificate: X509Certificate): Date {
  const from = Date.parse(certificate.validFrom);
  const to = Date.parse(certificate.validTo);
  return new Date(from + ((to - from) * 2) / 3);
}

function isExpired(certificate: X509Certificate, now: Date): boolean {
  return Date.parse(certificate.validTo) <= now.getTime();
}

function isNamed(certificate: X509Certificate, name: string): boolean {
  if (isAddress(name)) return certificate.checkIP(name) !== undefined;
  return certificate.checkHost(name, { subject: "never", wildcards: false }) !== undefined;
}

function signed(certificate: X509Certificate, authority: X509Certificate): boolean {
  return certificate.checkIssued(authority) && certificate.verify(authority.publicKey);
}

/**
 * Decides what the certificates of the webhook Service need at `now`. The order keeps the API server able to call the webhook at every
 * moment: an authority is trusted before anything by it is served, and stays trusted until it expires.
 * `trusted`: whether all webhook configurations carry the authority that signs.
 */
export function decideCertificates(
  material: CertificateMaterial,
  serverName: string,
  trusted: boolean,
  now: Date,
): CertificateStep {
  const { authority, serving, retired } = material;
  const usable =
    serving !== undefined && !isExpired(serving.certificate, now) && isNamed(serving.certificate, serverName);
  const known = [...(authority ? [authority.certificate] : []), ...retired.map((old) => old.certificate)];
  const chained = usable && known.some((ca) => !isExpired(ca, now) && signed(serving.certificate, ca));
  if (authority === undefined || isExpired(authority.certificate, now)) {
    // What is served still works for those who trust the retired authority: don't pull it away from under them.
    return chained
      ? { kind: "add-authority", reason: "the authority's key is missing, does not fit, or has expired" }
      : { kind: "bootstrap", reason: "there is no usable authority and serving certificate" };
  }
  if (renewAt(authority.certificate) <= now)
    return { kind: "add-authority", reason: "the authority is in the last third of its life" };
  if (!chained) return { kind: "issue-serving", reason: `there is no valid serving certificate for ${serverName}` };
  const current = signed(serving.certificate, authority.certificate);
  if (!current || renewAt(serving.certificate) <= now) {
    if (!trusted) return { kind: "await-trust", reason: "the API server does not trust the new authority yet" };
    return current
      ? { kind: "issue-serving", reason: "the serving certificate is in the last third of its life" }
      : { kind: "issue-serving", reason: "the serving certificate is by an authority that has been replaced" };
  }
  if (retired.some((old) => isExpired(old.certificate, now)))
    return { kind: "prune", reason: "a retired authority has expired" };
  const next = [
    renewAt(authority.certificate),
    renewAt(serving.certificate),
    ...retired.map((old) => new Date(old.certificate.validTo)),
  ];
  return { kind: "keep", until: new Date(Math.min(...next.map((date) => date.getTime()))) };
}
