import { isKubeError, KubeError } from "./errors.ts";
import { adoptPage } from "./objects.ts";
import type { Call, Transport } from "./transport.ts";
import type { KubeList, KubeObject, Resource } from "./types.ts";

/** How a list is cut into pages and bounded. */
export interface ListLimits {
  readonly pageSize: number; // objects
  readonly maxPageBytes: number;
  readonly maxListBytes: number;
}

/**
 * A whole collection, page by page (`limit` and `continue`), at one resourceVersion. A page over the byte limit is asked for again
 * in a fifth of the size; a snapshot compacted between two pages (GONE) makes it begin again, once. Throws `KubeError`.
 */
export async function listAll<T extends KubeObject>(
  transport: Transport,
  resource: Resource,
  call: Call,
  limits: ListLimits,
): Promise<KubeList<T>> {
  try {
    return await allPages<T>(transport, resource, call, limits);
  } catch (thrown) {
    if (!isKubeError(thrown, "GONE")) throw thrown;
    return await allPages<T>(transport, resource, call, limits);
  }
}

async function allPages<T extends KubeObject>(
  transport: Transport,
  resource: Resource,
  call: Call,
  limits: ListLimits,
): Promise<KubeList<T>> {
  const items: T[] = [];
  let budget = limits.maxListBytes;
  let resourceVersion = "";
  for await (const page of listPages<T>(transport, resource, call, limits)) {
    budget -= page.bytes;
    if (budget < 0)
      throw new KubeError("TOO_LARGE", `${call.subject}: the list is longer than ${limits.maxListBytes} bytes`);
    items.push(...page.items);
    resourceVersion = page.resourceVersion;
  }
  return { items, resourceVersion };
}

/**
 * The pages of a collection (`limit` and `continue`), each dropped when the next is asked for, all at one resourceVersion. A page over
 * the byte limit is asked for again in a fifth of the size. Throws `KubeError`: GONE when the snapshot was compacted between two pages.
 */
export async function* listPages<T extends KubeObject>(
  transport: Transport,
  resource: Resource,
  call: Call,
  { pageSize, maxPageBytes }: Pick<ListLimits, "pageSize" | "maxPageBytes">,
): AsyncGenerator<KubeList<T> & { readonly bytes: number }, void, undefined> {
  let limit = pageSize;
  let token: string | undefined;
  for (;;) {
    const query = { ...call.query, limit: String(limit), ...(token === undefined ? {} : { continue: token }) };
    let answer: Awaited<ReturnType<Transport["json"]>>;
    try {
      answer = await transport.json({ ...call, query, maxBytes: maxPageBytes });
    } catch (thrown) {
      if (!isKubeError(thrown, "TOO_LARGE") || limit === 1) throw thrown;
      limit = Math.ceil(limit / 5);
      continue;
    }
    const { next, ...page } = adoptPage<T>(answer.value, resource, call.subject);
    yield { ...page, bytes: answer.bytes };
    if (next === undefined) return;
    token = next;
  }
}
