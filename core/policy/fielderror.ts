/**
 * Errors about fields, in the grammar of knative's FieldError, which policy-controller speaks and users' scripts look
 * for: `<message>: <path>, <path>` and, on the next line, details. Everything here is a value: nothing is thrown.
 */
export type Level = "error" | "warning";

export interface FieldError {
  readonly level: Level;
  readonly message: string;
  /** From the object that was checked: `spec.images[0].glob`. */
  readonly paths: readonly string[];
  readonly details: string;
}

/** Any number of them; none means that all is well. */
export type FieldErrors = readonly FieldError[];

/** The path of the value itself: `viaField("glob", …)` makes `glob` of it. */
export const CURRENT_FIELD = "";

/** `missing field(s)`: each of these must be set. */
export function missingField(...paths: readonly string[]): FieldErrors {
  return [{ level: "error", message: "missing field(s)", paths, details: "" }];
}

/** `must not set the field(s)`. */
export function disallowedFields(...paths: readonly string[]): FieldErrors {
  return [{ level: "error", message: "must not set the field(s)", paths, details: "" }];
}

/** `expected exactly one, got neither`. */
export function missingOneOf(...paths: readonly string[]): FieldErrors {
  return [{ level: "error", message: "expected exactly one, got neither", paths, details: "" }];
}

/** `expected exactly one, got both`, of however many. */
export function multipleOneOf(...paths: readonly string[]): FieldErrors {
  return [{ level: "error", message: "expected exactly one, got both", paths, details: "" }];
}

/** `invalid value: <value>`, and why. */
export function invalidValue(value: string, path: string, details = ""): FieldErrors {
  return [{ level: "error", message: `invalid value: ${value}`, paths: [path], details }];
}

/** The same errors as warnings. */
export function asWarnings(errors: FieldErrors): FieldErrors {
  return errors.map((error) => ({ ...error, level: "warning" }));
}

/** Errors found in the value of a field, as seen from the object that has the field. */
export function viaField(field: string, errors: FieldErrors): FieldErrors {
  return errors.map((error) => ({ ...error, paths: error.paths.map((path) => join(field, path)) }));
}

/** Errors found in an item of a list, as seen from the object that has the list: `field[index].…`. */
export function viaFieldIndex(field: string, index: number, errors: FieldErrors): FieldErrors {
  return viaField(`${field}[${index}]`, errors);
}

function join(field: string, path: string): string {
  return path === CURRENT_FIELD ? field : `${field}.${path}`;
}

/**
 * The errors of one level as text, or undefined if there are none: those with equal message and details are one line
 * with all their paths, sorted and without repetition; lines are sorted by message, then details.
 */
export function formatErrors(errors: FieldErrors, level: Level): string | undefined {
  const merged = merge(errors.filter((error) => error.level === level));
  return merged.length === 0 ? undefined : merged.map(lineOf).join("\n");
}

function merge(errors: FieldErrors): FieldErrors {
  const groups = Map.groupBy(errors, ({ message, details }) => `${message}\0${details}`);
  return [...groups.values()]
    .flatMap(([first, ...others]) => (first === undefined ? [] : [withPaths(first, [first, ...others])]))
    .sort((a, b) => compare(a.message, b.message) || compare(a.details, b.details));
}

function withPaths(error: FieldError, same: FieldErrors): FieldError {
  return { ...error, paths: [...new Set(same.flatMap(({ paths }) => paths))].sort(compare) };
}

/** By code units, as Go's sort does for what paths and messages consist of. */
function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function lineOf({ message, paths, details }: FieldError): string {
  const line = `${message}: ${paths.join(", ")}`;
  return details === "" ? line : `${line}\n${details}`;
}
