import { errors } from "undici";
import { OUT_OF_REACH } from "../registry/addresses.ts";
import { RemoteError } from "./errors.ts";

function codeOf(thrown: unknown): string {
  for (let at = thrown, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth++) {
    const first: unknown = at instanceof AggregateError ? at.errors[0] : at;
    const code: unknown = (first as { code?: unknown } | undefined)?.code;
    if (typeof code === "string") return code;
  }
  return "unknown error";
}

/** The error for a request to `host` that got no complete answer; `expiredMs` is the deadline that passed, if one did. */
export function failureOf(host: string, thrown: unknown, expiredMs: number | undefined): RemoteError {
  if (thrown instanceof RemoteError) return thrown;
  const code = codeOf(thrown);
  // undici's parser error carries what was received: it stays out of the cause, and so of logs.
  const options = thrown instanceof errors.HTTPParserError ? {} : { cause: thrown };
  if (expiredMs !== undefined || code === "UND_ERR_CONNECT_TIMEOUT")
    return new RemoteError(
      "REMOTE_TIMEOUT",
      `${host} gave no complete answer within ${(expiredMs ?? 5_000) / 1000} s`,
      options,
    );
  if (code === OUT_OF_REACH)
    return new RemoteError(
      "REMOTE_REFUSED",
      `${host} has only addresses that are not connected to from here (loopback, link-local)`,
      options,
    );
  return new RemoteError("REMOTE_UNREACHABLE", `cannot talk to ${host} (${code})`, options);
}
