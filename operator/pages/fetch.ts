import { Agent, request } from "undici";
import { startDeadline } from "../../adapters/deadline.ts";
import { DomainError, messageOf } from "../../core/errors.ts";

const DEADLINE_MS = 5_000; // a gateway asks its backends first, for two seconds at most
const SIZE_LIMIT = 32 * 1024 * 1024; // 100,000 rules of some 300 bytes

/** Reads a JSON document. Throws `DomainError` PAGE_UNREADABLE with the reason. */
export type FetchPage = (url: string, signal: AbortSignal) => Promise<unknown>;

function unreadable(url: string, why: string, cause?: unknown): DomainError<"PAGE_UNREADABLE"> {
  return new DomainError("PAGE_UNREADABLE", `${url}: ${why}`, { cause });
}

/** A `FetchPage` over HTTP, bounded in time (5 s) and bytes (32 MiB); redirects are not followed. Close it with `close`. */
export function pageReader(): { readonly fetch: FetchPage; close(): Promise<void> } {
  const agent = new Agent({
    connections: 4,
    pipelining: 1,
    keepAliveTimeout: 4_000,
    maxResponseSize: SIZE_LIMIT,
    connectTimeout: DEADLINE_MS,
  });
  const fetch: FetchPage = async (url, signal) => {
    using deadline = startDeadline(DEADLINE_MS, signal);
    try {
      const { statusCode, body } = await request(url, {
        dispatcher: agent,
        signal: deadline.signal,
        headers: { accept: "application/json" },
      });
      if (statusCode !== 200) {
        await body.dump();
        throw unreadable(url, `HTTP status ${statusCode}`);
      }
      return await body.json();
    } catch (thrown) {
      if (thrown instanceof DomainError) throw thrown;
      throw unreadable(url, deadline.expired ? `no answer within ${DEADLINE_MS / 1000} s` : messageOf(thrown), thrown);
    }
  };
  return { fetch, close: () => agent.destroy() };
}
