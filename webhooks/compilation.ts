import { startDeadline } from "../adapters/deadline.ts";
import { messageOf } from "../core/errors.ts";
import type { FieldErrors } from "../core/policy/fielderror.ts";
import type { ConfigMapLookup } from "../core/policy/sources.ts";
import type { PolicyEngine } from "../core/policy/types.ts";
import { compileErrors, type FoundSource, findSources, uncheckedWarnings } from "../core/policy/validate-source.ts";
import type { ClusterImagePolicySpec } from "../crds/index.ts";

/** Below the ten seconds that the API server waits, so that the user gets an answer in any case. */
const COMPILE_MS = 6_000;
/** Of different sources in one policy; far beyond what people write. */
const COMPILED_AT_ONCE = 32;

/** What compiling works with. */
export interface Compilation {
  readonly systemNamespace: string;
  readonly engine: Pick<PolicyEngine, "check">;
  /** ConfigMaps of the system namespace. */
  readonly configMaps: ConfigMapLookup;
  /** Carries the request's deadline. */
  readonly signal: AbortSignal;
}

/**
 * Compiles the CUE, Rego and CEL of a policy: errors for what does not compile, warnings for what is not there or could not be
 * judged in time. Never rejects.
 */
export async function compilationErrors(
  spec: ClusterImagePolicySpec,
  { systemNamespace, engine, configMaps, signal }: Compilation,
): Promise<FieldErrors> {
  const { sources, warnings } = findSources(spec, { systemNamespace, configMaps });
  if (sources.length === 0) return warnings;
  using deadline = startDeadline(COMPILE_MS, signal);
  const asked = new Map<string, Promise<string | undefined>>();
  const judge = async (source: FoundSource): Promise<FieldErrors> => {
    const { evaluator } = source;
    const key = `${evaluator.language} ${evaluator.source}`;
    if (!asked.has(key) && asked.size >= COMPILED_AT_ONCE) {
      return uncheckedWarnings(source, `a policy's first ${COMPILED_AT_ONCE} sources are compiled at admission`);
    }
    const answer = asked.get(key) ?? engine.check(evaluator, deadline.signal);
    asked.set(key, answer);
    try {
      const message = await answer;
      return message === undefined ? [] : compileErrors(source, message);
    } catch (thrown) {
      return uncheckedWarnings(source, messageOf(thrown));
    }
  };
  return [...warnings, ...(await Promise.all(sources.map(judge))).flat()];
}
