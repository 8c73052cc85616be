import { errors } from "undici";
import { OUT_OF_REACH } from "./addresses.ts";
import { RegistryError, type RegistryErrorCode, type Target } from "./errors.ts";

/** The code of the innermost failure: what the operating system or TLS said. */
function codeOf(thrown: unknown): string {
  for (let at = thrown, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth++) {
    const first: unknown = at instanceof AggregateError ? at.errors[0] : at;
    const code: unknown = (first as { code?: unknown } | undefined)?.code;
    if (typeof code === "string") return code;
  }
  return "unknown error";
}

// Connections that broke under a request: worth one more try, the request being a GET or HEAD.
const BROKEN = new Set(["ECONNRESET", "EPIPE", "UND_ERR_SOCKET"]);

/** Whether a request failed because its connection broke. */
export function isBrokenConnection(thrown: unknown): boolean {
  return thrown instanceof RegistryError && thrown.code === "REGISTRY_UNREACHABLE" && BROKEN.has(codeOf(thrown.cause));
}

function explain(host: string, thrown: unknown, timedOut: boolean): readonly [RegistryErrorCode, string] {
  const code = codeOf(thrown);
  if (timedOut || code === "UND_ERR_CONNECT_TIMEOUT") {
    return [
      "REGISTRY_TIMEOUT",
      `${host} gave no complete answer in time; check that it is up and reachable from the cluster`,
    ];
  }
  if (code === "HPE_HEADER_OVERFLOW" || code === "UND_ERR_HEADERS_OVERFLOW") {
    return ["RESPONSE_TOO_LARGE", `${host} answered with more headers than any registry has; check that it is one`];
  }
  if (thrown instanceof errors.HTTPParserError) {
    return ["RESPONSE_MALFORMED", `${host} does not speak HTTP; check host, port and whether it wants TLS`];
  }
  if (code === OUT_OF_REACH) {
    return [
      "REGISTRY_UNREACHABLE",
      `${host} has only addresses that are not connected to from here (link-local, or nearer than the registry's own)`,
    ];
  }
  return [
    "REGISTRY_UNREACHABLE",
    `cannot talk to ${host} (${code}); check its name, that it is up, and its certificate`,
  ];
}

/** The error for a request to `host` that got no complete answer. */
export function failureOf(target: Target, host: string, thrown: unknown, timedOut: boolean): RegistryError {
  if (thrown instanceof RegistryError) return thrown;
  const [code, why] = explain(host, thrown, timedOut);
  // undici's parser error carries what was received: it stays out of the cause, and so of logs.
  return new RegistryError(code, target, why, thrown instanceof errors.HTTPParserError ? {} : { cause: thrown });
}
