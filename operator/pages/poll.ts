import type { Clock } from "../../adapters/clock.ts";
import { messageOf } from "../../core/errors.ts";
import type { Endpoint } from "./endpoints.ts";
import type { FetchPage } from "./fetch.ts";

/** What one replica says, or why it says nothing. */
export type Answer<Page> =
  | { readonly endpoint: string; readonly page: Page }
  | { readonly endpoint: string; readonly problem: string };

interface Memo<Page> {
  readonly takenAt: number;
  readonly answer: Promise<Answer<Page>>;
}

/**
 * Asks replicas for a status page. An answer is shared by everyone who asks within `memoMs`: a thousand rules that wait for one
 * gateway cost it two requests a second, not a thousand.
 */
export class StatusPages<Page> {
  readonly #path: string;
  readonly #parse: (document: unknown) => Page;
  readonly #fetch: FetchPage;
  readonly #clock: Clock;
  readonly #memoMs: number;
  readonly #memos = new Map<string, Memo<Page>>();

  constructor(path: string, parse: (document: unknown) => Page, fetch: FetchPage, clock: Clock, memoMs = 400) {
    this.#path = path;
    this.#parse = parse;
    this.#fetch = fetch;
    this.#clock = clock;
    this.#memoMs = memoMs;
  }

  /** The pages of all `endpoints`. Never throws: a replica that can't be asked is an answer with a problem. */
  async ask(endpoints: readonly Endpoint[], signal: AbortSignal): Promise<readonly Answer<Page>[]> {
    const now = this.#clock.monotonicMs();
    for (const [origin, memo] of this.#memos) if (now - memo.takenAt >= this.#memoMs) this.#memos.delete(origin);
    return await Promise.all(
      endpoints.map((endpoint) => {
        const known = this.#memos.get(endpoint.origin);
        if (known !== undefined) return known.answer;
        const answer = this.#one(endpoint, signal);
        this.#memos.set(endpoint.origin, { takenAt: now, answer });
        return answer;
      }),
    );
  }

  async #one(endpoint: Endpoint, signal: AbortSignal): Promise<Answer<Page>> {
    try {
      return {
        endpoint: endpoint.name,
        page: this.#parse(await this.#fetch(`${endpoint.origin}${this.#path}`, signal)),
      };
    } catch (thrown) {
      return { endpoint: endpoint.name, problem: messageOf(thrown) };
    }
  }
}
