import { serveLoopback } from "./loopback.ts";
import type { Sigstore } from "./sigstore.ts";

/** What listens where the servers of a Sigstore were. */
export interface Tripwires {
  /** What was asked there since. */
  readonly requests: readonly string[];
  stop(): Promise<void>;
}

/** Ends every server of a Sigstore and notes who still asks one. */
export async function replaceByTripwires({ fulcio, rekor, rekorV1, tsa, ctLog, oidc }: Sigstore): Promise<Tripwires> {
  await Promise.all([fulcio, rekor, rekorV1, tsa, ctLog, oidc].map((server) => server.stop()));
  const requests: string[] = [];
  const urls = [fulcio.url, rekor.url, rekorV1.url, tsa.url, ctLog.url, oidc.issuer("email")];
  const listeners = await Promise.all(
    urls.map((url) =>
      serveLoopback(
        (method, path) => {
          requests.push(`${method} ${path}`);
          return undefined;
        },
        Number(new URL(url).port),
      ),
    ),
  );
  return {
    requests,
    stop: async () => void (await Promise.all(listeners.map((listener) => listener.stop()))),
  };
}
