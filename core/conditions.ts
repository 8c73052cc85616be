/** A condition of a status, as in k8s.io/apimachinery meta/v1 Condition. */
export interface Condition {
  readonly type: string;
  readonly status: "True" | "False" | "Unknown";
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration?: number;
  readonly lastTransitionTime: string;
}

/** What a reconciler says; the time of the transition is worked out. */
export type ConditionUpdate = Omit<Condition, "lastTransitionTime">;

const MESSAGE_LIMIT = 32_768; // maxLength of Condition.message in meta/v1

/** A `metav1.Time`: RFC 3339 in UTC with whole seconds. */
export function timestamp(now: Date): string {
  return now.toISOString().replace(/\.\d{3}Z$/, "Z");
}

/** The condition of that type, if there is one. */
export function findCondition(conditions: readonly Condition[] | undefined, type: string): Condition | undefined {
  return conditions?.find((condition) => condition.type === type);
}

/**
 * The conditions with `update` in the place of its type (or appended). `lastTransitionTime` moves to `now` only when the status
 * changes; a message over the API's limit is cut. The input is not changed.
 */
export function setCondition(
  conditions: readonly Condition[] | undefined,
  update: ConditionUpdate,
  now: Date,
): readonly Condition[] {
  const before = findCondition(conditions, update.type);
  const moved = before === undefined || before.status !== update.status;
  const after: Condition = {
    ...update,
    message: update.message.slice(0, MESSAGE_LIMIT),
    lastTransitionTime: moved ? timestamp(now) : before.lastTransitionTime,
  };
  const rest = conditions ?? [];
  return before === undefined ? [...rest, after] : rest.map((condition) => (condition === before ? after : condition));
}

function same(a: Condition, b: Condition | undefined): boolean {
  return (
    b !== undefined &&
    a.status === b.status &&
    a.reason === b.reason &&
    a.message === b.message &&
    a.observedGeneration === b.observedGeneration &&
    a.lastTransitionTime === b.lastTransitionTime
  );
}

/** Whether writing `b` over `a` would change nothing; the order of conditions means nothing (they are a map by type). */
export function conditionsEqual(a: readonly Condition[] | undefined, b: readonly Condition[] | undefined): boolean {
  const left = a ?? [];
  const right = b ?? [];
  return (
    left.length === right.length && left.every((condition) => same(condition, findCondition(right, condition.type)))
  );
}
