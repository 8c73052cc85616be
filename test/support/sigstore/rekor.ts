import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePorts } from "../../../hack/testcluster/controlplane.ts";
import { generatePem } from "../keys.ts";
import { type Daemon, startDaemon } from "./daemon.ts";

/** The real Rekor, version 2 (tiles in a folder). */
export interface Rekor extends Daemon {
  readonly url: string;
  /** PEM. */
  readonly publicKey: string;
}

/** Starts it in a folder of its own. Sigstore's own log signs with Ed25519. */
export async function startRekor(dir: string, kind: "P-256" | "ed25519" = "P-256"): Promise<Rekor> {
  mkdirSync(dir);
  const { privateKey, publicKey } = generatePem(kind);
  const key = join(dir, "key.pem");
  writeFileSync(key, privateKey, { mode: 0o600 });
  const [http, grpc, metrics] = await freePorts(3);
  const host = `127.0.0.1:${http}`;
  const daemon = await startDaemon({
    tool: "rekortiles",
    args: [
      "serve",
      "--hostname=127.0.0.1", // the origin in its checkpoints: the name in its address
      "--http-address=127.0.0.1",
      `--http-port=${http}`,
      "--grpc-address=127.0.0.1",
      `--grpc-port=${grpc}`,
      `--http-metrics-port=${metrics}`,
      `--storage-dir=${join(dir, "tiles")}`,
      `--signer-filepath=${key}`,
      "--checkpoint-interval=100ms",
      "--batch-max-age=10ms",
    ],
    dir,
    ready: `http://${host}/healthz`,
  });
  return {
    url: `http://${host}`,
    publicKey,
    stop: () => daemon.stop(),
  };
}
