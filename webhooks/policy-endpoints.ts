import type { Snapshot } from "./case.ts";
import { defaultPolicyObject } from "./defaulting.ts";
import { type PolicyAdmission, validatePolicyObject } from "./policies.ts";
import type { Endpoint } from "./server.ts";

export interface PolicyEndpointOptions extends Omit<PolicyAdmission, "signal"> {
  /** The present configuration. Throws while it is not known. */
  readonly current: () => Pick<Snapshot, "config">;
}

/** The API server waits ten seconds. */
const BUDGET_MS = 9_000;

/** The endpoints for policies and trust roots themselves, by path. */
export function policyEndpoints(options: PolicyEndpointOptions): readonly (readonly [path: string, Endpoint])[] {
  return [
    ["/defaulting", { name: "defaults", budgetMs: BUDGET_MS, answer: (request) => defaultPolicyObject(request) }],
    [
      "/validating",
      {
        name: "policies",
        budgetMs: BUDGET_MS,
        answer: (request, signal) => validatePolicyObject(request, options.current(), { ...options, signal }),
      },
    ],
  ];
}
