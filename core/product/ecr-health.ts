import { shownHost } from "../cacheregistry/upstream.ts";
import type { EcrRequest } from "./ecr.ts";

/** What ECR says of a rule's credentials, in words for a condition. */
export interface EcrHealth {
  readonly status: "True" | "False";
  readonly message: string;
}

// ECR's words are not part of its contract and are foreign text: they choose among these sentences and are never repeated.
const REMEDIES: readonly (readonly [RegExp, string])[] = [
  [/decrypt|\bkms\b/i, "it can't decrypt the secret: allow it kms:Decrypt with the secret's key"],
  [
    /secret\b.*\b(?:not (?:be )?found|(?:does not|doesn't) exist|marked for deletion)/is,
    "the secret is not there: create it, or correct credentials.secretsManagerArn",
  ],
  [
    /secret\b.*\b(?:access|permission|denied|authorized)/is,
    "it may not read the secret: allow it secretsmanager:GetSecretValue",
  ],
  [
    /\b(?:format|syntax|json|malformed|parse)/i,
    "the secret is not as ECR wants it: write JSON with the keys username and accessToken",
  ],
  [/\b(?:assume|role)\b/i, "it can't use the role: check credentials.roleArn and the role's trust policy"],
  [
    /authenti|credential|unauthori[sz]ed|denied|\b40[13]\b/i,
    "the upstream refuses the user name or the token: put valid ones into the secret",
  ],
  [/time.?out|timed out|reach|connect|network/i, "it could not reach the upstream; see the upstream's status page"],
];

/** A verdict of ValidatePullThroughCacheRule as a condition says it, with what to do and how to see ECR's own words. */
export function ecrHealth(
  { host, registry }: Pick<EcrRequest, "host" | "registry">,
  prefix: string,
  verdict: { readonly isValid: boolean; readonly failure: string },
): EcrHealth {
  const upstream = shownHost(host);
  if (verdict.isValid) return { status: "True", message: `ECR reached ${upstream}, which takes the credentials` };
  const remedy = REMEDIES.find(([words]) => words.test(verdict.failure.slice(0, 2_048)))?.[1];
  const region = registry.spec.ecr?.region ?? "";
  const command = `aws ecr validate-pull-through-cache-rule --region ${region} --ecr-repository-prefix ${prefix}`;
  return {
    status: "False",
    message: `ECR can't read ${upstream} for this rule: ${remedy ?? "its validation failed"}; in ECR's words: ${command}`,
  };
}
