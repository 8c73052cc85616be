import { buildNames } from "../cachenames/names.ts";
import type { CacheNames, CacheRegistryView, NamedRule, NamedRuleView } from "../cachenames/types.ts";
import { parseMapping } from "../cacherule/mapping.ts";
import { formatTarget, type RulePattern } from "../cacherule/pattern.ts";
import { parseReference } from "../image/reference.ts";
import { CacheTree } from "./overlaps.ts";

/** A rule that is not rendered, and why. */
export interface LeftOut {
  readonly rule: string;
  readonly reason: string;
}

/** The rules of a cluster, as far as other tools can be told of them. */
export interface RuleSelection {
  /** What is rendered, the most specific first: exact sources, then wildcards with longer paths; of equal sources the older rule. */
  readonly rules: readonly NamedRule[];
  /** By name. */
  readonly leftOut: readonly LeftOut[];
  /** The index of the rendered rules alone. */
  readonly names: CacheNames;
  /** Every accepted rule, rendered or not: what names in caches may stand for. */
  readonly accepted: { readonly names: CacheNames; readonly tree: CacheTree };
  /** The CacheRegistry whose rules were asked for, where not all were. */
  readonly registry?: string;
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** `docker.io` for Docker Hub, as people and container runtimes write it. */
export function upstreamHost(host: string): string {
  return host === "index.docker.io" ? "docker.io" : host;
}

/** `docker.io/library/*`: a rule's source as its author could have written it. */
export function sourceText({ mapping: { source } }: NamedRule): string {
  return `${upstreamHost(source.host)}/${formatTarget(source)}`;
}

/** `localhost:30500/hub/*`: what stands in place of the source. */
export function cachedText({ prefix, mapping: { source } }: NamedRule): string {
  return `${prefix.host}/${formatTarget({ path: prefix.path, wildcard: source.wildcard })}`.replace(/\/$/, "");
}

function specificity(a: RulePattern, b: RulePattern): number {
  return (
    Number(a.wildcard) - Number(b.wildcard) ||
    compare(a.host, b.host) ||
    b.path.split("/").length - a.path.split("/").length ||
    b.path.length - a.path.length ||
    compare(a.path, b.path)
  );
}

/** Why a rule has no names for other tools; undefined if it has. */
function refusal({ metadata, spec, status }: NamedRuleView): string | undefined {
  if (metadata.deletionTimestamp !== undefined) return "it is being deleted";
  if (spec.suspend === true) return "it is suspended";
  const accepted = status?.conditions?.find(({ type }) => type === "Accepted");
  if (accepted?.status !== "True")
    return `it is not accepted: ${accepted?.message ?? "the operator has not looked at it yet"}`;
  return status?.pullPrefix === undefined ? "the operator has given it no pull prefix yet" : undefined;
}

/** The rule as an index has it: found by an image that it names. */
function indexed({ metadata, spec }: NamedRuleView, names: CacheNames): NamedRule | undefined {
  try {
    const { source } = parseMapping(spec);
    const repository = source.wildcard ? `${source.path}/x/x`.replace(/^\//, "") : source.path;
    const found = names.cachedAs(parseReference(`${source.host}/${repository}`));
    return found.find(({ by }) => by.rule === metadata.name)?.by;
  } catch {
    return undefined; // longer than a reference may be
  }
}

/** Why no name of an accepted rule can be used; undefined if it can. */
function nameless(view: NamedRuleView, all: CacheNames, tree: CacheTree): string | undefined {
  const rule = indexed(view, all);
  if (rule === undefined)
    return `CacheRegistry "${view.spec.registryRef.name}" is not there, or its names are longer than a reference may be`;
  const rival = tree.rivalOf(rule);
  return rival && `${cachedText(rule)} is ${sourceText(rival)} by CacheRule "${rival.rule}", which is older`;
}

function byAge(a: NamedRuleView, b: NamedRuleView): number {
  const rank = ({ metadata }: NamedRuleView) => `${metadata.creationTimestamp} ${metadata.name}`;
  return compare(rank(a), rank(b));
}

/** Chooses what is rendered: accepted rules with a pull prefix that are neither suspended nor being deleted; of one CacheRegistry, if told. */
export function selectRules(
  views: readonly NamedRuleView[],
  registries: readonly CacheRegistryView[],
  registry?: string,
): RuleSelection {
  const aged = views.toSorted(byAge);
  const all = buildNames(aged, registries);
  const tree = new CacheTree(aged.flatMap((rule) => indexed(rule, all) ?? []));
  const asked = aged.filter(({ spec }) => registry === undefined || spec.registryRef.name === registry);
  const leftOut = asked.flatMap((view) => {
    const reason = refusal(view) ?? nameless(view, all, tree);
    return reason === undefined ? [] : [{ rule: view.metadata.name, reason }];
  });
  const out = new Set(leftOut.map(({ rule }) => rule));
  const chosen = asked.filter(({ metadata }) => !out.has(metadata.name));
  const names = buildNames(chosen, registries);
  const rules = chosen.flatMap((rule) => indexed(rule, names) ?? []);
  return {
    rules: rules.sort((a, b) => specificity(a.mapping.source, b.mapping.source)),
    leftOut: leftOut.sort((a, b) => compare(a.rule, b.rule)),
    names,
    accepted: { names: all, tree },
    ...(registry !== undefined && { registry }),
  };
}
