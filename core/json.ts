/** A JSON object: what foreign JSON is until it is narrowed. */
export type Fields = Readonly<Record<string, unknown>>;

/** Whether `value` is an object (no array, not null). */
export function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** `value` as an object, or undefined: the first step of narrowing foreign JSON. */
export function fieldsOf(value: unknown): Fields | undefined {
  return isFields(value) ? value : undefined;
}

/** The field `name` of a JSON object when it is a string. */
export function stringField(value: unknown, name: string): string | undefined {
  const field = fieldsOf(value)?.[name];
  return typeof field === "string" ? field : undefined;
}

/** Parses foreign JSON; undefined if it is none. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** JSON with sorted keys: equal values give equal text. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === "object" && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
      : inner,
  );
}
