import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Cosign } from "../cosign.ts";
import type { Bearer } from "./oidc.ts";
import type { Sigstore } from "./sigstore.ts";
import { trustedRoot } from "./trusted-root.ts";

/** `bundle`: Sigstore's bundle, which refers to the image (cosign 3). `classic`: a tag beside the image (cosign 1 and 2). */
export interface HowToSign {
  readonly form: "bundle" | "classic";
  /** The version of the Rekor that gets an entry; 2 takes bundles only. None unless given. */
  readonly log?: 1 | 2;
  /** With a timestamp by the timestamp authority: true unless given. */
  readonly timestamp?: boolean;
  /** cosign's flags, besides. */
  readonly flags?: readonly string[];
  /** The private key to use instead of a certificate of Fulcio's. */
  readonly key?: string;
}

/** The real cosign, signing as whoever it is told with certificates of a test's Sigstore. */
export class Keyless {
  readonly #cosign: Cosign;
  readonly #sigstore: Sigstore;
  readonly #dir = mkdtempSync(join(tmpdir(), "entrepot-keyless-"));
  #files = 0;

  constructor(cosign: Cosign, sigstore: Sigstore) {
    this.#cosign = cosign;
    this.#sigstore = sigstore;
  }

  /** Signs `registry/repository@sha256:…`. */
  async sign(image: string, bearer: Bearer, how: HowToSign): Promise<void> {
    await this.#cosign.run("sign", ...(await this.#flags(bearer, how)), image);
  }

  /** Attests `predicate` (for the type `custom`, any text) about an image. */
  async attest(image: string, bearer: Bearer, type: string, predicate: object | string, how: HowToSign): Promise<void> {
    const file = this.#write(typeof predicate === "string" ? predicate : JSON.stringify(predicate));
    const flags = await this.#flags(bearer, how);
    await this.#cosign.run("attest", ...flags, "--type", type, "--predicate", file, image);
  }

  /** Has cosign itself verify what was signed without a key, by the same observers: rejects with its words. */
  async verify(image: string, { form, log, timestamp }: HowToSign): Promise<void> {
    await this.#cosign.run(
      "verify",
      `--trusted-root=${this.#root()}`,
      "--certificate-identity-regexp=.",
      "--certificate-oidc-issuer-regexp=.",
      `--new-bundle-format=${form === "bundle"}`,
      `--use-signed-timestamps=${timestamp !== false}`,
      `--insecure-ignore-tlog=${log === undefined}`,
      image,
    );
  }

  dispose(): void {
    rmSync(this.#dir, { recursive: true, force: true });
  }

  async #flags(bearer: Bearer, how: HowToSign): Promise<readonly string[]> {
    const { fulcio, tsa, oidc, rekorV1 } = this.#sigstore;
    const signer = how.key === undefined ? [`--identity-token=${await oidc.token(bearer)}`] : [`--key=${how.key}`];
    const common = ["--yes", ...signer, `--trusted-root=${this.#root()}`, ...(how.flags ?? [])];
    if (how.form === "bundle") return [...common, `--signing-config=${this.#signingConfig(how)}`];
    return [
      ...common,
      "--use-signing-config=false",
      "--new-bundle-format=false",
      `--fulcio-url=${fulcio.url}`,
      ...(how.timestamp === false ? [] : [`--timestamp-server-url=${tsa.url}`]),
      ...(how.log === undefined ? ["--tlog-upload=false"] : [`--rekor-url=${rekorV1.url}`]),
    ];
  }

  /** Where cosign finds the services: sigstore_trustroot.proto, SigningConfig. */
  #signingConfig({ log, timestamp }: HowToSign): string {
    const { fulcio, rekor, rekorV1, tsa } = this.#sigstore;
    const service = (url: string, majorApiVersion: number) => ({
      url,
      majorApiVersion,
      validFor: { start: "2020-01-01T00:00:00Z" },
      operator: "test",
    });
    const stamps = timestamp === false ? [] : [service(tsa.url, 1)];
    const logs = log === undefined ? [] : [log === 2 ? service(rekor.url, 2) : service(rekorV1.url, 1)];
    return this.#write(
      JSON.stringify({
        mediaType: "application/vnd.dev.sigstore.signingconfig.v0.2+json",
        caUrls: [service(fulcio.url, 1)],
        rekorTlogUrls: logs,
        ...(logs.length > 0 && { rekorTlogConfig: { selector: "ANY" } }),
        tsaUrls: stamps,
        ...(stamps.length > 0 && { tsaConfig: { selector: "ANY" } }),
      }),
    );
  }

  #root(): string {
    return this.#write(trustedRoot(this.#sigstore));
  }

  #write(text: string): string {
    this.#files += 1;
    const file = join(this.#dir, `${this.#files}`);
    writeFileSync(file, text);
    return file;
  }
}
