import type { CacheRuleObject } from "../../crds/index.ts";
import { canonicalJson } from "../json.ts";

type Options = NonNullable<NonNullable<CacheRuleObject["spec"]["options"]>["artifactRegistry"]>;
type DeclaredPolicy = NonNullable<Options["cleanupPolicies"]>[number];

/** A cleanup policy of a repository, in one spelling. Durations are seconds. */
export interface CleanupPolicy {
  readonly id: string;
  readonly action: string;
  /** Which versions it selects. Absent with `mostRecent`. */
  readonly condition?: {
    readonly tagState: string;
    readonly tagPrefixes: readonly string[];
    readonly versionNamePrefixes: readonly string[];
    readonly packageNamePrefixes: readonly string[];
    readonly olderThan?: number;
    readonly newerThan?: number;
  };
  /** So many of the newest versions of each image. */
  readonly mostRecent?: { readonly keepCount: number; readonly packageNamePrefixes: readonly string[] };
}

const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600 };

/** Seconds of a duration as the API takes it (`90m`, `1.5h`, `24h30m`), to the nanosecond. */
export function durationSeconds(text: string): number {
  const sum = [...text.matchAll(/([0-9]+(?:\.[0-9]+)?)([smh])/g)].reduce(
    (total, [, digits, unit]) => total + Number(digits) * (SECONDS[unit ?? ""] ?? 0),
    0,
  );
  return Math.round(sum * 1e9) / 1e9;
}

/** A declared policy as Artifact Registry has it. Which tags are meant is ANY where it is not said, as the product has it. */
export function cleanupPolicy(declared: DeclaredPolicy): CleanupPolicy {
  const { id, action, keepCount, tagState = "Any", tagPrefixes = [], olderThan, newerThan } = declared;
  const head = { id, action: action.toUpperCase() };
  if (keepCount !== undefined) return { ...head, mostRecent: { keepCount, packageNamePrefixes: [] } };
  return {
    ...head,
    condition: {
      tagState: tagState.toUpperCase(),
      tagPrefixes,
      versionNamePrefixes: [],
      packageNamePrefixes: [],
      ...(olderThan !== undefined && { olderThan: durationSeconds(olderThan) }),
      ...(newerThan !== undefined && { newerThan: durationSeconds(newerThan) }),
    },
  };
}

/** Why a declared policy must not be made. */
export function cleanupPolicyProblem(declared: DeclaredPolicy): string | undefined {
  const { id, action, tagState, tagPrefixes = [], olderThan, newerThan } = declared;
  const selects =
    tagState !== undefined || tagPrefixes.length > 0 || olderThan !== undefined || newerThan !== undefined;
  if (action !== "Delete" || selects) return undefined;
  return `options.artifactRegistry.cleanupPolicies: "${id}" would delete every version; say which with olderThan, newerThan, tagPrefixes or tagState`;
}

/** Text that is equal for policies that do the same: neither their order nor that of prefixes matters, nor the case of enums. */
export function cleanupFingerprint(policies: readonly CleanupPolicy[]): string {
  const sorted = (texts: readonly string[]): readonly string[] => [...new Set(texts)].sort();
  const normal = policies.map(({ id, action, condition, mostRecent }) => ({
    id,
    action: action.toUpperCase(),
    ...(mostRecent && { mostRecent: { ...mostRecent, packageNamePrefixes: sorted(mostRecent.packageNamePrefixes) } }),
    ...(!mostRecent && {
      condition: {
        ...condition,
        tagState: knownTagState(condition?.tagState),
        tagPrefixes: sorted(condition?.tagPrefixes ?? []),
        versionNamePrefixes: sorted(condition?.versionNamePrefixes ?? []),
        packageNamePrefixes: sorted(condition?.packageNamePrefixes ?? []),
      },
    }),
  }));
  return canonicalJson(Object.fromEntries(normal.map((policy) => [policy.id, policy])));
}

function knownTagState(stated: string | undefined): string {
  const state = (stated ?? "").toUpperCase();
  return state === "" || state === "TAG_STATE_UNSPECIFIED" ? "ANY" : state;
}
