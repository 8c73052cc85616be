/** What is measured, in the order in which it is measured. */
export const SCENARIOS = ["cold", "warm-tag", "warm-digest", "bare-digest", "restart", "burst", "deployment"] as const;

export type ScenarioName = (typeof SCENARIOS)[number];
