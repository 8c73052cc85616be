import { AsyncLocalStorage } from "node:async_hooks";
import type { JWTOptions } from "google-auth-library";
import { type Fields, fieldsOf, isFields, parseJson } from "../../core/json.ts";
import { ProductError } from "./errors.ts";

type Adapter = NonNullable<NonNullable<JWTOptions["transporterOptions"]>["adapter"]>;
type Answer = Awaited<ReturnType<Adapter>>;

/** One call of the SDK, seen from below: what its promises do not tell. */
export interface Exchange {
  readonly signal: AbortSignal;
  /** HTTP status of the API's last answer that was read to its end. */
  status?: number;
  /** From the header `Retry-After`, which the SDK drops. */
  retryAfterMs?: number;
  /** The repository in the answer passes images through and keeps none: a field that the SDK's protobufs do not have. */
  noCache?: boolean;
  /** Why the answer was not given to the SDK. */
  refused?: ProductError;
}

const LONGEST_ANSWER = 1024 * 1024; // a repository is a few KiB

/** The exchange that the code below an SDK call belongs to. */
export type Exchanges = AsyncLocalStorage<Exchange>;

export function newExchanges(): Exchanges {
  return new AsyncLocalStorage();
}

/**
 * What stands between Google's SDK and the network: no answer over a MiB is read, none is awaited longer than the call's signal allows,
 * no redirect is followed, and an answer that Artifact Registry can't have given is not taken for one.
 */
export function boundedAdapter(exchanges: Exchanges): Adapter {
  return async (options, next) => {
    const exchange = exchanges.getStore();
    const signals = [options.signal, exchange?.signal].filter((signal) => signal instanceof AbortSignal);
    const bounds = { redirect: "error" as const, signal: AbortSignal.any(signals), size: LONGEST_ANSWER };
    // Answers to the API's calls come as streams; those to requests for a token are read by the SDK, which obeys `size`.
    if (exchange === undefined || options.responseType !== "stream") return await next({ ...options, ...bounds });
    const answer = await next({ ...options, ...bounds });
    const retryAfterMs = retryAfter(answer.headers.get("retry-after"));
    if (retryAfterMs !== undefined) exchange.retryAfterMs = retryAfterMs;
    try {
      const bytes = await bytesOf(answer);
      exchange.status = answer.status;
      return rebuilt(answer, legible(bytes, answer, exchange));
    } catch (thrown) {
      if (thrown instanceof ProductError) exchange.refused = thrown;
      throw thrown;
    }
  };
}

/** Milliseconds of a `Retry-After` in seconds (RFC 9110 section 10.2.3); its form as a date is left alone, for clocks differ. */
function retryAfter(header: string | null): number | undefined {
  return header !== null && /^[0-9]{1,6}$/.test(header.trim()) ? Number(header) * 1_000 : undefined;
}

async function bytesOf(answer: Answer): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of (answer.body ?? []) as AsyncIterable<Uint8Array>) {
    length += chunk.length;
    // Leaving the loop closes the connection.
    if (length > LONGEST_ANSWER) throw malformed(`an answer of more than ${LONGEST_ANSWER / 1024 / 1024} MiB`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, length);
}

function malformed(what: string): ProductError {
  return new ProductError(
    "PRODUCT_MALFORMED",
    `Artifact Registry gave ${what}; check spec.artifactRegistry.endpoint, and any proxy on the way to it`,
  );
}

/** The answer's body in a form that the SDK's protobufs can read without loss. */
function legible(bytes: Buffer, { status, ok }: Answer, exchange: Exchange): Buffer {
  const body = parseJson(bytes.toString());
  const isServersFault = status === 429 || status >= 500; // whoever says so, e.g. a load balancer
  if (!isFields(body) || (!ok && !isFields(body["error"]))) {
    if (isServersFault) return bytes;
    throw malformed(`an answer that is not its own (HTTP ${status})`);
  }
  if (!ok) return bytes;
  if (isOperation(body)) return Buffer.from(JSON.stringify(plainOperation(body)));
  if (fieldsOf(body["remoteRepositoryConfig"])?.["noCache"] !== undefined) exchange.noCache = true;
  return Buffer.from(JSON.stringify(plainRepository(body)));
}

function isOperation({ name }: Fields): boolean {
  return typeof name === "string" && name.includes("/operations/");
}

/** Without its `Any`s: the SDK fails on one of a type that it does not know, e.g. `google.rpc.RetryInfo` in the error's details. */
function plainOperation({ name, done, error }: Fields): Fields {
  const { code, message } = fieldsOf(error) ?? {};
  return {
    name,
    ...(done === true && { done }),
    ...(error !== undefined && {
      error: { code: typeof code === "number" ? code : 2, ...(typeof message === "string" && { message }) },
    }),
  };
}

/** With enums in the case that the SDK knows: it reads others as unspecified. */
function plainRepository(body: Fields): Fields {
  const policies = fieldsOf(body["cleanupPolicies"]);
  const remote = fieldsOf(body["remoteRepositoryConfig"]);
  const docker = fieldsOf(remote?.["dockerRepository"]);
  return {
    ...upper(body, ["format", "mode"]),
    ...(policies && { cleanupPolicies: mapped(policies, plainPolicy) }),
    ...(docker && { remoteRepositoryConfig: { ...remote, dockerRepository: upper(docker, ["publicRepository"]) } }),
  };
}

function plainPolicy(value: unknown): unknown {
  if (!isFields(value)) return value;
  const condition = fieldsOf(value["condition"]);
  return { ...upper(value, ["action"]), ...(condition && { condition: upper(condition, ["tagState"]) }) };
}

function upper(fields: Fields, names: readonly string[]): Fields {
  const changed = names.flatMap((name) => {
    const value = fields[name];
    return typeof value === "string" ? [[name, value.toUpperCase()] as const] : [];
  });
  return { ...fields, ...Object.fromEntries(changed) };
}

function mapped(fields: Fields, map: (value: unknown) => unknown): Fields {
  return Object.fromEntries(Object.entries(fields).map(([key, value]) => [key, map(value)]));
}

function rebuilt<A extends Answer>(answer: A, bytes: Buffer): A {
  const { status, config } = answer;
  const headers = new Headers([...answer.headers]);
  for (const name of ["content-encoding", "content-length"]) headers.delete(name); // of the body as it came
  const body = status === 204 || status === 304 ? null : new Uint8Array(bytes);
  return Object.assign(new Response(body, { status, headers }), { config, data: [bytes] }) as unknown as A;
}
