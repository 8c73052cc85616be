import { createPrivateKey, X509Certificate } from "node:crypto";
import type { SecretContent } from "../cacheregistry/credentials.ts";
import { gatewayName } from "../cacheregistry/names.ts";
import { type CertificateRule, decideCertificates } from "../certificates/decide.ts";
import {
  CA_CERT,
  CA_KEY,
  type CertificateFiles,
  readMaterial,
  SERVER_CERT,
  SERVER_KEY,
  trustBundle,
} from "../certificates/material.ts";
import { renewCertificates } from "../certificates/renew.ts";

/** A certificate with its chain and its private key, PEM. */
export interface ServingPair {
  readonly certificate: string;
  readonly key: string;
}

const DAY_SECONDS = 86_400;
const STEPS_LIMIT = 5;

/** Nodes are told of an authority by people and their tools, so it lives long, and a new one is published long before it signs. */
export const GATEWAY_CERTIFICATES: CertificateRule = Object.freeze({
  authoritySeconds: 3_650 * DAY_SECONDS,
  servingSeconds: 90 * DAY_SECONDS,
  owner: "gateway",
});
/** How long a new authority is in the ConfigMap before the gateway's certificate is by it. */
export const PUBLISHED_SECONDS = 14 * DAY_SECONDS;

/** What a self-signed gateway needs: the files of the authority's Secret, what to serve, whom to trust, when to look again. */
export interface OwnCertificates {
  readonly files: CertificateFiles;
  readonly pair: ServingPair;
  readonly authorities: string;
  readonly renewAt: Date;
}

/** The names by which a gateway is called: the pull host first, then its Service. */
export function gatewayServerNames(registry: string, pullHost: string, namespace: string): readonly string[] {
  const service = `${gatewayName(registry)}.${namespace}`;
  return [pullHost.replace(/:[0-9]+$/, ""), `${service}.svc`, `${service}.svc.cluster.local`, service];
}

/** The gateway's own certificates from what there is of them, renewed where it is time (core/certificates/decide.ts). */
export function ownCertificates(present: CertificateFiles, names: readonly string[], now: Date): OwnCertificates {
  let files = present;
  for (let count = 0; count < STEPS_LIMIT; count++) {
    const material = readMaterial(files);
    const begun = Date.parse(material.authority?.certificate.validFrom ?? "");
    const trusted = begun + PUBLISHED_SECONDS * 1000 <= now.getTime();
    // A first authority has no older one beside it that anybody could still trust instead.
    const step = decideCertificates(material, names[0] ?? "", trusted || material.retired.length === 0, now);
    const renewed = renewCertificates(material, step, names, GATEWAY_CERTIFICATES, now);
    if (renewed !== undefined) {
      files = renewed;
      continue;
    }
    const renewAt = step.kind === "keep" ? step.until : new Date(begun + PUBLISHED_SECONDS * 1000);
    const pair = { certificate: files[SERVER_CERT] ?? "", key: files[SERVER_KEY] ?? "" };
    return { files, pair, authorities: trustBundle(material), renewAt };
  }
  throw new Error("the gateway's certificates do not come to rest");
}

/** The files of the authority's Secret, read. */
export function authorityFiles(secret: SecretContent | undefined): CertificateFiles {
  const names = [CA_CERT, CA_KEY, SERVER_CERT, SERVER_KEY];
  return Object.fromEntries(
    names.map((name): [string, string] => [name, textOf(secret, name)]).filter(([, text]) => text !== ""),
  );
}

function textOf(secret: SecretContent | undefined, key: string): string {
  return Buffer.from(secret?.data?.[key] ?? "", "base64").toString("utf8");
}

/** The pair of a Secret of type kubernetes.io/tls, or what is wrong with it, without quoting it. Its chain is passed on as it is. */
export function givenPair(
  secret: SecretContent,
  now: Date,
): { readonly kind: "pair"; readonly pair: ServingPair } | { readonly kind: "problem"; readonly message: string } {
  const problem = (why: string) => ({ kind: "problem", message: `Secret "${secret.metadata.name}" ${why}` }) as const;
  if (secret.type !== "kubernetes.io/tls") return problem("is not of type kubernetes.io/tls");
  const pair = { certificate: textOf(secret, "tls.crt"), key: textOf(secret, "tls.key") };
  try {
    const leaf = new X509Certificate(pair.certificate);
    if (!leaf.checkPrivateKey(createPrivateKey(pair.key)))
      return problem("has a tls.key that does not fit its tls.crt");
    if (Date.parse(leaf.validTo) <= now.getTime()) return problem(`has a certificate that expired on ${leaf.validTo}`);
    return { kind: "pair", pair };
  } catch {
    return problem("has no certificate in tls.crt, or no private key without a passphrase in tls.key");
  }
}
