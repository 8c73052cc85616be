import { DomainError } from "../errors.ts";
import { fieldsOf, parseJson, stringField } from "../json.ts";
import type { AccessDocument, ClientUser } from "./types.ts";

const VERSION = 1;
const USERS_LIMIT = 64;
const SIZE_LIMIT = 256 * 1024;
const BASE64 = /^[A-Za-z0-9+/]{16,128}={0,2}$/;

/** The text of `access.json`. Equal documents give equal text, whatever the order of users. */
export function formatAccessDocument({ users }: AccessDocument): string {
  const sorted = [...users].sort((a, b) => (a.secret < b.secret ? -1 : 1));
  const lines = sorted.map(({ secret, username, salt, hash }) => ({ secret, username, salt, hash }));
  return `${JSON.stringify({ version: VERSION, users: lines }, null, 1)}\n`;
}

function readUser(value: unknown): ClientUser | undefined {
  const [secret, username, salt, hash] = ["secret", "username", "salt", "hash"].map((name) => stringField(value, name));
  if (secret === undefined || username === undefined || salt === undefined || hash === undefined) return undefined;
  const sound = secret !== "" && username !== "" && BASE64.test(salt) && BASE64.test(hash);
  return sound ? { secret, username, salt, hash } : undefined;
}

/** Reads `access.json`. Throws `ACCESS_INVALID`, without quoting it, when anything in it is not as `formatAccessDocument` writes it. */
export function parseAccessDocument(text: string): AccessDocument {
  const bad = (why: string) => new DomainError("ACCESS_INVALID", `the access document ${why}`);
  if (text.length > SIZE_LIMIT) throw bad(`is larger than ${SIZE_LIMIT} bytes`);
  const parsed = fieldsOf(parseJson(text));
  if (parsed === undefined) throw bad("is not a JSON object");
  if (parsed["version"] !== VERSION) throw bad("has another version than this gateway reads: update the gateway");
  const listed = parsed["users"];
  if (!Array.isArray(listed) || listed.length > USERS_LIMIT) throw bad("has no list of users, or too long a one");
  return {
    users: listed.map((entry: unknown, index) => {
      const user = readUser(entry);
      if (user === undefined) throw bad(`has no sound user at position ${index}`);
      return user;
    }),
  };
}
