import { mkdirSync } from "node:fs";
import { freePorts } from "../../../hack/testcluster/controlplane.ts";
import { type Daemon, startDaemon } from "./daemon.ts";

/** The real timestamp authority of Sigstore, with keys that live in its memory. */
export interface TimestampAuthority extends Daemon {
  /** Where time-stamp requests (RFC 3161) go. */
  readonly url: string;
  /** PEM, the signing certificate first. */
  readonly chain: readonly string[];
}

/** Starts it in a folder of its own. */
export async function startTimestampAuthority(dir: string): Promise<TimestampAuthority> {
  mkdirSync(dir);
  const [port] = await freePorts(1);
  const origin = `http://127.0.0.1:${port}`;
  const daemon = await startDaemon({
    tool: "timestampauthority",
    args: ["--host=127.0.0.1", `--port=${port}`],
    dir,
    ready: `${origin}/ping`,
  });
  const pem = await (await fetch(`${origin}/api/v1/timestamp/certchain`)).text();
  const chain = pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----\n?/g) ?? [];
  return { url: `${origin}/api/v1/timestamp`, chain, stop: () => daemon.stop() };
}
