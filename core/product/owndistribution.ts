import { load } from "js-yaml";
import type { Upstream as UpstreamEntry } from "../../crds/index.ts";
import type { Upstream } from "../cacheregistry/types.ts";
import { shownHost, upstreamUrl } from "../cacheregistry/upstream.ts";
import type { RuleMapping } from "../cacherule/mapping.ts";
import { formatTarget } from "../cacherule/pattern.ts";
import { canonicalJson, type Fields, fieldsOf, isFields } from "../json.ts";
import type { ConfigFormat, Section } from "./rendered.ts";

/** The variables with which a distribution overrides its configuration (configuration reference, "Override specific configuration options"). */
export const USERNAME_VARIABLE = "REGISTRY_PROXY_USERNAME";
export const PASSWORD_VARIABLE = "REGISTRY_PROXY_PASSWORD";

/** Why a distribution in proxy mode can't serve a rule: one process has one upstream, and serves its names as they are. */
export function distributionShape({ source, target }: RuleMapping): string | undefined {
  if (source.wildcard && source.path === "" && target.wildcard && target.path === "") return undefined;
  const shown = `${shownHost(source.host)}/${formatTarget(source)} to ${formatTarget(target)}`;
  return `a CNCF distribution serves one upstream whole, under its own names: write source ${shownHost(source.host)}/* and target * (not ${shown}), or use a CacheRegistry with inCluster, which takes any`;
}

/** Why it can't read that upstream; undefined where it can. */
export function distributionUpstream(host: string, entry: UpstreamEntry | undefined): string | undefined {
  return entry?.caBundle === undefined
    ? undefined
    : `upstream ${shownHost(host)} has a caBundle, which a distribution takes only from its own container: mount the authority there (SSL_CERT_DIR), and remove caBundle`;
}

/** Our part of `config.yml` for an upstream. */
export function distributionSection(upstream: Upstream): NonNullable<Section> {
  return { remoteurl: upstreamUrl(upstream) };
}

/** What the workload takes its environment from; undefined for an anonymous upstream. */
export function distributionCredentials({ credentials }: Upstream): Readonly<Record<string, string>> | undefined {
  return credentials && { [USERNAME_VARIABLE]: credentials.username, [PASSWORD_VARIABLE]: credentials.password };
}

function documentOf(text: string): Fields {
  let document: unknown;
  try {
    document = load(text);
  } catch {
    throw new Error("it is not YAML");
  }
  if (!isFields(document)) throw new Error("it is not a mapping, as a distribution's config.yml is");
  return document;
}

const TOP = /^proxy\s*:/;
const CHILD = /^(\s+)[^\s#]/;

/** The lines of the block `proxy:`, from its key to the next one; undefined where there is none. */
function blockOf(lines: readonly string[]): { readonly start: number; readonly end: number } | undefined {
  const start = lines.findIndex((line) => TOP.test(line));
  if (start < 0) return undefined;
  const length = lines.slice(start + 1).findIndex((line) => /^[^\s#]/.test(line));
  return { start, end: length < 0 ? lines.length : start + 1 + length };
}

function withRemote(lines: readonly string[], remote: string | undefined): readonly string[] {
  const line = (indentation: string) =>
    remote === undefined ? [] : [`${indentation}remoteurl: ${JSON.stringify(remote)}`];
  const block = blockOf(lines);
  if (block === undefined) return remote === undefined ? lines : [...lines, "proxy:", ...line("  ")];
  const body = lines.slice(block.start + 1, block.end);
  const indentation = body.map((one) => CHILD.exec(one)?.[1]).find((one) => one !== undefined) ?? "  ";
  const others = body.filter((one) => !one.trimStart().startsWith("remoteurl:"));
  const empty = remote === undefined && !others.some((one) => CHILD.test(one));
  const key = lines[block.start] ?? "";
  const written = empty ? others : [key, ...line(indentation), ...others];
  return [...lines.slice(0, block.start), ...written, ...lines.slice(block.end)];
}

/** What the document must come to: the same, but for `proxy.remoteurl`. */
function expected(document: Fields, section: Section): Fields {
  const { remoteurl: _, ...others } = fieldsOf(document["proxy"]) ?? {};
  const proxy = { ...others, ...section };
  const { proxy: __, ...rest } = document;
  return Object.keys(proxy).length === 0 ? rest : { ...rest, proxy };
}

/**
 * Our part of a distribution's `config.yml`: `proxy.remoteurl`. The text is edited line by line, so that comments and spelling of the
 * rest stay; what comes out is read again and compared before anybody uses it.
 */
export const DISTRIBUTION_FORMAT: ConfigFormat = {
  read(text): Section {
    const proxy = documentOf(text)["proxy"];
    if (proxy === undefined || proxy === null) return undefined;
    if (!isFields(proxy)) throw new Error("its proxy is not a mapping");
    const stray = ["username", "password", "exec"].find((name) => name in proxy);
    if (stray !== undefined) {
      throw new Error(
        `it has proxy.${stray}: remove it; credentials are named in the CacheRegistry's upstreams and reach the workload by credentialsSecretName`,
      );
    }
    return proxy["remoteurl"] === undefined ? undefined : { remoteurl: proxy["remoteurl"] };
  },
  write(text, section): string {
    const wanted = expected(documentOf(text), section);
    const body = text.endsWith("\n") ? text.slice(0, -1) : text;
    const remote = section === undefined ? undefined : String(section["remoteurl"]);
    const written = `${withRemote(body.split("\n"), remote).join("\n")}\n`;
    if (canonicalJson(documentOf(written)) === canonicalJson(wanted)) return written;
    throw new Error(
      'its proxy can\'t be changed in place: write it as a block ("proxy:" and lines below), or leave it out',
    );
  },
};
