import type { EvaluationInput, Evaluator } from "../../core/policy/types.ts";

/** The engine's answer (`engine.Verdict` in policy-engine/). */
export interface Verdict {
  readonly kind: "compliant" | "rejected" | "undecided";
  readonly message: string;
  /** The same request would be answered so at any time: the policy reads neither clock nor chance. */
  readonly repeatable: boolean;
}

/** What the host tells a worker that it starts. */
export interface WorkerSetup {
  readonly module: WebAssembly.Module;
  /** From this much memory on the engine's garbage collector works harder. */
  readonly softMemoryBytes: number;
}

/** What a worker says: once `ready`, then one answer for each request; after `crashed` it is of no use. */
export type WorkerMessage =
  | { readonly kind: "ready" }
  | { readonly kind: "answer"; readonly verdict: Verdict; readonly memoryBytes: number }
  | { readonly kind: "crashed"; readonly reason: string };

/**
 * One request, to judge `input` by a policy or, without one, to check that the policy compiles: five byte strings, each after its length
 * (32 bits, little endian), as `serve` in policy-engine/main.go reads it.
 */
export function encodeRequest(evaluator: Evaluator, input?: EvaluationInput): Uint8Array<ArrayBuffer> {
  const predicateType = input?.kind === "statement" ? input.predicateType : "";
  const { language, source } = evaluator;
  const fields = [input?.kind ?? "check", language, source, predicateType, input?.json ?? ""].map((text) =>
    Buffer.from(text),
  );
  const request = new Uint8Array(fields.reduce((sum, field) => sum + 4 + field.length, 0));
  const view = new DataView(request.buffer);
  let at = 0;
  for (const field of fields) {
    view.setUint32(at, field.length, true);
    request.set(field, at + 4);
    at += 4 + field.length;
  }
  return request;
}

/** Reads the engine's answer. Throws for what is none. */
export function decodeVerdict(json: string): Verdict {
  const verdict: unknown = JSON.parse(json);
  if (!isVerdict(verdict)) throw new Error("the policy engine gave an answer that is none");
  return verdict;
}

function isVerdict(value: unknown): value is Verdict {
  if (typeof value !== "object" || value === null) return false;
  const { kind, message, repeatable } = value as Readonly<Record<string, unknown>>;
  const known = kind === "compliant" || kind === "rejected" || kind === "undecided";
  return known && typeof message === "string" && typeof repeatable === "boolean";
}
