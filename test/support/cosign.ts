import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { settingsFrom } from "../../hack/testcluster/settings.ts";
import { ensureTool } from "../../hack/testcluster/tools.ts";

const execute = promisify(execFile);

export interface KeyPair {
  /** Path of the encrypted private key. */
  readonly key: string;
  /** The public key, PEM. */
  readonly publicKey: string;
}

/** How cosign stores a signature: a `.sig` tag, a bundle that refers to the image, or a classic signature that refers to it. */
export type SignatureForm = "classic" | "bundle" | "referrer";

const FORM_FLAGS: Readonly<Record<SignatureForm, readonly string[]>> = {
  classic: ["--new-bundle-format=false"],
  bundle: ["--new-bundle-format=true"],
  referrer: ["--new-bundle-format=false", "--registry-referrers-mode=oci-1-1"],
};

const OFFLINE = ["--use-signing-config=false", "--tlog-upload=false", "--yes"] as const;

/** The real cosign (v3), without a transparency log and without a network but the test's registries. */
export class Cosign {
  readonly #binary: string;
  readonly #dir: string;

  private constructor(binary: string, dir: string) {
    this.#binary = binary;
    this.#dir = dir;
  }

  /** Builds cosign first if this machine has none yet: call it in `before` with `this.timeout(0)`. */
  static async create(): Promise<Cosign> {
    const binary = await ensureTool(settingsFrom(process.env), "cosign");
    return new Cosign(binary, mkdtempSync(join(tmpdir(), "entrepot-cosign-")));
  }

  /** Runs cosign; gives what it prints. */
  run(...args: readonly string[]): Promise<string> {
    return this.#runWith({}, args);
  }

  async #runWith(more: Readonly<Record<string, string>>, args: readonly string[]): Promise<string> {
    const env = { PATH: process.env["PATH"], HOME: this.#dir, COSIGN_PASSWORD: "", COSIGN_EXPERIMENTAL: "1", ...more };
    const { stdout } = await execute(this.#binary, args, { cwd: this.#dir, env, timeout: 180_000 });
    return stdout;
  }

  #pair(prefix: string): KeyPair {
    return { key: join(this.#dir, `${prefix}.key`), publicKey: readFileSync(join(this.#dir, `${prefix}.pub`), "utf8") };
  }

  /** A new ECDSA P-256 key pair, as `cosign generate-key-pair` makes it. */
  async generateKeyPair(name: string): Promise<KeyPair> {
    await this.run("generate-key-pair", "--output-key-prefix", name);
    return this.#pair(name);
  }

  /** A key pair from a private key (PEM, PKCS#8). */
  async importKeyPair(name: string, privateKey: string): Promise<KeyPair> {
    const file = join(this.#dir, `${name}.pem`);
    writeFileSync(file, privateKey, { mode: 0o600 });
    await this.run("import-key-pair", "--key", file, "--output-key-prefix", name);
    return this.#pair(name);
  }

  /** Signs `registry/repository@sha256:…`; `elsewhere` is the repository for the signature, if not the image's. */
  async sign(image: string, { key }: KeyPair, form: SignatureForm, elsewhere?: string): Promise<void> {
    const env: Record<string, string> = elsewhere === undefined ? {} : { COSIGN_REPOSITORY: elsewhere };
    await this.#runWith(env, ["sign", "--key", key, ...OFFLINE, ...FORM_FLAGS[form], image]);
  }

  /** Attests `predicate` about an image. */
  async attest(
    image: string,
    { key }: KeyPair,
    predicateType: string,
    predicate: object,
    form: Exclude<SignatureForm, "referrer"> = "bundle",
  ): Promise<void> {
    const file = this.file("predicate.json", JSON.stringify(predicate));
    const type = ["--type", predicateType, "--predicate", file];
    await this.run("attest", "--key", key, ...OFFLINE, ...FORM_FLAGS[form], ...type, image);
  }

  /** Writes a file where cosign can read it; gives its path. */
  file(name: string, content: string): string {
    const path = join(this.#dir, name);
    writeFileSync(path, content);
    return path;
  }

  dispose(): void {
    rmSync(this.#dir, { recursive: true, force: true });
  }
}
