import type { IncomingMessage, ServerResponse } from "node:http";
import { readBody } from "../adapters/http/body.ts";
import type { Log } from "../adapters/telemetry/log.ts";
import { type AdmissionRequest, decodeReview } from "../core/admission/request.ts";
import { messageOf } from "../core/errors.ts";
import type { WebhookMetrics } from "./metrics.ts";
import { errored, type ReviewResponse } from "./review.ts";

/** Answers one decoded request within the signal's deadline. */
export type Answer = (request: AdmissionRequest, signal: AbortSignal) => Promise<ReviewResponse>;

export interface Endpoint {
  readonly name: "mutate" | "rewrite" | "validate" | "defaults" | "policies";
  readonly answer: Answer;
  /** Milliseconds for the answer at most, whatever the API server allows. */
  readonly budgetMs: number;
}

/** An object and its old self, each up to etcd's 1.5 MiB, as JSON with room: controller-runtime's limit for the same body. */
const BODY_LIMIT = 7 * 1024 * 1024;
/** Left of the API server's timeout for the way back. */
const MARGIN_MS = 1_000;

/** The API server says in the query how long it waits (`timeout=25s`). */
function deadline(query: string, budgetMs: number): AbortSignal {
  const seconds = /(?:^|&)timeout=([0-9]{1,3})s(?:&|$)/.exec(query)?.[1];
  const asked = seconds === undefined ? budgetMs : Number(seconds) * 1000 - MARGIN_MS;
  return AbortSignal.timeout(Math.max(500, Math.min(asked, budgetMs)));
}

/** The handler of the HTTPS server: AdmissionReview in, AdmissionReview out. Whatever goes wrong is answered with a refusal. */
export function admissionHandler(
  endpoints: ReadonlyMap<string, Endpoint>,
  metrics: WebhookMetrics,
  log: Log,
): (request: IncomingMessage, response: ServerResponse) => Promise<void> {
  return async (request, response) => {
    const [path = "", query = ""] = (request.url ?? "").split("?", 2); // a URL object would be made for every admission
    const endpoint = endpoints.get(path);
    if (endpoint === undefined || request.method !== "POST") {
      response.writeHead(404).end();
      return;
    }
    const started = performance.now();
    const signal = deadline(query, endpoint.budgetMs);
    const review: unknown = JSON.parse((await readBody(request, BODY_LIMIT, signal)).toString("utf8"));
    const decoded = decodeReview(review);
    const answer = await answerOrRefuse(endpoint, decoded, signal, log);
    const body = JSON.stringify({ apiVersion: "admission.k8s.io/v1", kind: "AdmissionReview", response: answer });
    response
      .writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(body) })
      .end(body);
    metrics.answered(endpoint.name, decoded, answer, performance.now() - started);
  };
}

async function answerOrRefuse(
  endpoint: Endpoint,
  request: AdmissionRequest,
  signal: AbortSignal,
  log: Log,
): Promise<ReviewResponse> {
  try {
    return await endpoint.answer(request, signal);
  } catch (thrown) {
    const { kind, namespace, name } = request;
    log.error("admission not decided", { webhook: endpoint.name, kind, namespace, name, error: messageOf(thrown) });
    return errored(request.uid, `entrepot could not decide: ${messageOf(thrown)}`);
  }
}
