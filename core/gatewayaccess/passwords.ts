import { createHash, type ScryptOptions, scrypt, timingSafeEqual } from "node:crypto";
import { hashKey } from "../hashkey.ts";
import type { ClientUser } from "./types.ts";

// RFC 7914 section 2 for interactive use: 16 MiB and some 40 ms for each guess.
const COST: ScryptOptions = { N: 16_384, r: 8, p: 1 };
const HASH_BYTES = 32;
const SALT_BYTES = 16;
const REMEMBERED = 256;

async function derive(password: string, salt: Buffer): Promise<Buffer> {
  return await new Promise((resolve, reject) =>
    scrypt(password, salt, HASH_BYTES, COST, (thrown, key) => (thrown === null ? resolve(key) : reject(thrown))),
  );
}

/** A salt that is the same for the same user of the same registry object, and for no other: equal input gives an equal document. */
export function saltFor(registryUid: string, secret: string, username: string): string {
  const hash = createHash("sha256").update(JSON.stringify(["gateway client", registryUid, secret, username]));
  return hash.digest().subarray(0, SALT_BYTES).toString("base64");
}

/** Whether `password` is the user's, compared in constant time. Takes some 40 ms of another thread. */
export async function passwordMatches(user: Pick<ClientUser, "salt" | "hash">, password: string): Promise<boolean> {
  const wanted = Buffer.from(user.hash, "base64");
  const got = await derive(password, Buffer.from(user.salt, "base64"));
  return wanted.length === got.length && timingSafeEqual(wanted, got);
}

/** Hashes passwords, and remembers (by a digest, never in clear) those that it has hashed: a reconciler asks again and again for the same. */
export class PasswordHashes {
  readonly #known = new Map<string, string>();

  /** The scrypt hash of `password` with `salt`, both base64. */
  async of(password: string, salt: string): Promise<string> {
    const key = hashKey([salt, password]);
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const hash = (await derive(password, Buffer.from(salt, "base64"))).toString("base64");
    if (this.#known.size >= REMEMBERED) this.#known.clear();
    this.#known.set(key, hash);
    return hash;
  }
}
