import { createHash } from "node:crypto";

/**
 * A key to remember by, in place of what it stands for: secrets must not be kept, and texts of others are as long as they like. Equal for
 * values whose JSON is equal, and for no others (SHA-256).
 */
export function hashKey(value: unknown): string {
  return createHash("sha256").update(JSON.stringify(value)).digest("base64");
}
