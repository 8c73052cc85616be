import type { Attestation, EvaluatedPolicy } from "../../crds/index.ts";
import {
  asWarnings,
  disallowedFields,
  type FieldErrors,
  invalidValue,
  missingField,
  multipleOneOf,
  viaField,
} from "./fielderror.ts";
import { isHttpsUrl, isRequestUri } from "./validate-uri.ts";

/** The short names that cosign knows, which are taken with a warning. */
const SHORT_TYPES = new Set(["custom", "slsaprovenance", "spdx", "spdxjson", "cyclonedx", "link", "vuln"]);

const DEPRECATED = "deprecated value, please use RFC 3986 conformant values";

/** What is wrong with an attestation, with paths from it. */
export function attestationErrors({ name, predicateType, policy }: Attestation): FieldErrors {
  return [
    ...(name ? [] : missingField("name")),
    ...(predicateType ? typeErrors(predicateType) : missingField("predicateType")),
    ...(policy === undefined ? [] : viaField("policy", policyErrors(policy, "attestation"))),
  ];
}

function typeErrors(type: string): FieldErrors {
  const conformant = !SHORT_TYPES.has(type) && isRequestUri(type);
  return conformant ? [] : asWarnings(invalidValue(type, "predicateType", DEPRECATED));
}

/** Fields about the object or the image: an attestation's policy sees the attestation alone. */
const SPEC_ONLY = ["fetchConfigFile", "includeSpec", "includeObjectMeta", "includeTypeMeta"] as const;

/** `cel` is ours alone; the words about any other language are policy-controller's, and older than it. */
const LANGUAGES: ReadonlySet<string> = new Set(["cue", "rego", "cel"]);

/**
 * What is wrong with a policy in CUE, Rego or CEL of the spec or of an attestation, with paths from it. Whether its source
 * compiles is judged elsewhere (`validate-source.ts`).
 */
export function policyErrors(policy: EvaluatedPolicy, of: "spec" | "attestation"): FieldErrors {
  const { type = "", data, configMapRef, remote } = policy;
  const sources = [data || undefined, configMapRef, remote].filter((source) => source !== undefined).length;
  return [
    ...(LANGUAGES.has(type) ? [] : invalidValue(type, "type", "only [cue,rego] are supported at the moment")),
    ...(sources === 0 ? missingField("data", "configMapRef", "remote") : []),
    ...(sources > 1 ? multipleOneOf("data", "configMapRef", "remote") : []),
    ...(remote === undefined ? [] : viaField("remote", remoteErrors(remote))),
    ...(configMapRef === undefined ? [] : viaField("configMapRef", configMapErrors(configMapRef))),
    ...SPEC_ONLY.flatMap((field) =>
      of === "attestation" && policy[field] !== undefined ? disallowedFields(field) : [],
    ),
  ];
}

function remoteErrors({ url = "", sha256sum }: NonNullable<EvaluatedPolicy["remote"]>): FieldErrors {
  return [
    ...(isHttpsUrl(url) ? [] : invalidValue(url, "url", "url valid is invalid. host and https scheme are expected")),
    ...(sha256sum ? sumWarnings(sha256sum) : missingField("sha256sum")),
  ];
}

/** No document has such a sum, but policy-controller takes the policy and then fails to load it. */
function sumWarnings(sum: string): FieldErrors {
  const says = "this is not a SHA-256 in 64 lower-case hexadecimal digits: no document will be taken for it";
  return /^[0-9a-f]{64}$/.test(sum) ? [] : asWarnings(invalidValue(sum, "sha256sum", says));
}

function configMapErrors({ name, key }: NonNullable<EvaluatedPolicy["configMapRef"]>): FieldErrors {
  return [...(name ? [] : missingField("name")), ...(key ? [] : missingField("key"))];
}
