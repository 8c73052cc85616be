import { createPublicKey } from "node:crypto";
import { readFile } from "node:fs/promises";
import { getCACertificates } from "node:tls";
import { Agent, type Dispatcher, request } from "undici";
import { type Fields, fieldsOf, parseJson, stringField } from "../../core/json.ts";
import { KmsError, networkCodeOf } from "./errors.ts";
import type { VaultKey } from "./uri.ts";

export interface VaultSettings {
  /** `VAULT_ADDR`. */
  readonly address: string;
  /** `VAULT_NAMESPACE`. */
  readonly namespace?: string;
  /** Where the transit engine is mounted, `transit` by default. */
  readonly transitPath: string;
  /** PEM, beside the system's. */
  readonly ca?: string;
  readonly login: VaultLogin;
}

/** A token, or Vault's Kubernetes auth method with the ServiceAccount's own token. */
export type VaultLogin =
  | { readonly kind: "none" }
  | { readonly kind: "token"; readonly token: string }
  | { readonly kind: "kubernetes"; readonly role: string; readonly mount: string; readonly tokenFile: string };

const RESPONSE_LIMIT = 1024 * 1024; // a transit key with many versions
const CONNECT_MS = 5_000;
const HEADER_LIMIT = 16 * 1024;

/**
 * The public key of the latest version of a key in the transit engine of a Vault or OpenBao (`GET /v1/transit/keys/KEY`). A token that was
 * got for this is revoked. Throws `KmsError`.
 */
export async function vaultPublicKey(key: VaultKey, settings: VaultSettings, signal: AbortSignal): Promise<string> {
  const { ca, login, transitPath } = settings;
  const agent = new Agent({
    connect: { timeout: CONNECT_MS, ...(ca !== undefined && { ca: [...getCACertificates("default"), ca] }) },
    maxHeaderSize: HEADER_LIMIT,
    maxResponseSize: RESPONSE_LIMIT,
  });
  const session = new Session(settings, agent, signal);
  try {
    await session.login(login);
    const read = await session.call("GET", `${pathOf(transitPath)}/keys/${encodeURIComponent(key.name)}`);
    return publicKeyOf(fieldsOf(read["data"]) ?? {});
  } finally {
    await session.logout(login);
    await agent.destroy();
  }
}

/** The PEM of the latest version of a transit key. Throws `KMS_KEY_UNUSABLE`. */
export function publicKeyOf({ keys, latest_version: latest }: Fields): string {
  const version = fieldsOf(fieldsOf(keys)?.[String(latest)]);
  const text = stringField(version, "public_key");
  if (!text) throw new KmsError("KMS_KEY_UNUSABLE", "the transit key is symmetric: it has no public key");
  if (stringField(version, "name") !== "ed25519") return text;
  // Vault writes the 32 bytes of an Ed25519 key in base64, and every other key in PEM.
  const x = Buffer.from(text, "base64").toString("base64url");
  const jwk = { kty: "OKP", crv: "Ed25519", x };
  return createPublicKey({ key: jwk, format: "jwk" }).export({ format: "pem", type: "spki" }).toString();
}

function pathOf(mount: string): string {
  return mount.split("/").filter(Boolean).map(encodeURIComponent).join("/");
}

class Session {
  readonly #settings: VaultSettings;
  readonly #agent: Agent;
  readonly #signal: AbortSignal;
  #token: string | undefined;

  constructor(settings: VaultSettings, agent: Agent, signal: AbortSignal) {
    this.#settings = settings;
    this.#agent = agent;
    this.#signal = signal;
  }

  async login(login: VaultLogin): Promise<void> {
    if (login.kind === "none")
      throw new KmsError("KMS_NOT_CONFIGURED", "set VAULT_TOKEN or VAULT_KUBERNETES_ROLE for the operator");
    if (login.kind === "token") {
      this.#token = login.token;
      return;
    }
    const jwt = (await readFile(login.tokenFile, "utf8")).trim();
    const answer = await this.call("POST", `auth/${pathOf(login.mount)}/login`, { role: login.role, jwt });
    this.#token = stringField(answer["auth"], "client_token");
    if (this.#token === undefined) throw new KmsError("KMS_UNAUTHENTICATED", "Vault's login gave no token");
  }

  /** What was borrowed is given back; if that fails it expires by itself. */
  async logout(login: VaultLogin): Promise<void> {
    if (login.kind !== "kubernetes" || this.#token === undefined) return;
    await this.call("POST", "auth/token/revoke-self", {}).catch(() => undefined);
  }

  async call(method: "GET" | "POST", path: string, body?: object): Promise<Fields> {
    const { address, namespace } = this.#settings;
    try {
      const answer = await request(`${address.replace(/\/+$/, "")}/v1/${path}`, {
        method,
        dispatcher: this.#agent,
        signal: this.#signal,
        headers: {
          "x-vault-request": "true",
          ...(this.#token !== undefined && { "x-vault-token": this.#token }),
          ...(namespace !== undefined && { "x-vault-namespace": namespace }),
          ...(body !== undefined && { "content-type": "application/json" }),
        },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      });
      return await this.#read(answer, path);
    } catch (thrown) {
      if (this.#signal.aborted) throw this.#signal.reason;
      if (thrown instanceof KmsError) throw thrown;
      const code = networkCodeOf(thrown);
      throw new KmsError("KMS_UNREACHABLE", `cannot talk to Vault at ${hostOf(address)} (${code ?? "broken answer"})`, {
        cause: thrown,
      });
    }
  }

  async #read({ statusCode, body }: Dispatcher.ResponseData, path: string): Promise<Fields> {
    const text = await body.text();
    if (statusCode >= 200 && statusCode < 300) return fieldsOf(parseJson(text)) ?? {};
    const where = `Vault at ${hostOf(this.#settings.address)}`;
    // The path tells the mount and the key, or the login: no secret.
    const asked = `${path} (HTTP status ${statusCode})`;
    if (statusCode === 404) throw new KmsError("KMS_KEY_NOT_FOUND", `${where} has no ${asked}`);
    if (path.endsWith("/login")) throw new KmsError("KMS_UNAUTHENTICATED", `${where} refused the operator at ${asked}`);
    if (statusCode === 403)
      throw new KmsError(
        "KMS_FORBIDDEN",
        `${where} does not let the operator's token read ${asked}, or does not know it`,
      );
    if (statusCode === 503) throw new KmsError("KMS_UNREACHABLE", `${where} is sealed or not ready: ${asked}`);
    throw new KmsError("KMS_FAILED", `${where} did not give the public key: ${asked}`);
  }
}

function hostOf(address: string): string {
  return URL.canParse(address) ? new URL(address).host : "VAULT_ADDR";
}
