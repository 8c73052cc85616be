import type { RequestOptions } from "node:https";
import { loadAccess } from "../adapters/kube/access.ts";

/** How the bench's own connections reach the API server. */
export interface Credentials {
  readonly server: string;
  /** For undici: whom to trust. */
  readonly connect: { readonly ca?: string };
  /** Names and values in turn. */
  readonly headers: string[];
}

/** Reads a kubeconfig with a bearer token. */
export async function readCredentials(kubeconfig: string, server: string): Promise<Credentials> {
  const options: RequestOptions = {};
  await (await loadAccess({ KUBECONFIG: kubeconfig })).applyToHTTPSOptions(options);
  const { ca, headers } = options;
  return {
    server,
    connect: ca === undefined ? {} : { ca: String(ca) },
    headers: Object.entries(headers ?? {}).flatMap(([name, value]) => [name, String(value)]),
  };
}
