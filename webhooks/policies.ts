import { type AdmissionRequest, stringMap } from "../core/admission/request.ts";
import { canonicalJson, type Fields, fieldsOf } from "../core/json.ts";
import { policyCacheTtl } from "../core/policy/cache-ttl.ts";
import { defaultClusterImagePolicy, defaultTrustRoot } from "../core/policy/defaults.ts";
import type { ConfigMapLookup } from "../core/policy/sources.ts";
import type { PolicyEngine } from "../core/policy/types.ts";
import { type Validation, validateClusterImagePolicy } from "../core/policy/validate.ts";
import { validateTrustRoot } from "../core/policy/validate-trustroot.ts";
import type { ClusterImagePolicySpec, TrustRootSpec } from "../crds/index.ts";
import type { Snapshot } from "./case.ts";
import { compilationErrors } from "./compilation.ts";
import { allowed, denied, type ReviewResponse } from "./review.ts";

/** What is wrong with the TUF repository in a TrustRoot's spec, as it is told to the user; undefined if nothing is. Never rejects. */
export type CheckRepository = (spec: TrustRootSpec) => Promise<string | undefined>;

/** What the admission of policies works with. */
export interface PolicyAdmission {
  readonly systemNamespace: string;
  readonly engine: Pick<PolicyEngine, "check">;
  /** ConfigMaps of the system namespace. */
  readonly configMaps: ConfigMapLookup;
  /** Absent: repositories in TrustRoots are judged by their form alone. */
  readonly checkRepository?: CheckRepository;
  /** Carries the request's deadline. */
  readonly signal: AbortSignal;
}

/**
 * Answers `/validating`: a policy or trust root that cannot mean anything is refused at `kubectl apply`, with policy-controller's
 * words. An UPDATE that leaves the spec as it was (a label, a finalizer) is never refused for it: what is wrong is a warning then.
 */
export async function validatePolicyObject(
  request: AdmissionRequest,
  snapshot: Pick<Snapshot, "config">,
  dependencies: PolicyAdmission,
): Promise<ReviewResponse> {
  if (isExempt(request)) return allowed(request.uid, [], []);
  const settled = leavesSpec(request);
  const { errors, warnings } = await validation(request, snapshot, dependencies, settled);
  if (errors === undefined) return allowed(request.uid, warnings, []);
  return settled
    ? allowed(request.uid, [errors, ...warnings], [])
    : denied(request.uid, `validation failed: ${errors}`, warnings);
}

/** Requests on which there is nothing to decide; who is being deleted only loses its finalizers now. */
export function isExempt({ operation, subResource, object }: AdmissionRequest): boolean {
  if (operation !== "CREATE" && operation !== "UPDATE") return true;
  return subResource !== "" || fieldsOf(object["metadata"])?.["deletionTimestamp"] !== undefined;
}

/** Whether an UPDATE means what the object meant before, written or defaulted. */
function leavesSpec({ operation, kind, object, oldObject }: AdmissionRequest): boolean {
  if (operation !== "UPDATE" || oldObject === undefined) return false;
  const meaning = (one: Fields) =>
    kind === "TrustRoot" ? defaultTrustRoot(one) : defaultClusterImagePolicy(one as { spec?: ClusterImagePolicySpec });
  return canonicalJson(meaning(object)) === canonicalJson(meaning(oldObject));
}

async function validation(
  request: AdmissionRequest,
  snapshot: Pick<Snapshot, "config">,
  dependencies: PolicyAdmission,
  settled: boolean,
): Promise<Validation> {
  const { kind, object } = request;
  const { systemNamespace } = dependencies;
  switch (kind) {
    case "ClusterImagePolicy": {
      const sources = settled ? [] : await compilationErrors(specOf(object), dependencies);
      const { failOnEmptyAuthorities } = snapshot.config;
      const found = validateClusterImagePolicy(object, { systemNamespace, failOnEmptyAuthorities }, sources);
      const { problem } = policyCacheTtl(stringMap(fieldsOf(object["metadata"])?.["annotations"]));
      return problem === undefined ? found : { ...found, warnings: [...found.warnings, problem] };
    }
    case "TrustRoot":
      return await trustRootValidation(object, settled, dependencies);
    default:
      return { errors: `the policy webhook was asked about a ${kind}, which it does not know`, warnings: [] };
  }
}

function specOf(object: Fields): ClusterImagePolicySpec {
  return defaultClusterImagePolicy(object as { spec?: ClusterImagePolicySpec });
}

/** Metadata that is wrong in form is not verified: it would only be said twice. */
async function trustRootValidation(
  object: Fields,
  settled: boolean,
  { checkRepository }: PolicyAdmission,
): Promise<Validation> {
  const form = validateTrustRoot(object);
  if (form.errors !== undefined || settled) return form;
  return { ...form, errors: await checkRepository?.(defaultTrustRoot(object)) };
}
