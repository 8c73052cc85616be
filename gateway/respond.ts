import type { ServerResponse } from "node:http";
import { type OciError, ociErrorBody } from "../core/gateway/errors.ts";

/** Clients take this header as proof that they speak to a registry (Docker, containerd's and ggcr's ping). */
const API_VERSION = { "docker-distribution-api-version": "registry/2.0" } as const;

/** Sends a whole JSON text; to HEAD its headers alone. */
export function sendJson(
  res: ServerResponse,
  status: number,
  body: string,
  headers: Record<string, string> = {},
): void {
  res.writeHead(status, {
    ...API_VERSION,
    "content-type": "application/json",
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
