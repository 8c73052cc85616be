import { kyverno } from "./competitors/kyverno.ts";
import { policyController } from "./competitors/policycontroller.ts";
import type { Contestant } from "./contestant.ts";
import { entrepot } from "./contestants/entrepot.ts";
import { none } from "./contestants/none.ts";
import { noop } from "./contestants/noop.ts";

/** Everything that is measured, in the order of the table. */
export const CONTESTANTS: readonly Contestant[] = [
  none,
  noop,
  entrepot,
  policyController(),
  kyverno(false),
  kyverno(true),
];
