import { Agent, type Dispatcher, request } from "undici";
import { DomainError, messageOf } from "../../core/errors.ts";
import { startDeadline } from "../deadline.ts";
import { checkLiteral, lookupWithin, type Nearness } from "../registry/addresses.ts";
import { TufError, type TufRepository } from "./repository.ts";

export interface MirrorOptions {
  /** For one file, redirects included, to its last byte; 10 s if absent. */
  readonly fileMs?: number;
}

/** A TUF repository over HTTP, whose connections can be closed. */
export interface Mirror extends TufRepository {
  close(): Promise<void>;
}

const FILE_MS = 10_000;
const CONNECT_MS = 5_000;
const REDIRECTS = 3;
const HEADER_LIMIT = 16 * 1024;

function createAgent(reach: Nearness): Agent {
  return new Agent({
    connect: { timeout: CONNECT_MS, lookup: lookupWithin(reach) },
    connections: 2,
    pipelining: 1,
    allowH2: false,
    keepAliveTimeout: 4_000,
    maxHeaderSize: HEADER_LIMIT,
    headersTimeout: 0, // the file's own deadline covers headers and body
    bodyTimeout: 0,
  });
}

/** The URL of a mirror. Throws `TUF_INVALID` for what is none, or neither http nor https. */
function mirrorUrl(mirror: string): URL {
  const url = URL.parse(mirror);
  if (url === null || (url.protocol !== "https:" && url.protocol !== "http:"))
    throw new TufError("TUF_INVALID", `the mirror ${JSON.stringify(mirror.slice(0, 200))} is no http or https URL`);
  if (!url.pathname.endsWith("/")) url.pathname += "/";
  return url;
}

/** Where a redirect leads. Away from https, and to anything but HTTP, is refused. */
function redirected(from: URL, location: string | string[] | undefined): URL {
  const to = typeof location === "string" ? URL.parse(location, from.href) : null;
  if (to === null) throw new TufError("TUF_UNREACHABLE", `${from.host} redirects to nowhere`);
  if (to.protocol !== "https:" && to.protocol !== from.protocol)
    throw new TufError("TUF_UNREACHABLE", `${from.host} redirects to a ${to.protocol} URL, which is not followed`);
  return to;
}

async function bodyWithin(body: Dispatcher.ResponseData["body"], limit: number, what: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    length += chunk.length;
    // Leaving the loop destroys the stream, and with it the connection.
    if (length > limit)
      throw new TufError("TUF_TOO_LARGE", `${what} is longer than the ${limit} bytes that it may have`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, length);
}

/**
 * The TUF repository at `mirror`, an http or https URL: whoever configures it may name any host but link-local ones. Every file is
 * bounded in bytes and time. Redirects (three at most) are followed within the scheme or to https, and to another host only if its
 * address is public: a mirror must not lead us into the cluster. Nothing is retried. Throws `TufError`.
 */
export function httpMirror(mirror: string, options: MirrorOptions = {}): Mirror {
  const base = mirrorUrl(mirror);
  const fileMs = options.fileMs ?? FILE_MS;
  const agents = { public: createAgent("public"), loopback: createAgent("loopback") };

  const get = async (start: URL, limit: number, signal: AbortSignal): Promise<Buffer> => {
    let url = start;
    for (let hop = 0; hop <= REDIRECTS; hop++) {
      const reach = url.hostname === base.hostname ? "loopback" : "public";
      checkLiteral(url, reach);
      const response = await request(url, {
        dispatcher: agents[reach],
        signal,
        headers: { "user-agent": "entrepot", accept: "application/octet-stream, application/json;q=0.9, */*;q=0.1" },
      });
      const { statusCode, headers, body } = response;
      const what = `${url.origin}${url.pathname}`;
      if (statusCode === 200) {
        try {
          return await bodyWithin(body, limit, what);
        } finally {
          body.on("error", () => undefined).destroy();
        }
      }
      body.on("error", () => undefined).destroy();
      if ([301, 302, 303, 307, 308].includes(statusCode)) url = redirected(url, headers["location"]);
      // Stores such as S3 say 403 of what is not there to those who may not list.
      else if ([403, 404, 410].includes(statusCode))
        throw new TufError("TUF_FILE_MISSING", `${what}: HTTP status ${statusCode}`);
      else throw new TufError("TUF_UNREACHABLE", `${what}: HTTP status ${statusCode}`);
    }
    throw new TufError("TUF_UNREACHABLE", `${start.host} redirects more than ${REDIRECTS} times`);
  };

  return {
    read: async (path, limit, signal) => {
      const url = new URL(path, base);
      using deadline = startDeadline(fileMs, signal);
      try {
        return await get(url, limit, deadline.signal);
      } catch (thrown) {
        if (thrown instanceof DomainError) throw thrown;
        const why = deadline.expired ? `it did not come within ${fileMs / 1000} s` : messageOf(thrown);
        throw new TufError("TUF_UNREACHABLE", `${url.origin}${url.pathname}: ${why}`, thrown);
      }
    },
    close: async () => {
      await Promise.all(Object.values(agents).map((agent) => agent.destroy()));
    },
  };
}
