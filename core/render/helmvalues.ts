import type { CachedImage, NamedRule } from "../cachenames/types.ts";
import { type ImageReference, repositoryName } from "../image/reference.ts";
import { comment, header, leftOutLines, ruleLine } from "./comment.ts";
import type { RuleSelection } from "./rules.ts";

/** Values for charts. */
export interface HelmValues {
  /** YAML; a document for each image or rule. */
  readonly text: string;
  /** Whether every image that was asked about has a name in a cache. */
  readonly complete: boolean;
}

/** A tag such as 1.20 is no number. */
const quoted = (text: string): string => JSON.stringify(text);

interface Values {
  readonly registry: string;
  readonly repository: string;
  readonly tag?: string;
  readonly digest?: string;
}

/**
 * The values under the two conventions that charts have: `image.registry` beside `image.repository` (Bitnami's and those made after
 * them), and `image.repository` with the host in it (what `helm create` makes).
 */
function imageLines({ registry, repository, tag, digest }: Values): readonly string[] {
  return [
    "image:",
    `  registry: ${quoted(registry)}`,
    `  repository: ${quoted(repository)}`,
    ...(tag === undefined ? [] : [`  tag: ${quoted(tag)}`]),
    ...(digest === undefined ? [] : [`  digest: ${quoted(digest)}`]),
    `  # a chart without image.registry: repository: ${quoted(`${registry}/${repository}`)}`,
  ];
}

function forRule(rule: NamedRule): readonly string[] {
  const { host, path } = rule.prefix;
  return ["---", ...comment([ruleLine(rule)]), ...imageLines({ registry: host, repository: path })];
}

function wildcardLines(rules: readonly NamedRule[]): readonly string[] {
  if (rules.length === 0) return [];
  return [
    "",
    "What every image below a name is called (a name of Docker Hub without a slash has library/ before it); --image REF gives the values for one:",
    ...rules.map((rule) => `  ${ruleLine(rule)}`),
  ];
}

/** What an image is called; undefined where no rule names it, or only by the name of another image. */
function cachedName(image: ImageReference, { names, accepted }: RuleSelection): CachedImage | undefined {
  return names.cachedAs(image).find(({ reference }) => {
    const origin = accepted.names.originOf(reference)?.reference;
    return origin !== undefined && repositoryName(origin) === repositoryName(image);
  });
}

function forImage(image: ImageReference, selection: RuleSelection): readonly string[] | undefined {
  const cached = cachedName(image, selection);
  if (cached === undefined) return undefined;
  const { registry, repository, tag, digest } = cached.reference;
  const values = { registry, repository, ...(tag !== undefined && { tag }), ...(digest !== undefined && { digest }) };
  return ["---", ...comment([image.asWritten, ruleLine(cached.by)]), ...imageLines(values)];
}

const TITLE = "Image values for Helm charts";
const HOW = [
  "Put them where the chart has the image, such as image or sidecar.image; see helm show values CHART. A chart of Bitnami's",
  "also wants global.security.allowInsecureImages: true, its name for images that are not Bitnami's own. global.imageRegistry",
  "is of no use: it changes the host of every image, and nothing of the path.",
];

/** Values for the given images. Without any: for each rule of one image, and what the others make of which names. */
export function helmValues(selection: RuleSelection, images?: readonly ImageReference[]): HelmValues {
  if (images === undefined) {
    const [wild = [], exact = []] = [true, false].map((is) =>
      selection.rules.filter(({ mapping }) => mapping.source.wildcard === is),
    );
    const top = [...header(TITLE, selection), ...HOW, ...wildcardLines(wild), ...leftOutLines(selection.leftOut)];
    return { text: [...comment(top), ...exact.flatMap(forRule)].join("\n"), complete: true };
  }
  const found = images.map((image) => ({ image, lines: forImage(image, selection) }));
  const missing = found.flatMap(({ image, lines }) => (lines === undefined ? [image.asWritten] : []));
  const top = [...header(TITLE, selection), ...HOW, ...missing.map((image) => `No CacheRule names ${image}.`)];
  return {
    text: [...comment(top), ...found.flatMap(({ lines }) => lines ?? [])].join("\n"),
    complete: missing.length === 0,
  };
}
