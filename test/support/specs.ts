import { existsSync } from "node:fs";
import { join, resolve } from "node:path";

const SPECS = resolve(process.env["ENTREPOT_SPECS"] ?? join(import.meta.dirname, "../../../shared/specs"));

/** A vendor's machine-readable API description or recording, which is no part of this project; undefined where it is not to be had. */
export function specFile(name: string): string | undefined {
  const file = join(SPECS, name);
  return existsSync(file) ? file : undefined;
}
