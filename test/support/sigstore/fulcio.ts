import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePorts } from "../../../hack/testcluster/controlplane.ts";
import { newAuthority } from "./authority.ts";
import { type Daemon, startDaemon } from "./daemon.ts";
import type { Bearer, OidcProvider } from "./oidc.ts";

/** The real Fulcio, with a root and an intermediate of its own. */
export interface Fulcio extends Daemon {
  readonly url: string;
  /** PEM, the issuing certificate first. */
  readonly chain: readonly [intermediate: string, root: string];
}

const PASSWORD = "test";

const ISSUER_TYPES: Readonly<Record<Bearer["kind"], string>> = {
  email: "email",
  kubernetes: "kubernetes",
  github: "github-workflow",
};

/** Starts Fulcio in a folder of its own. Without a log of certificates, the certificates that it issues hold no promise. */
export async function startFulcio(dir: string, oidc: OidcProvider, ctLogUrl: string | undefined): Promise<Fulcio> {
  mkdirSync(dir);
  const root = newAuthority("test root");
  const intermediate = newAuthority("test intermediate", root);
  const file = (name: string) => join(dir, name);
  writeFileSync(file("chain.pem"), intermediate.pem + root.pem);
  const encrypted = { type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: PASSWORD } as const;
  writeFileSync(file("key.pem"), intermediate.key.export(encrypted), { mode: 0o600 });
  writeFileSync(file("config.json"), JSON.stringify({ OIDCIssuers: issuers(oidc) }));
  const [http, grpc, metrics] = await freePorts(3);
  const daemon = await startDaemon({
    tool: "fulcio",
    args: [
      "serve",
      "--ca=fileca",
      `--fileca-cert=${file("chain.pem")}`,
      `--fileca-key=${file("key.pem")}`,
      `--fileca-key-passwd=${PASSWORD}`,
      "--fileca-watch=false",
      `--config-path=${file("config.json")}`,
      `--ct-log-url=${ctLogUrl ?? ""}`,
      "--host=127.0.0.1",
      `--port=${http}`,
      "--grpc-host=127.0.0.1",
      `--grpc-port=${grpc}`,
      `--metrics-port=${metrics}`,
      `--legacy-unix-domain-socket=${file("legacy.sock")}`,
    ],
    dir,
    ready: `http://127.0.0.1:${http}/healthz`,
  });
  return { url: `http://127.0.0.1:${http}`, chain: [intermediate.pem, root.pem], stop: () => daemon.stop() };
}

function issuers(oidc: OidcProvider): object {
  return Object.fromEntries(
    (Object.keys(ISSUER_TYPES) as Bearer["kind"][]).map((kind) => [
      oidc.issuer(kind),
      { IssuerURL: oidc.issuer(kind), ClientID: "sigstore", Type: ISSUER_TYPES[kind] },
    ]),
  );
}
