import { type HeaderMap, requestHeaders, responseHeaders } from "./headers.ts";

/** The answer to the first byte, and how long the whole is. */
const FIRST_OF = /^bytes 0-0\/([1-9][0-9]{0,15})$/;

/**
 * The headers of the GET that a client's HEAD of a blob is asked with. CNCF distribution answers HEAD of a blob that it has not stored
 * only when it has downloaded all of it (proxyblobstore.go), where GET has its headers with the first bytes and can be left. Of a stored
 * blob one byte comes, so that its connection serves again; of one that is not, `Range` is ignored.
 */
export function blobHeadRequest(client: HeaderMap): Record<string, string> {
  const { "if-range": _idle, ...headers } = requestHeaders(client, "HEAD");
  return { ...headers, range: "bytes=0-0" };
}

/** The headers that HEAD has, from the answer to that GET, which is 200 or 206; undefined when a part does not say of how much. */
export function blobHeadResponse(status: number, backend: HeaderMap): Record<string, string> | undefined {
  const { "content-range": part, ...headers } = responseHeaders(backend);
  if (status !== 206) return headers;
  const whole = FIRST_OF.exec(part ?? "")?.[1];
  return whole === undefined ? undefined : { ...headers, "content-length": whole };
}
