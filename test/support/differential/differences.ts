/**
 * Every way in which we answer otherwise than policy-controller does, on purpose: docs/compatibility.md explains each under the same name.
 * `why` is the defect of policy-controller that we do not have, or the decision that we took.
 */
export const DIFFERENCES = {
  "pins-are-on-pods": "D4, D5: templates keep what Git says; tags are pinned on Pods",
  "static-asks-nobody": "a verdict that is fixed needs no digest: policy-controller issue 1863",
  "tags-that-do-not-resolve": "D7: the reason is told, where policy-controller says that a digest is missing",
  "what-registries-say": "the registry's answer in words that say what to do, after the same beginning",
  "reference-errors": "the same words, and then what is wrong with the reference",
  "one-letter-repositories": "the OCI specification has them",
  "unchanged-images": "ADR 0003, D6: an UPDATE that brings no new image is not refused",
  "ephemeral-containers": "defect 9: their tags are resolved like others",
  "scale-down": "defect 8: an image that changes while scaling down is verified",
  "image-volumes": "defect 7: image volumes are images",
  "globs-and-tags": "defect 6: globs match tags beside digests",
  "docker-hub-globs": "defect 6: docker.io is index.docker.io",
  "match-without-version": "defect 6: what match leaves out matches everything",
  "duplicate-names": "defect 6: authorities of one name do not hide each other, and there is a warning",
  "no-authorities": "defect 2: a policy without authorities is judged by its spec.policy, and an error is never a pass",
  "pods-have-a-type": "includeTypeMeta holds for Pods too; policy-controller evaluates them without it",
  bundles: "bundles are verified, keyed ones too: policy-controller issues 1958 and 1406",
  "several-keys": "every key of a PEM text counts: policy-controller issue 1652",
  "missing-lists":
    "our webhook names what is missing; policy-controller turns it into null, and it is the API server that refuses that",
  "spec-policy-speaks-alone":
    "D1: what was found is remembered, not what was not; where an authority matched, spec.policy gives the reason",
  "common-expression-language": "CEL beside CUE and Rego",
  "compiled-at-admission": "a policy whose CUE or Rego does not compile is refused, not what it would have judged",
} as const;

export type DifferenceName = keyof typeof DIFFERENCES;
