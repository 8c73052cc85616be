import { createHash } from "node:crypto";
import type { ClusterImagePolicyObject, ClusterImagePolicySpec } from "../../crds/index.ts";
import { messageOf } from "../errors.ts";
import { compileGlob, type Glob } from "../image/glob.ts";
import { canonicalJson } from "../json.ts";
import { policyCacheTtl } from "./cache-ttl.ts";
import { compileAuthority } from "./compile-authority.ts";
import { compileCondition } from "./compile-evaluator.ts";
import { defaultClusterImagePolicy } from "./defaults.ts";
import { needsNothing, needsOf } from "./needs.ts";
import type { CompileSources } from "./sources.ts";
import type { CompiledAuthority, CompiledMatch, CompiledPolicy, ObjectCondition } from "./types.ts";

/** Moves whenever the meaning of a compiled policy does, so that no record of an older engine is believed. */
const ENGINE_VERSION = 2;

function compileMatch(spec: ClusterImagePolicySpec): readonly CompiledMatch[] {
  return (spec.match ?? []).map(({ group, version, resource, selector }) => ({
    ...(group !== undefined && group !== "*" && { group }),
    ...(version && version !== "*" && { version }),
    ...(resource && { resource }),
    ...(selector !== undefined && { selector }),
  }));
}

interface Attempt<T> {
  readonly value: T;
  readonly problem?: string;
}

function attempt<T>(make: () => T, otherwise: T): Attempt<T> {
  try {
    return { value: make() };
  } catch (thrown) {
    return { value: otherwise, problem: messageOf(thrown) };
  }
}

function specProblem(spec: ClusterImagePolicySpec): string | undefined {
  if ((spec.images ?? []).length === 0) return "spec.images is empty";
  // Without authorities spec.policy alone decides; without both nothing would.
  if ((spec.authorities ?? []).length === 0 && spec.policy === undefined) return "spec.authorities is empty";
  if (spec.mode && spec.mode !== "enforce" && spec.mode !== "warn")
    return `spec.mode "${spec.mode}" is neither enforce nor warn`;
  return undefined;
}

/**
 * Compiles a policy with everything that it names inlined. Never throws: what cannot be compiled gets a `problem`, and then refuses
 * every image that it matches (design D7). A glob that does not compile matches everything: it must not make room.
 */
export function compilePolicy(policy: ClusterImagePolicyObject, sources: CompileSources): CompiledPolicy {
  const spec = defaultClusterImagePolicy(policy);
  const { uid, name, generation, resourceVersion } = policy.metadata;
  const lookups = { ...sources, own: sources.resolved(uid) };
  const globs = attempt<readonly Glob[]>(
    () => (spec.images ?? []).map(({ glob }) => compileGlob(glob ?? "")),
    [compileGlob("**")],
  );
  const authorities = attempt<readonly CompiledAuthority[]>(
    () => (spec.authorities ?? []).map((authority, index) => compileAuthority(authority, index, lookups)),
    [],
  );
  const condition = attempt<ObjectCondition | undefined>(
    () => (spec.policy === undefined ? undefined : compileCondition(spec.policy, lookups)),
    undefined,
  );
  const problem = specProblem(spec) ?? globs.problem ?? authorities.problem ?? condition.problem;
  const awaits = problem !== undefined && !needsNothing(needsOf(spec)) && lookups.own?.generation !== generation;
  const meaning = {
    engine: ENGINE_VERSION,
    spec,
    authorities: authorities.value,
    condition: condition.value,
    problem,
  };
  return {
    uid,
    name,
    generation,
    resourceVersion,
    hash: createHash("sha256").update(canonicalJson(meaning)).digest("hex"),
    mode: spec.mode === "warn" ? "warn" : "enforce",
    globs: globs.value,
    match: compileMatch(spec),
    authorities: authorities.value,
    cacheTtl: policyCacheTtl(policy.metadata.annotations),
    ...(condition.value !== undefined && { condition: condition.value }),
    ...(problem !== undefined && { problem }),
    ...(awaits && { awaitsResolution: true }),
  };
}

/** What weakens a policy without stopping it: authorities that can't be used now, in words for its author. */
export function degradedBy(policy: CompiledPolicy): string | undefined {
  const reasons = policy.authorities.flatMap((authority) =>
    authority.kind === "unusable" ? [`authority ${authority.name}: ${authority.reason}`] : [],
  );
  return reasons.length === 0 ? undefined : reasons.join("; ");
}

/**
 * The last good form of a policy that no longer compiles goes on enforcing what it did (design D7): of the same generation, or of an
 * earlier one while what the new one needs from outside the cluster is still being fetched. How long results are believed is followed even then.
 */
export function keepLastGood(lastGood: CompiledPolicy | undefined, now: CompiledPolicy): CompiledPolicy {
  const usable =
    lastGood !== undefined &&
    lastGood.problem === undefined &&
    lastGood.uid === now.uid &&
    (lastGood.generation === now.generation || now.awaitsResolution === true);
  if (now.problem === undefined || !usable) return now;
  const { seconds, problem } = lastGood.cacheTtl;
  const settled = seconds === now.cacheTtl.seconds && problem === now.cacheTtl.problem;
  return settled ? lastGood : { ...lastGood, cacheTtl: now.cacheTtl };
}
