import type { AdmissionRequest } from "../core/admission/request.ts";
import { validateClusterImagePolicy } from "../core/policy/validate.ts";
import { validateTrustRoot } from "../core/policy/validate-trustroot.ts";
import type { Snapshot } from "./case.ts";
import { allowed, denied, type ReviewResponse } from "./review.ts";

/** Answers `/validating`: a policy or trust root that cannot mean anything is refused at `kubectl apply`, with policy-controller's words. */
export function validatePolicyObject(
  request: AdmissionRequest,
  snapshot: Snapshot,
  systemNamespace: string,
): ReviewResponse {
  const deleted = request.operation === "DELETE" || request.subResource !== "";
  if (deleted) return allowed(request.uid, [], []);
  const { errors, warnings } = check(request, snapshot, systemNamespace);
  return errors === undefined
    ? allowed(request.uid, warnings, [])
    : denied(request.uid, `validation failed: ${errors}`, warnings);
}

function check(
  request: AdmissionRequest,
  snapshot: Snapshot,
  systemNamespace: string,
): { errors: string | undefined; warnings: readonly string[] } {
  switch (request.kind) {
    case "ClusterImagePolicy":
      return validateClusterImagePolicy(request.object, {
        systemNamespace,
        failOnEmptyAuthorities: snapshot.config.failOnEmptyAuthorities,
      });
    case "TrustRoot":
      return validateTrustRoot(request.object);
    default:
      return { errors: `the policy webhook was asked about a ${request.kind}, which it does not know`, warnings: [] };
  }
}
