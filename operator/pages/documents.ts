import { DomainError } from "../../core/errors.ts";

/** One rule as a gateway replica serves it. */
export interface ServedRule {
  readonly uid: string;
  readonly generation: number;
  /** Why a pull would fail although the rule is known: the proxy behind the gateway does not answer it. */
  readonly problem?: string;
}

/** A gateway's `/-/rules`: rules by name. */
export type RulesPage = ReadonlyMap<string, ServedRule>;

/** One policy as a webhook replica holds it. */
export interface LoadedPolicy {
  readonly generation: number;
  /** Why it can't be decided: what it matches is refused. */
  readonly problem?: string;
  /** Which of its authorities can't be used, and why: the others decide. */
  readonly degraded?: string;
}

/** A webhook's `/-/policies`: policies by uid. */
export type PoliciesPage = ReadonlyMap<string, LoadedPolicy>;

type Json = Readonly<Record<string, unknown>>;

function record(value: unknown): Json | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : undefined;
}

function entries(document: unknown, field: string): readonly (readonly [string, Json])[] {
  const found = record(record(document)?.[field]);
  if (found === undefined) throw new DomainError("PAGE_UNREADABLE", `the status page has no "${field}"`);
  return Object.entries(found).flatMap(([key, value]) => {
    const item = record(value);
    return item === undefined ? [] : [[key, item] as const];
  });
}

/** Reads a gateway's `/-/rules`; it must be that of `registry`. Throws PAGE_UNREADABLE. */
export function parseRulesPage(document: unknown, registry: string): RulesPage {
  if (record(document)?.["registry"] !== registry) {
    throw new DomainError("PAGE_UNREADABLE", `the status page is not of a gateway of CacheRegistry "${registry}"`);
  }
  return new Map(
    entries(document, "rules").flatMap(([name, { uid, generation, backendReady, reason }]) => {
      if (typeof uid !== "string" || typeof generation !== "number") return [];
      const problem = typeof reason === "string" ? reason : "it does not answer";
      return [[name, { uid, generation, ...(backendReady !== true && { problem }) }] as const];
    }),
  );
}

/** Reads a webhook's `/-/policies`. Throws PAGE_UNREADABLE. */
export function parsePoliciesPage(document: unknown): PoliciesPage {
  return new Map(
    entries(document, "policies").flatMap(([uid, { generation, problem, degraded }]) => {
      if (typeof generation !== "number") return [];
      const why = typeof problem === "string" ? { problem } : {};
      return [[uid, { generation, ...why, ...(typeof degraded === "string" && { degraded }) }] as const];
    }),
  );
}
