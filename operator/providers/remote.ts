import { durationMs } from "../../core/duration.ts";
import type { CacheRegistryObject, CacheRuleObject } from "../../crds/index.ts";
import { REASON } from "../../crds/index.ts";
import type { Events } from "../events.ts";

/** How long things outside the cluster are left alone, and waited for. */
export interface RemoteIntervals {
  /** Between comparisons of a registry's product with what is declared, where `spec.driftInterval` says nothing. */
  readonly driftMs: number;
  /** While something at a product is on its way or fails. */
  readonly unhealthyMs: number;
  /** How long a deletion waits for a product that can't be asked, or gets nowhere. */
  readonly patienceMs: number;
}

/** How often the registry's product is compared with what is declared. */
export function driftMs(registry: CacheRegistryObject, intervals: RemoteIntervals): number {
  return durationMs(registry.spec.driftInterval ?? "") ?? intervals.driftMs;
}

/** Says that an object was let go although something of it stays in the registry's product. */
export function noteLeft(events: Events, object: CacheRegistryObject | CacheRuleObject, note: string): void {
  events.record({ regarding: object, type: "Warning", reason: REASON.LeftBehind, action: "Delete", note });
}
