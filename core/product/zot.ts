import type { CacheRuleObject, CacheRuleSpec, Upstream as UpstreamEntry } from "../../crds/index.ts";
import type { Upstream } from "../cacheregistry/types.ts";
import { shownHost, upstreamUrl } from "../cacheregistry/upstream.ts";
import type { RuleMapping } from "../cacherule/mapping.ts";
import { ancestors } from "../cacherule/pattern.ts";
import { canonicalJson } from "../json.ts";
import type { Section } from "./rendered.ts";

/** The key of the Secret, and the name of the file, with the credentials of all upstreams. */
export const ZOT_CREDENTIALS_KEY = "credentials.json";

/**
 * How long zot waits before it asks an upstream again, as a Go duration. Without it, its client doubles the wait with every request
 * that fails, up to 30 s, and a pull of what zot has takes that long while the upstream is away. It shortens what an upstream asks for in
 * Retry-After, too: so not for what zot fetches by itself.
 */
const RETRY_DELAY = "500ms";

export type ZotOptions = NonNullable<NonNullable<CacheRuleSpec["options"]>["zot"]>;

/** A rule as zot's configuration depends on it. */
export interface ZotRule {
  readonly rule: Pick<CacheRuleObject, "metadata" | "spec">;
  readonly mapping: RuleMapping;
}

/** Rules of one upstream with one set of options: an entry of `extensions.sync.registries`. */
interface Group {
  readonly host: string;
  readonly options: ZotOptions;
  readonly rules: readonly ZotRule[];
}

/** What zot is to be told. `beaten` has the rules that can't be: the uid of each, and the name of the rule that is in its way. */
export interface ZotRendering {
  readonly section: Section;
  readonly beaten: ReadonlyMap<string, string>;
}

/** Why zot can't serve a rule of that upstream; undefined where it can. Every shape is fine, and every host. */
export function zotRefusal(host: string, entry: UpstreamEntry | undefined): string | undefined {
  return entry?.caBundle === undefined
    ? undefined
    : `upstream ${shownHost(host)} has a caBundle, which zot takes only from its own container: mount the authority there (SSL_CERT_DIR), and remove caBundle`;
}

/** The host by which zot looks up credentials: that of the URL. */
function credentialsHost(upstream: Upstream): string {
  return new URL(upstreamUrl(upstream)).host;
}

/** zot's credentials file for the upstreams that have any; undefined where none has. Deterministic. */
export function zotCredentials(upstreams: readonly Upstream[]): string | undefined {
  const entries = upstreams.flatMap((one) =>
    one.credentials === undefined
      ? []
      : [[credentialsHost(one), { username: one.credentials.username, password: one.credentials.password }] as const],
  );
  return entries.length === 0 ? undefined : canonicalJson(Object.fromEntries(entries));
}

function optionsOf({ rule }: ZotRule): ZotOptions {
  return rule.spec.options?.zot ?? {};
}

function groupKey(rule: ZotRule): string {
  return canonicalJson([rule.mapping.source.host, optionsOf(rule)]);
}

function nameOf({ rule }: ZotRule): string {
  return rule.metadata.name;
}

function byAge(a: ZotRule, b: ZotRule): number {
  const [one, two] = [a, b].map((each) => `${each.rule.metadata.creationTimestamp} ${nameOf(each)}`);
  return (one ?? "") < (two ?? "") ? -1 : 1;
}

/**
 * zot asks every entry whose destination covers a name, one after the other, until one answers. Where two entries cover one name, a
 * failure at the first would be answered with the second's image: another one, or one that the first refused for lack of a
 * signature. So of two such rules the older stays; rules of one upstream with equal options share an entry, where only the first
 * match counts, and may lie within each other.
 */
function losers(rules: readonly ZotRule[]): ReadonlyMap<string, string> {
  const beaten = new Map<string, string>();
  const kept: { readonly byPath: Map<string, ZotRule[]>; readonly below: Map<string, ZotRule[]> } = {
    byPath: new Map(),
    below: new Map(),
  };
  const add = (map: Map<string, ZotRule[]>, key: string, rule: ZotRule) => {
    const known = map.get(key);
    if (known === undefined) map.set(key, [rule]);
    else known.push(rule);
  };
  for (const rule of [...rules].sort(byAge)) {
    const { path, wildcard } = rule.mapping.target;
    const above = [path, ...ancestors(path)].flatMap((one) =>
      (kept.byPath.get(one) ?? []).filter(({ mapping }) => mapping.target.wildcard || one === path),
    );
    const inside = wildcard ? (kept.below.get(path) ?? []) : [];
    const winner = [...above, ...inside].find((other) => groupKey(other) !== groupKey(rule));
    if (winner !== undefined) {
      beaten.set(rule.rule.metadata.uid, nameOf(winner));
      continue;
    }
    add(kept.byPath, path, rule);
    for (const one of ancestors(path)) add(kept.below, one, rule);
  }
  return beaten;
}

function depth(path: string): number {
  return path === "" ? 0 : path.split("/").length;
}

/** Most specific first: an exact name before the wildcard that covers it, a longer path before a shorter one. */
function bySpecificity(a: ZotRule, b: ZotRule): number {
  const [one, two] = [a.mapping.target, b.mapping.target];
  if (one.wildcard !== two.wildcard) return one.wildcard ? 1 : -1;
  return depth(two.path) - depth(one.path) || (one.path < two.path ? -1 : one.path > two.path ? 1 : 0);
}

function groupsOf(rules: readonly ZotRule[]): readonly Group[] {
  const groups = new Map<string, ZotRule[]>();
  for (const rule of [...rules].sort(bySpecificity)) {
    const key = groupKey(rule);
    groups.set(key, [...(groups.get(key) ?? []), rule]);
  }
  return [...groups.values()].flatMap((members) => {
    const [first] = members;
    return first === undefined ? [] : [{ host: first.mapping.source.host, options: optionsOf(first), rules: members }];
  });
}

// One `content` entry. A wildcard of ours is at least one component: zot takes a/** for a as well, so the glob has one * before it.
// The part that the target replaces is stripped.
function contentOf({ mapping: { source, target } }: ZotRule): object {
  const destination = `/${target.path}`;
  if (!source.wildcard) return { prefix: source.path, destination, stripPrefix: true };
  return source.path === ""
    ? { prefix: "*/**", destination, stripPrefix: false }
    : { prefix: `${source.path}/*/**`, destination, stripPrefix: true };
}

/**
 * `extensions.sync` of a zot that serves the rules on demand. `upstreams` has every host that a rule uses, as it is reached;
 * `credentialsFile` is where the container finds the file of `zotCredentials`. Deterministic: equal input, equal output.
 */
export function renderZot(
  rules: readonly ZotRule[],
  upstreams: ReadonlyMap<string, Upstream>,
  credentialsFile: string | undefined,
): ZotRendering {
  const beaten = losers(rules);
  const registries = groupsOf(rules.filter(({ rule }) => !beaten.has(rule.metadata.uid))).map(
    ({ host, options, rules: members }) => ({
      urls: [upstreamUrl(upstreams.get(host) ?? { host, plainHTTP: false })],
      onDemand: true,
      tlsVerify: true,
      ...(options?.pollInterval === undefined && { retryDelay: RETRY_DELAY }),
      ...options,
      content: members.map(contentOf),
    }),
  );
  if (registries.length === 0) return { section: undefined, beaten };
  return { section: { enable: true, ...(credentialsFile !== undefined && { credentialsFile }), registries }, beaten };
}
