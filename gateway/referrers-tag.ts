import { startDeadline } from "../adapters/deadline.ts";
import { headerOf } from "../core/gateway/headers.ts";
import { REFERRERS_LIMITS, referrersTag } from "../core/gateway/referrers.ts";
import { readTag } from "../core/gateway/referrers-tag.ts";
import { PRIVATE_HEADER } from "../core/gatewayaccess/names.ts";
import { OCI_INDEX } from "../core/registry/media-types.ts";
import { asBackendError, type BackendAnswer, type Backends } from "./backend.ts";
import { readText } from "./body.ts";
import type { Listed, Subject } from "./referrers-upstream.ts";

const TOTAL_MS = 90_000; // as for any manifest: a dead upstream costs distribution a minute before it looks into its storage

/**
 * The referrers tag as the proxy has it: the upstream's, or while that is away what is stored. `none` is a proxy's "not found", which may
 * also mean that it could not ask. Never rejects.
 */
export async function backendTag(
  backends: Backends,
  origin: string,
  { repository, digest }: Subject,
  signal: AbortSignal,
): Promise<Listed> {
  const request = {
    origin,
    method: "GET",
    path: `/v2/${repository}/manifests/${referrersTag(digest)}`,
    headers: { accept: OCI_INDEX, "accept-encoding": "identity", "user-agent": "entrepot-gateway" },
  } as const;
  using deadline = startDeadline(TOTAL_MS, signal);
  try {
    return await read(await backends.open({ ...request, signal: deadline.signal }), digest);
  } catch (thrown) {
    const { code, message } = asBackendError(thrown);
    const late = deadline.expired || code === "BACKEND_TIMEOUT";
    const why = `the referrers tag cannot be read: ${deadline.expired ? "its backend did not finish in time" : message}`;
    return { kind: "failed", failure: { problem: late ? "UPSTREAM_TIMEOUT" : "UPSTREAM_UNREACHABLE", why } };
  }
}

async function read({ status, headers, body }: BackendAnswer, digest: string): Promise<Listed> {
  const [contentType, announced] = [headerOf(headers, "content-type"), headerOf(headers, "docker-content-digest")];
  const marked = PRIVATE_HEADER in headers;
  const text = status === 200 ? await readText(body, REFERRERS_LIMITS.bytes) : "";
  if (status !== 200) void body.dump({ limit: 16 * 1024 }).catch(() => undefined);
  const tag = readTag({ status, contentType, announced, body: Buffer.from(text) }, digest);
  return tag.kind === "failed" ? tag : { ...tag, marked };
}
