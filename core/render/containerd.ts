import type { CacheRegistryView, NamedRule } from "../cachenames/types.ts";
import { isPlainHttpHost } from "../image/reference.ts";
import { comment, header, leftOutLines, ruleLine } from "./comment.ts";
import { type CacheTree, joined, type Transplant } from "./overlaps.ts";
import { type LeftOut, type RuleSelection, sourceText, upstreamHost } from "./rules.ts";

/** A CacheRegistry, with what says whether it speaks TLS. */
export interface MirrorRegistryView extends CacheRegistryView {
  readonly spec: CacheRegistryView["spec"] & { readonly inCluster?: { readonly tls?: object } };
}

/** How containerd is to pull what an upstream's names name. */
export interface HostsFile {
  /** The upstream, as container runtimes write it. */
  readonly host: string;
  /** The folder's name below `certs.d`. */
  readonly directory: string;
  /** Of `hosts.toml`. */
  readonly content: string;
}

/** What there is for containerd. */
export interface ContainerdFiles {
  readonly files: readonly HostsFile[];
  /** What no mirror can express, of whatever host. */
  readonly notExpressed: readonly LeftOut[];
}

interface Mirror extends Transplant {
  readonly scheme: "http" | "https";
  readonly rules: NamedRule[];
}

/**
 * The path that stands before an upstream's own in the cache: a mirror of containerd's keeps all of an image's path behind one prefix
 * (containerd, docs/hosts.md). Undefined where a rule changes more than that.
 */
function basePath({ mapping: { source }, prefix }: NamedRule): string | undefined {
  if (source.path === "" || prefix.path === source.path) return prefix.path === source.path ? "" : prefix.path;
  return prefix.path.endsWith(`/${source.path}`) ? prefix.path.slice(0, -source.path.length - 1) : undefined;
}

function inexpressible(rule: NamedRule): string | undefined {
  const { source } = rule.mapping;
  const host = upstreamHost(source.host);
  if (basePath(rule) === undefined)
    return `a mirror keeps the upstream's path, and ${rule.prefix.path} does not end with ${source.path}`;
  if (rule.cache.pullOnly || source.path === "") return undefined;
  return `containerd asks a mirror for every image of ${host}, and CacheRegistry ${rule.cache.registry} may have other images by the same path; ${host}/* as the source could be expressed`;
}

function schemeOf(host: string, registry: MirrorRegistryView | undefined): Mirror["scheme"] {
  return registry?.spec.inCluster?.tls === undefined && isPlainHttpHost(host) ? "http" : "https";
}

/** Mirrors in the order of the most specific rule of each. */
function mirrorsOf(
  rules: readonly NamedRule[],
  registries: ReadonlyMap<string, MirrorRegistryView>,
): readonly Mirror[] {
  const mirrors = new Map<string, Mirror>();
  for (const rule of rules) {
    const cachePath = basePath(rule) ?? "";
    const { host } = rule.mapping.source;
    const scheme = schemeOf(rule.prefix.host, registries.get(rule.cache.registry));
    const key = [host, scheme, rule.prefix.host, cachePath].join(" ");
    const known = mirrors.get(key);
    if (known !== undefined) known.rules.push(rule);
    else mirrors.set(key, { host, path: "", cacheHost: rule.prefix.host, cachePath, scheme, rules: [rule] });
  }
  return [...mirrors.values()];
}

/** Why a mirror would give one image for another; undefined if it can't. */
function confusion(mirror: Mirror, tree: CacheTree): string | undefined {
  const [stranger] = tree.strangersAt(mirror);
  if (stranger === undefined) return undefined;
  const where = joined(mirror.cacheHost, mirror.cachePath);
  return `containerd would ask ${where} for every image of ${upstreamHost(mirror.host)}, where CacheRule ${stranger.rule} has ${sourceText(stranger)}`;
}

function mirrorLines({ scheme, cacheHost, cachePath, rules }: Mirror): readonly string[] {
  const url = `${scheme}://${joined(`${cacheHost}/v2`, cachePath)}`;
  const ca =
    scheme === "https" ? comment([`ca = "/path/to/ca.crt", where the node does not trust its certificate`]) : [];
  return [
    "",
    ...comment(rules.map(ruleLine)),
    `[host.${JSON.stringify(url)}]`,
    `  capabilities = ["pull", "resolve"]`,
    "  override_path = true",
    ...ca.map((line) => `  ${line}`),
  ];
}

/** As containerd finds it first: `host_port_` for `host:port`. */
function directoryOf(host: string): string {
  return host.replace(/:([0-9]+)$/, "_$1_");
}

function serverLines(host: string): readonly string[] {
  if (isPlainHttpHost(host)) return comment(["No server: containerd's own default for this host."]);
  return [`server = "https://${host === "docker.io" ? "registry-1.docker.io" : host}"`];
}

function fileOf(canonical: string, mirrors: readonly Mirror[], selection: RuleSelection): HostsFile {
  const host = upstreamHost(canonical);
  const directory = directoryOf(host);
  const content = [
    ...comment([
      ...header(`containerd: where images of ${host} are pulled`, selection),
      `Put it on every node as ${directory}/hosts.toml in the folder of the registry setting config_path, such as /etc/containerd/certs.d;`,
      "containerd reads it at the next pull. Images that no mirror has, and all while none answers, come from the server.",
    ]),
    ...serverLines(host),
    ...mirrors.flatMap(mirrorLines),
  ];
  return { host, directory, content: `${content.join("\n")}\n` };
}

/**
 * Mirrors for containerd, a file for each upstream host. Rules for which a mirror would mean something else, or too much, are
 * `notExpressed`: a mirror is asked for every image of its upstream, so it may only be where whatever it serves is that image.
 */
export function containerdFiles(selection: RuleSelection, registries: readonly MirrorRegistryView[]): ContainerdFiles {
  const { tree } = selection.accepted;
  const notExpressed: LeftOut[] = [...selection.leftOut];
  const fit = selection.rules.filter((rule) => {
    const reason = inexpressible(rule);
    if (reason !== undefined) notExpressed.push({ rule: rule.rule, reason });
    return reason === undefined;
  });
  const mirrors = mirrorsOf(fit, new Map(registries.map((one) => [one.metadata.name, one]))).filter((mirror) => {
    const reason = confusion(mirror, tree);
    if (reason !== undefined) notExpressed.push(...mirror.rules.map(({ rule }) => ({ rule, reason })));
    return reason === undefined;
  });
  const files = [...Map.groupBy(mirrors, ({ host }) => host)].map(([host, its]) => fileOf(host, its, selection));
  return {
    files: files.sort((a, b) => (a.host < b.host ? -1 : 1)),
    notExpressed: notExpressed.sort((a, b) => (a.rule < b.rule ? -1 : 1)),
  };
}

/** The rules that no file has, in a comment; empty if there are none. */
export function leftOutText(notExpressed: readonly LeftOut[]): string {
  return comment(leftOutLines(notExpressed)).join("\n");
}

/** All of it as one text, each file behind a line with its name. */
export function containerdText({ files, notExpressed }: ContainerdFiles): string {
  const parts = files.map(({ directory, content }) => `# file: ${directory}/hosts.toml\n${content}`);
  const nothing = files.length === 0 ? ["# No rule can be expressed as a mirror."] : [];
  return [...parts, ...nothing, leftOutText(notExpressed)].join("\n").trimEnd();
}
