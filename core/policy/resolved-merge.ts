import { timestamp } from "../conditions.ts";
import { messageOf } from "../errors.ts";
import type { PolicyNeeds } from "./needs.ts";
import { parsePublicKeys } from "./publickeys.ts";
import { RESOLVED_LIMIT, type Resolution, sha256sum } from "./resolved.ts";

/** How one fetch ended. A problem is text for the user. */
export type Fetched = { readonly value: string } | { readonly problem: string };

/** What was tried now, by KMS URI and by sha256sum. What is not in here was not tried, and stays as it was. */
export interface Attempts {
  readonly keys: ReadonlyMap<string, Fetched>;
  readonly documents: ReadonlyMap<string, Fetched>;
}

type Field = "keys" | "documents";

/** One thing that a policy needs, and how trying it went. */
interface Entry {
  readonly field: Field;
  /** What the value is filed under. */
  readonly name: string;
  /** What the problem is filed under. */
  readonly subject: string;
  readonly fetched: Fetched | undefined;
}

/** Bytes of `resolved.json` left to problems and punctuation. */
const RESERVE = 48_000;
const PROBLEM_LIMIT = 1_000; // characters: a sentence, not a body

/**
 * What there is after some attempts. A value is replaced only by another one: an attempt that failed leaves the last good value, with a
 * problem beside it (design D7). What the policy does not need any more goes. What does not fit into a ConfigMap is a problem, and
 * never takes the place of what was there.
 */
export function mergeResolution(
  before: Resolution | undefined,
  generation: number,
  needs: PolicyNeeds,
  attempts: Attempts,
  now: Date,
): Resolution {
  const entries = entriesOf(needs, attempts);
  const draft = new Draft(generation, timestamp(now));
  for (const { field, name } of entries) {
    const last = before?.[field][name];
    if (last !== undefined) draft.keep(field, name, last, before?.fetchedAt[name]);
  }
  const problems = entries.flatMap((entry) => {
    const problem = settle(draft, entry, before);
    return problem === undefined ? [] : [[entry.subject, problem] as const];
  });
  for (const [subject, problem] of problems) draft.note(subject, problem);
  return draft.resolution;
}

function entriesOf(needs: PolicyNeeds, attempts: Attempts): readonly Entry[] {
  const keys = needs.kms.map(
    (uri): Entry => ({ field: "keys", name: uri, subject: uri, fetched: publicKeys(attempts.keys.get(uri)) }),
  );
  const documents = needs.documents.map(({ url, sha256sum: sum }): Entry => {
    return { field: "documents", name: sum, subject: url, fetched: document(attempts.documents.get(sum), sum) };
  });
  return [...keys, ...documents];
}

function publicKeys(fetched: Fetched | undefined): Fetched | undefined {
  if (fetched === undefined || "problem" in fetched) return fetched;
  try {
    const keys = parsePublicKeys(fetched.value).map((key) => key.export({ type: "spki", format: "pem" }).toString());
    return { value: keys.join("") };
  } catch (thrown) {
    return { problem: `what was fetched is no public key of an image's signer: ${messageOf(thrown)}` };
  }
}

function document(fetched: Fetched | undefined, sum: string): Fetched | undefined {
  if (fetched === undefined || "problem" in fetched || sha256sum(fetched.value) === sum) return fetched;
  return { problem: `what was fetched has sha256sum ${sha256sum(fetched.value)}, and the policy says ${sum}` };
}

/** Puts in what was fetched, and says what is wrong with the entry after that. */
function settle(draft: Draft, { field, name, subject, fetched }: Entry, before: Resolution | undefined) {
  if (fetched === undefined) {
    const isHeld = before?.[field][name] !== undefined;
    // A document that is held is what the policy says: its sum is. A problem under its URL is of another document.
    if (isHeld && field === "documents") return undefined;
    return before?.problems[subject] ?? (isHeld ? undefined : "it has not been fetched yet");
  }
  if ("problem" in fetched) return fetched.problem;
  return draft.replace(field, name, fetched.value) ? undefined : tooLarge(fetched.value);
}

function tooLarge(value: string): string {
  return `its ${Buffer.byteLength(value)} bytes do not fit: everything that one policy needs must be below 1 MB as JSON; shorten it, or make two policies of this one`;
}

/** A resolution in the making, kept within its limit. */
class Draft {
  readonly #generation: number;
  readonly #now: string;
  readonly #values = { keys: new Map<string, string>(), documents: new Map<string, string>() };
  readonly #problems = new Map<string, string>();
  readonly #fetchedAt = new Map<string, string>();
  #bytes = 0;

  constructor(generation: number, now: string) {
    this.#generation = generation;
    this.#now = now;
  }

  get resolution(): Resolution {
    return {
      generation: this.#generation,
      keys: Object.fromEntries(this.#values.keys),
      documents: Object.fromEntries(this.#values.documents),
      problems: Object.fromEntries(this.#problems),
      fetchedAt: Object.fromEntries(this.#fetchedAt),
    };
  }

  /** Puts in what was there: it always fits, having fitted before. */
  keep(field: Field, name: string, value: string, at = this.#now): void {
    this.#set(field, name, value, at);
  }

  /** Puts in what is new, if it fits, and says whether it does. */
  replace(field: Field, name: string, value: string): boolean {
    const last = this.#values[field].get(name);
    if (last === value) return true;
    const more = this.#sizeOf(name, value) - (last === undefined ? 0 : this.#sizeOf(name, last));
    if (this.#bytes + more > RESOLVED_LIMIT - RESERVE) return false;
    this.#set(field, name, value, this.#now);
    return true;
  }

  /** Notes a problem while there is room for it. */
  note(subject: string, problem: string): void {
    const text = problem.length <= PROBLEM_LIMIT ? problem : `${problem.slice(0, PROBLEM_LIMIT)}…`;
    const more = Buffer.byteLength(JSON.stringify([subject, text]));
    if (this.#bytes + more > RESOLVED_LIMIT - 1_000) return;
    this.#bytes += more;
    this.#problems.set(subject, text);
  }

  #set(field: Field, name: string, value: string, at: string): void {
    const last = this.#values[field].get(name);
    this.#bytes += this.#sizeOf(name, value) - (last === undefined ? 0 : this.#sizeOf(name, last));
    this.#values[field].set(name, value);
    this.#fetchedAt.set(name, at);
  }

  /** With the time that stands beside it. */
  #sizeOf(name: string, value: string): number {
    return Buffer.byteLength(JSON.stringify([name, value, name, this.#now]));
  }
}
