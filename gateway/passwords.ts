import { createHash, randomBytes } from "node:crypto";
import { type Obtained, Shared } from "../adapters/shared.ts";
import { passwordMatches } from "../core/gatewayaccess/passwords.ts";
import type { AccessDocument, ClientUser } from "../core/gatewayaccess/types.ts";
import { Slots } from "../core/slots.ts";

interface Verdict {
  readonly matches: boolean;
}

const KEEP_MS = 5 * 60_000;
const REMEMBERED = 4_096;
const DEADLINE_MS = 10_000;
// A guess costs 40 ms of a thread: two at once leave the pool to others, and who guesses fills his own queue.
const AT_ONCE = 2;
const WAITING = 64;

/**
 * Checks passwords against the hashes of the access document. A password that was checked is remembered with the hash it was checked
 * against, by a keyed digest: with another hash it is checked anew, so a rotated password is refused as soon as the document changes.
 */
export class Passwords {
  readonly #slots = new Slots(AT_ONCE, WAITING);
  readonly #verdicts = new Shared<Verdict>({ max: REMEMBERED, keepMs: () => KEEP_MS });
  readonly #key = randomBytes(32);

  /** The name of the user that these credentials are of, among those whose Secret is in `secrets`. Throws `DomainError` BUSY. */
  async userOf(
    document: AccessDocument,
    secrets: ReadonlySet<string>,
    username: string,
    password: string,
  ): Promise<string | undefined> {
    for (const user of document.users) {
      if (user.username !== username || !secrets.has(user.secret)) continue;
      if ((await this.#check(user, password)).value.matches) return user.username;
    }
    return undefined;
  }

  async #check(user: ClientUser, password: string): Promise<Obtained<Verdict>> {
    const key = createHash("sha256")
      .update(this.#key)
      .update(JSON.stringify([user.salt, user.hash, password]));
    return await this.#verdicts.get(key.digest("base64"), AbortSignal.timeout(DEADLINE_MS), async () => ({
      matches: await this.#slots.run(async () => await passwordMatches(user, password)),
    }));
  }
}
