/** The key of `config-policy-controller` that ends every record when it changes. */
export const EPOCH_KEY = "dev.entrepot.cache-epoch";

/**
 * An epoch that was never used before, so that no record of an earlier one lives again: the time, in ISO 8601. A counter would not do:
 * it begins anew when the ConfigMap is made anew.
 */
export function nextEpoch(before: string, now: Date): string {
  const next = now.toISOString();
  return next === before ? new Date(now.getTime() + 1).toISOString() : next;
}
