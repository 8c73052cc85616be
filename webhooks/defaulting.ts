import type { AdmissionRequest } from "../core/admission/request.ts";
import { writtenDefaults } from "../core/policy/written-defaults.ts";
import { isExempt } from "./policies.ts";
import { allowed, type ReviewResponse } from "./review.ts";

/** Answers `/defaulting`: writes the defaults of policies and trust roots that belong into the object. It refuses nothing. */
export async function defaultPolicyObject(request: AdmissionRequest): Promise<ReviewResponse> {
  const patch = isExempt(request) ? [] : writtenDefaults(request.kind, request.object);
  return allowed(request.uid, [], patch);
}
