import { messageOf } from "../errors.ts";
import { acceptRules } from "./conflicts.ts";
import { parseMapping, type RuleMapping, toUpstream, type UpstreamRepository } from "./mapping.ts";
import { ancestors } from "./pattern.ts";
import { type CacheRuleView, conditionIsTrue, servable, upstreamProblem } from "./servable.ts";

/** One rule as the gateway serves it. */
export interface Route {
  readonly rule: string;
  readonly uid: string;
  readonly generation: number;
  /** `spec.source` as written. */
  readonly source: string;
  /** `spec.target` as written. */
  readonly target: string;
  readonly mapping: RuleMapping;
  /** What is wrong with the upstream by the rule's status, in the operator's words: then "not found" may mean "could not ask". */
  readonly upstreamProblem?: string;
}

export interface RouteMatch {
  readonly route: Route;
  readonly upstream: UpstreamRepository;
}

/** A servable rule that is not served after all: it does not parse, or another rule holds its target. */
export interface RefusedRule {
  readonly rule: string;
  readonly message: string;
}

/** What a gateway serves at one moment. Never changed: a new table replaces it whole. */
export interface RouteTable {
  readonly routes: readonly Route[];
  readonly refused: readonly RefusedRule[];
  /** The rule that names a repository of the cache, exact targets before wildcards, in time independent of the number of rules. */
  match(repository: string): RouteMatch | undefined;
}

/** A table that serves nothing: what a gateway has before it knows any rule. */
export const EMPTY_ROUTES: RouteTable = { routes: [], refused: [], match: () => undefined };

interface Candidate {
  readonly rule: CacheRuleView;
  readonly mapping: RuleMapping;
}

/** Reading names is most of the cost of a table; in a new one nearly all rules are those of the one before. */
function mappingOf({ metadata, spec }: CacheRuleView, known: ReadonlyMap<string, Route>): RuleMapping {
  const route = known.get(metadata.name);
  const same = route !== undefined && route.source === spec.source && route.target === spec.target;
  return same ? route.mapping : parseMapping(spec);
}

function readMappings(
  rules: readonly CacheRuleView[],
  known: ReadonlyMap<string, Route>,
): { candidates: Candidate[]; refused: RefusedRule[] } {
  const candidates: Candidate[] = [];
  const refused: RefusedRule[] = [];
  for (const rule of rules) {
    try {
      candidates.push({ rule, mapping: mappingOf(rule, known) });
    } catch (thrown) {
      refused.push({ rule: rule.metadata.name, message: messageOf(thrown) });
    }
  }
  return { candidates, refused };
}

function toRoute({ rule, mapping }: Candidate): Route {
  const { name, uid = "", generation = 0 } = rule.metadata;
  const problem = upstreamProblem(rule);
  const { source, target } = rule.spec;
  return {
    rule: name,
    uid,
    generation,
    source,
    target,
    mapping,
    ...(problem !== undefined && { upstreamProblem: problem }),
  };
}

function indexed(routes: readonly Route[]): (repository: string) => RouteMatch | undefined {
  const exact = new Map<string, Route>();
  const wildcards = new Map<string, Route>();
  for (const route of routes) {
    const { path, wildcard } = route.mapping.target;
    (wildcard ? wildcards : exact).set(path, route);
  }
  const find = (repository: string): Route | undefined => {
    const named = exact.get(repository);
    if (named !== undefined) return named;
    for (const prefix of ancestors(repository)) {
      const route = wildcards.get(prefix);
      if (route !== undefined) return route;
    }
    return undefined;
  };
  return (repository) => {
    const route = find(repository);
    const upstream = route === undefined ? undefined : toUpstream(route.mapping, repository);
    return route === undefined || upstream === undefined ? undefined : { route, upstream };
  };
}

/**
 * The table of what the gateway of `registryName` serves, from all CacheRules there are. The operator's verdict (`servable`) is
 * necessary, and conflicts are judged once more: should two rivals look accepted at one moment, still only one of them is served.
 * `previous` only saves work.
 */
export function buildRoutes(
  rules: readonly CacheRuleView[],
  registryName: string,
  previous: RouteTable = EMPTY_ROUTES,
): RouteTable {
  const known = new Map(previous.routes.map((route) => [route.rule, route]));
  const { candidates, refused } = readMappings(
    rules.filter((rule) => servable(rule, registryName)),
    known,
  );
  const verdicts = acceptRules(
    candidates.map(({ rule, mapping }) => ({
      name: rule.metadata.name,
      target: mapping.target,
      synced: conditionIsTrue(rule, "Synced"),
      ...(rule.metadata.creationTimestamp !== undefined && { creationTimestamp: rule.metadata.creationTimestamp }),
    })),
  );
  const routes: Route[] = [];
  const losers: RefusedRule[] = [];
  for (const candidate of candidates) {
    const { name } = candidate.rule.metadata;
    const verdict = verdicts.get(name);
    if (verdict?.accepted === true) routes.push(toRoute(candidate));
    else if (verdict !== undefined) losers.push({ rule: name, message: verdict.message });
  }
  return { routes, refused: [...refused, ...losers], match: indexed(routes) };
}
