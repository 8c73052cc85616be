// The API server as kubectl sees it: what it answers, whole, warnings and refusals included.
import { systemClock } from "../../adapters/clock.ts";
import { loadAccess } from "../../adapters/kube/access.ts";
import { Sessions } from "../../adapters/kube/session.ts";

export interface ApiRequest {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly path: string;
  readonly body?: object;
  /** For PATCH; a merge patch unless told otherwise. */
  readonly contentType?: string;
  /** Admission is asked, and nothing is stored. */
  readonly dryRun?: boolean;
}

export interface ApiAnswer {
  readonly status: number;
  /** Why it was refused; empty if it was not. */
  readonly message: string;
  /** Warnings as kubectl prints them, in order. */
  readonly warnings: readonly string[];
  /** The object, or the Status. */
  readonly body: unknown;
}

const TIMEOUT_MS = 60_000;

/** An API server, with all rights. */
export class ApiServer {
  readonly #sessions: Sessions;

  private constructor(sessions: Sessions) {
    this.#sessions = sessions;
  }

  static async connect(kubeconfig: string): Promise<ApiServer> {
    return new ApiServer(new Sessions(await loadAccess({ KUBECONFIG: kubeconfig }), systemClock));
  }

  /** Sends one request; resolves whatever the answer is. */
  async send({ method, path, body, contentType, dryRun }: ApiRequest): Promise<ApiAnswer> {
    const session = await this.#sessions.current();
    const type = contentType ?? (method === "PATCH" ? "application/merge-patch+json" : "application/json");
    const response = await session.dispatcher.request({
      origin: session.origin,
      path: `${session.prefix}${path}`,
      method,
      headers: { ...session.headers, accept: "application/json", "content-type": type },
      body: body === undefined ? null : JSON.stringify(body),
      ...(dryRun === true && { query: { dryRun: "All" } }),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const text = await response.body.text();
    const answer: unknown = text.startsWith("{") ? JSON.parse(text) : text;
    const message = response.statusCode < 300 ? "" : messageIn(answer);
    return { status: response.statusCode, message, warnings: warningsIn(response.headers["warning"]), body: answer };
  }

  /** Sends a request that must succeed, and gives the object. */
  async must(request: ApiRequest): Promise<unknown> {
    const { status, message, body } = await this.send(request);
    if (status >= 300) throw new Error(`${request.method} ${request.path}: ${status} ${message}`);
    return body;
  }

  close(): Promise<void> {
    return this.#sessions.close();
  }
}

function messageIn(answer: unknown): string {
  if (typeof answer === "object" && answer !== null && "message" in answer) return String(answer.message);
  return String(answer);
}

/** The texts of `Warning: 299 - "text"` headers (RFC 9111 section 5.5); several may share one line. */
function warningsIn(header: string | readonly string[] | undefined): readonly string[] {
  const lines = header === undefined ? [] : [header].flat();
  return lines.flatMap((line) =>
    [...line.matchAll(/299 \S+ "((?:[^"\\]|\\.)*)"/g)].map(([, text = ""]) => text.replace(/\\(.)/g, "$1")),
  );
}
