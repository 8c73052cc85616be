import type { CertificateRule, CertificateStep } from "./decide.ts";
import { type IssuedPair, issueAuthority, issueServing } from "./issue.ts";
import {
  CA_CERT,
  CA_KEY,
  type CertificateFiles,
  type CertificateMaterial,
  type Pair,
  readMaterial,
  SERVER_CERT,
  SERVER_KEY,
  trustBundle,
} from "./material.ts";

const RETIRED_LIMIT = 4; // authorities kept for trust, beside the one that signs

function files(material: CertificateMaterial): CertificateFiles {
  const { authority, serving } = material;
  return {
    [CA_CERT]: trustBundle(material),
    ...(authority && { [CA_KEY]: authority.keyPem }),
    ...(serving && { [SERVER_CERT]: serving.pem, [SERVER_KEY]: serving.keyPem }),
  };
}

function serve(authority: Pair, serverNames: readonly string[], rule: CertificateRule, now: Date): CertificateFiles {
  const name = authority.certificate.subject.replace(/^CN=/, "");
  const issued = issueServing(serverNames, { name, key: authority.key }, rule.servingSeconds, now);
  return { [SERVER_CERT]: issued.certificate, [SERVER_KEY]: issued.key };
}

function withAuthority(material: CertificateMaterial, issued: IssuedPair, now: Date): CertificateFiles {
  const old = [...(material.authority ? [material.authority] : []), ...material.retired];
  const alive = old
    .filter(({ certificate }) => Date.parse(certificate.validTo) > now.getTime())
    .slice(0, RETIRED_LIMIT);
  return {
    ...files(material),
    [CA_CERT]: [issued.certificate, ...alive.map(({ pem }) => pem)].join(""),
    [CA_KEY]: issued.key,
  };
}

/**
 * What the Secret should hold after `step`; undefined where the step writes nothing. New keys are made on every call.
 * `serverNames` are the DNS names of the webhook Service.
 */
export function renewCertificates(
  material: CertificateMaterial,
  step: CertificateStep,
  serverNames: readonly string[],
  rule: CertificateRule,
  now: Date,
): CertificateFiles | undefined {
  switch (step.kind) {
    case "keep":
    case "await-trust":
      return undefined;
    case "prune": {
      const retired = material.retired.filter(({ certificate }) => Date.parse(certificate.validTo) > now.getTime());
      return files({ ...material, retired });
    }
    case "add-authority":
      return withAuthority(material, issueAuthority(rule.authoritySeconds, now, rule.owner), now);
    case "issue-serving":
      return material.authority && { ...files(material), ...serve(material.authority, serverNames, rule, now) };
    case "bootstrap": {
      const fresh = withAuthority(material, issueAuthority(rule.authoritySeconds, now, rule.owner), now);
      const { authority } = readMaterial(fresh);
      return authority && { ...fresh, ...serve(authority, serverNames, rule, now) };
    }
  }
}
