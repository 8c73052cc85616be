import type { ClusterImagePolicySpec, ImagePattern, MatchResource } from "../../crds/index.ts";
import { defaultClusterImagePolicy, type PolicySource, withoutNulls } from "./defaults.ts";
import {
  asWarnings,
  type FieldErrors,
  formatErrors,
  invalidValue,
  missingField,
  viaField,
  viaFieldIndex,
} from "./fielderror.ts";
import { policyErrors } from "./validate-attestation.ts";
import { authorityErrors } from "./validate-authority.ts";
import { globErrors } from "./validate-glob.ts";

export interface ValidationOptions {
  /** The namespace that holds the Secrets which policies name. */
  readonly systemNamespace: string;
  /** `fail-on-empty-authorities` of the ConfigMap `config-policy-controller`. */
  readonly failOnEmptyAuthorities: boolean;
}

/**
 * What is wrong with an object, for the API server: `errors` refuse it (after `validation failed: `), `warnings` are
 * shown.
 */
export interface Validation {
  readonly errors: string | undefined;
  /** One line each. */
  readonly warnings: readonly string[];
}

const MODES = new Set(["enforce", "warn"]);

const RESOURCES = new Set(["pods", "replicasets", "deployments", "statefulsets", "daemonsets", "jobs", "cronjobs"]);

/**
 * What is wrong with a ClusterImagePolicy of either version, once defaults are in place, in policy-controller's words.
 * With its own defaulting webhook a policy without `identities` is refused by the API server, which finds a null there;
 * that refusal, which users' scripts know, is the last line. `sources`: what compiling the policy's CUE, Rego and CEL
 * brought to light (`validate-source.ts`), with paths from the object.
 */
export function validateClusterImagePolicy(
  policy: PolicySource,
  options: ValidationOptions,
  sources: FieldErrors = [],
): Validation {
  const spec = defaultClusterImagePolicy(policy);
  const errors = [...clusterImagePolicyErrors(spec, options), ...sources];
  const refusals = [formatErrors(errors, "error"), ...nullIdentities(spec)].filter((text) => text !== undefined);
  return {
    errors: refusals.length === 0 ? undefined : refusals.join("\n"),
    warnings: formatErrors(errors, "warning")?.split("\n") ?? [],
  };
}

/** The same as values, for a spec as it is, without defaults: policy-controller's `Validate`. */
export function clusterImagePolicyErrors(spec: ClusterImagePolicySpec, options: ValidationOptions): FieldErrors {
  return viaField("spec", specErrors(withoutNulls(spec), options));
}

function specErrors(spec: ClusterImagePolicySpec, options: ValidationOptions): FieldErrors {
  const { images = [], authorities = [], match = [], mode, policy } = spec;
  return [
    ...(images.length === 0 ? missingField("images") : []),
    ...images.flatMap((image, index) => viaFieldIndex("images", index, imageErrors(image))),
    ...(authorities.length === 0 && options.failOnEmptyAuthorities ? missingField("authorities") : []),
    ...authorities.flatMap((authority, index) =>
      viaFieldIndex("authorities", index, authorityErrors(authority, options)),
    ),
    ...duplicateNames(authorities.map(({ name }, index) => name || `authority-${index}`)),
    ...(mode && !MODES.has(mode) ? invalidValue(mode, "mode", "unsupported mode") : []),
    ...match.flatMap((entry, index) => viaFieldIndex("match", index, matchErrors(entry))),
    // Not via "policy": the paths are spec.type, spec.data and so on, and have always been.
    ...(policy === undefined ? [] : policyErrors(policy, "spec")),
  ];
}

function imageErrors({ glob }: ImagePattern): FieldErrors {
  return glob ? viaField("glob", globErrors(glob)) : missingField("glob");
}

function matchErrors({ group, version, resource = "", selector }: MatchResource): FieldErrors {
  const unsupported = resource !== "" && !RESOURCES.has(resource);
  const anything = !resource && !version && !group;
  return [
    ...(unsupported ? invalidValue(resource, "resource", "unsupported resource name") : []),
    ...(selector !== undefined && anything
      ? invalidValue(resource, "selector", "selector requires a resource type to match the labels")
      : []),
  ];
}

/** Two authorities of one name are one entry in what `spec.policy` sees. policy-controller says nothing. */
function duplicateNames(names: readonly string[]): FieldErrors {
  return asWarnings(
    names.flatMap((name, index) =>
      names.indexOf(name) === index
        ? []
        : invalidValue(
            name,
            `authorities[${index}].name`,
            "another authority has this name; spec.policy sees what both of them found as one",
          ),
    ),
  );
}

function nullIdentities(spec: ClusterImagePolicySpec): readonly string[] {
  return (spec.authorities ?? []).flatMap(({ keyless }, index) =>
    keyless !== undefined && keyless.identities === undefined
      ? [`spec.authorities[${index}].keyless.identities: Invalid value: "null": name at least one identity`]
      : [],
  );
}
