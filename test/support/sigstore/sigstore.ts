import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type CtLog, startCtLog } from "./ct-log.ts";
import { type Fulcio, startFulcio } from "./fulcio.ts";
import { type OidcProvider, startOidcProvider } from "./oidc.ts";
import { type Rekor, startRekor } from "./rekor.ts";
import { type RekorV1, startRekorV1 } from "./rekor-v1.ts";
import type { TrustMaterial } from "./trusted-root.ts";
import { startTimestampAuthority, type TimestampAuthority } from "./tsa.ts";

/**
 * An instance of Sigstore on the loopback interface: the real Fulcio, Rekor 2 and timestamp authority; who its users are, the log of
 * certificates and the older Rekor are played.
 */
export interface Sigstore extends TrustMaterial {
  readonly oidc: OidcProvider;
  readonly fulcio: Fulcio;
  readonly ctLog: CtLog;
  readonly rekor: Rekor;
  readonly rekorV1: RekorV1;
  readonly tsa: TimestampAuthority;
  stop(): Promise<void>;
}

/** Starts all of it at once; builds what this machine lacks, so call it in `before` with `this.timeout(0)`. */
export async function startSigstore(): Promise<Sigstore> {
  const dir = mkdtempSync(join(tmpdir(), "entrepot-sigstore-"));
  const started: { stop(): Promise<void> }[] = [];
  const keep = async <T extends { stop(): Promise<void> }>(server: Promise<T>): Promise<T> => {
    started.push(await server);
    return server;
  };
  const stop = async () => {
    await Promise.all(started.map((server) => server.stop()));
    rmSync(dir, { recursive: true, force: true });
  };
  const front = Promise.all([keep(startOidcProvider()), keep(startCtLog()), keep(startRekorV1())]);
  const [[oidc, ctLog, rekorV1], fulcio, rekor, tsa] = await allOrNone(
    [
      front,
      front.then(([issuers, log]) => keep(startFulcio(join(dir, "fulcio"), issuers, log.url))),
      keep(startRekor(join(dir, "rekor"))),
      keep(startTimestampAuthority(join(dir, "tsa"))),
    ],
    stop,
  );
  return { oidc, ctLog, fulcio, rekor, rekorV1, tsa, stop };
}

/** All results; where one fails, the others are waited for and undone first. */
async function allOrNone<T extends readonly Promise<unknown>[]>(
  tasks: readonly [...T],
  undo: () => Promise<void>,
): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }> {
  await Promise.allSettled(tasks);
  try {
    return await Promise.all(tasks);
  } catch (thrown) {
    await undo();
    throw thrown;
  }
}
