import type { Scenario } from "./model.ts";
import { attestations } from "./rows-attestations.ts";
import { authorities } from "./rows-authorities.ts";
import { matching } from "./rows-matching.ts";
import { objects } from "./rows-objects.ts";
import { sampled } from "./rows-samples.ts";
import { workloads } from "./rows-workloads.ts";

/** Everything that is compared. */
export const SCENARIOS: readonly Scenario[] = [
  ...authorities,
  ...attestations,
  ...objects,
  ...workloads,
  ...matching,
  ...sampled,
];
