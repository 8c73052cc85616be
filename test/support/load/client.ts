import { Agent, type Dispatcher } from "undici";
import { OCI_MANIFEST } from "../../../core/registry/media-types.ts";
import { isRefused } from "../e2e.ts";
import { sha256 } from "../registry.ts";
import type { History, LoadImage } from "./images.ts";

/** What one request came to. Only `content` is content: a body that ended early is not, whatever its status was. */
export type Got =
  | { readonly kind: "content"; readonly bytes: Buffer; readonly named: string | undefined }
  | { readonly kind: "error"; readonly status: number; readonly code: string }
  | { readonly kind: "malformed"; readonly status: number; readonly body: string }
  | { readonly kind: "truncated"; readonly why: string }
  | { readonly kind: "connection"; readonly why: string };

/** A whole body that is not what was asked for. */
export interface Wrong {
  readonly path: string;
  readonly why: string;
}

export interface Observer {
  /** Every answer: `200`, `404 MANIFEST_UNKNOWN`, `truncated`, `connection UND_ERR_SOCKET`, … */
  count(answer: string): void;
  wrong(found: Wrong): void;
}

export interface ClientOptions {
  /** `host:port` of the cache, plain HTTP. */
  readonly host: string;
  readonly history: History;
  readonly user?: { readonly username: string; readonly password: string };
}

const TIMEOUT_MS = 30_000;

/** What an error body says by the distribution specification ("Error Codes"); undefined when it is none. */
function ociCode(text: string): string | undefined {
  try {
    const { errors } = JSON.parse(text) as { errors?: readonly { code?: unknown; message?: unknown }[] };
    const [first] = Array.isArray(errors) ? errors : [];
    return typeof first?.code === "string" && typeof first.message === "string" ? first.code : undefined;
  } catch {
    return undefined;
  }
}

function codeOf(thrown: unknown): string {
  const { code, name } = thrown as { code?: unknown; name?: unknown };
  return String(code ?? name ?? "unknown");
}

/** A client that believes nothing: it pulls as container runtimes do and compares every byte with what the upstream ever had. */
export class PullClient {
  readonly #agent = new Agent({ connections: 64, headersTimeout: TIMEOUT_MS, bodyTimeout: TIMEOUT_MS });
  readonly #options: ClientOptions;
  readonly #headers: Record<string, string>;
  /** How many connections were refused at first and made at the second attempt. */
  refused = 0;

  constructor(options: ClientOptions) {
    const { user } = options;
    this.#options = options;
    this.#headers = {
      accept: OCI_MANIFEST,
      ...(user && {
        authorization: `Basic ${Buffer.from(`${user.username}:${user.password}`).toString("base64")}`,
      }),
    };
  }

  async get(path: string, headers: Record<string, string> = {}): Promise<Got> {
    let answer: Dispatcher.ResponseData;
    try {
      answer = await this.#request(path, { ...this.#headers, ...headers });
    } catch (thrown) {
      return { kind: "connection", why: codeOf(thrown) };
    }
    const { statusCode: status, body } = answer;
    try {
      const bytes = Buffer.from(await body.arrayBuffer());
      const length = answer.headers["content-length"];
      if (length !== undefined && Number(length) !== bytes.length) return { kind: "truncated", why: "content-length" };
      if (status === 200 || status === 206) {
        return { kind: "content", bytes, named: answer.headers["docker-content-digest"] as string | undefined };
      }
      const code = ociCode(bytes.toString());
      return code === undefined
        ? { kind: "malformed", status, body: bytes.toString().slice(0, 200) }
        : { kind: "error", status, code };
    } catch (thrown) {
      return { kind: "truncated", why: codeOf(thrown) };
    }
  }

  /** Connects once more where that was refused, as nodes do: with ready gateways that nobody touches, this happens to one connection to the NodePort in some thousands. */
  async #request(path: string, headers: Record<string, string>): Promise<Dispatcher.ResponseData> {
    const ask = () => this.#agent.request({ origin: `http://${this.#options.host}`, path, method: "GET", headers });
    try {
      return await ask();
    } catch (thrown) {
      if (!isRefused(thrown)) throw thrown;
      const answer = await ask();
      this.refused += 1;
      return answer;
    }
  }

  /** Gets content by its digest and judges it. */
  async #content(path: string, digest: string, observer: Observer): Promise<Buffer | Got> {
    const got = await this.get(path);
    observer.count(answerOf(got));
    if (got.kind !== "content") return got;
    if (sha256(got.bytes) === digest) return got.bytes;
    observer.wrong({ path, why: `the bytes have digest ${sha256(got.bytes)}` });
    return got;
  }

  /** A part of a blob, compared with that part of what the upstream has. */
  async #range(path: string, digest: string, observer: Observer): Promise<void> {
    const whole = this.#options.history.bytesOf(digest) ?? Buffer.alloc(0);
    const [from, to] = [Math.floor(whole.length / 3), Math.floor((2 * whole.length) / 3)];
    const got = await this.get(path, { range: `bytes=${from}-${to}` });
    observer.count(got.kind === "content" ? "206" : answerOf(got));
    if (got.kind !== "content" || got.bytes.length === whole.length) return; // a server may ignore Range
    if (!got.bytes.equals(whole.subarray(from, to + 1))) observer.wrong({ path, why: "another part of the blob" });
  }

  /** Pulls a whole image by its tag: manifest, the same by digest, config, layers, and a part of one. Undefined when all of it came; else the first failure. */
  async pull({ image, ranged = false }: { image: LoadImage; ranged?: boolean }, observer: Observer) {
    const base = `/v2/${image.name}`;
    const path = `${base}/manifests/${image.tag}`;
    const got = await this.get(path);
    observer.count(answerOf(got));
    if (got.kind !== "content") return got;
    const digest = sha256(got.bytes);
    if (got.named !== digest) observer.wrong({ path, why: `the header names ${got.named}, the bytes have ${digest}` });
    if (!this.#options.history.wasEver(image, digest)) {
      observer.wrong({ path, why: `the upstream never had ${digest} under that tag` });
      return got;
    }
    const again = await this.#content(`${base}/manifests/${digest}`, digest, observer);
    if (!Buffer.isBuffer(again)) return again;
    const { config, layers } = JSON.parse(got.bytes.toString()) as {
      config: { digest: string };
      layers: readonly { digest: string }[];
    };
    for (const blob of [config, ...layers]) {
      const bytes = await this.#content(`${base}/blobs/${blob.digest}`, blob.digest, observer);
      if (!Buffer.isBuffer(bytes)) return bytes;
    }
    const last = layers.at(-1)?.digest;
    if (ranged && last !== undefined) await this.#range(`${base}/blobs/${last}`, last, observer);
    return undefined;
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }
}

/** An answer in a word or two, for counting. */
export function answerOf(got: Got): string {
  switch (got.kind) {
    case "content":
      return "200";
    case "error":
      return `${got.status} ${got.code}`;
    case "malformed":
      return `malformed ${got.status}`;
    case "truncated":
      return "truncated";
    case "connection":
      return `connection ${got.why}`;
  }
}
