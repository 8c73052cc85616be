import type { ServerResponse } from "node:http";
import { finished } from "node:stream/promises";
import { type OciError, ociErrorBody } from "../core/gateway/errors.ts";

/** Clients take this header as proof that they speak to a registry (Docker, containerd's and ggcr's ping). */
const API_VERSION = { "docker-distribution-api-version": "registry/2.0" } as const;

export const JSON_HEADERS = { ...API_VERSION, "content-type": "application/json" } as const;

/** Gives up a client that takes nothing of an answer for `ms`. The time before the answer begins is the backend's, which has limits of its own. */
export function giveUpIdle(res: ServerResponse, ms: number): void {
  res.setTimeout(ms, () => {
    if (res.headersSent) res.destroy();
  });
}

/** Waits for the end of an answer: true when the system has taken all of it for the client, false when the connection went before. */
export async function taken(res: ServerResponse): Promise<boolean> {
  return await finished(res).then(
    () => true,
    () => false,
  );
}

/** Sends a whole JSON text; to HEAD its headers alone. */
export function sendJson(
  res: ServerResponse,
  status: number,
  body: string,
  headers: Record<string, string> = {},
): void {
  res.writeHead(status, {
    ...JSON_HEADERS,
    ...headers,
    "content-length": Buffer.byteLength(body).toString(),
  });
  res.end(body);
}

/** Sends an error of the registry API; when an answer has begun, breaks it off instead, so that it cannot pass for a whole one. */
export function sendError(res: ServerResponse, error: OciError, headers: Readonly<Record<string, string>> = {}): void {
  if (res.headersSent) {
    res.destroy();
    return;
  }
  sendJson(res, error.status, ociErrorBody(error), { ...(error.status === 405 && { allow: "GET, HEAD" }), ...headers });
}
