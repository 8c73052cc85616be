import type { LabelSelector } from "./types.ts";

type Labels = Readonly<Record<string, string>>;
type Expression = NonNullable<LabelSelector["matchExpressions"]>[number];

function holds({ key, operator, values = [] }: Expression, labels: Labels): boolean | undefined {
  const value = key === undefined ? undefined : labels[key];
  switch (operator) {
    case "In":
      return value !== undefined && values.includes(value);
    case "NotIn":
      return value === undefined || !values.includes(value);
    case "Exists":
      return value !== undefined;
    case "DoesNotExist":
      return value === undefined;
    default:
      return undefined;
  }
}

/**
 * Whether labels satisfy a metav1.LabelSelector (Kubernetes API conventions: all requirements hold; empty selects everything).
 * undefined for a selector with an operator that does not exist: the caller must refuse, not skip.
 */
export function selects(selector: LabelSelector, labels: Labels): boolean | undefined {
  const expressions = (selector.matchExpressions ?? []).map((expression) => holds(expression, labels));
  if (expressions.includes(undefined)) return undefined;
  return (
    Object.entries(selector.matchLabels ?? {}).every(([key, value]) => labels[key] === value) &&
    !expressions.includes(false)
  );
}
