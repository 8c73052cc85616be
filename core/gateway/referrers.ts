import { fieldsOf, parseJson, stringField } from "../json.ts";
import { nextLink } from "../registry/link.ts";
import { OCI_INDEX } from "../registry/media-types.ts";
import { isContentDigest } from "./request.ts";

/** One manifest that refers to another (distribution specification v1.1, "Listing Referrers"). */
export interface Referrer {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** How much of what refers to one manifest is read from a place. More is an error: a part would pass for the whole. */
export interface ReferrersLimits {
  readonly pages: number;
  readonly descriptors: number;
  /** Of all pages together, as they were sent. */
  readonly bytes: number;
}

export const REFERRERS_LIMITS: ReferrersLimits = { pages: 20, descriptors: 1000, bytes: 2 * 1024 * 1024 };

const TYPE_LIMIT = 256;

function annotationsOf(value: unknown): Readonly<Record<string, string>> | undefined {
  const entries = Object.entries(fieldsOf(value) ?? {});
  const sound = entries.filter((entry): entry is [string, string] => typeof entry[1] === "string");
  return sound.length === 0 ? undefined : Object.fromEntries(sound);
}

function referrerOf(value: unknown): Referrer | undefined {
  const [mediaType, digest] = [stringField(value, "mediaType"), stringField(value, "digest")];
  const { size, artifactType, annotations } = fieldsOf(value) ?? {};
  if (mediaType === undefined || mediaType.length > TYPE_LIMIT) return undefined;
  if (digest === undefined || !isContentDigest(digest)) return undefined;
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) return undefined;
  const kept = annotationsOf(annotations);
  return {
    mediaType,
    digest,
    size,
    ...(typeof artifactType === "string" && artifactType !== "" && { artifactType }),
    ...(kept !== undefined && { annotations: kept }),
  };
}

/**
 * Reads an image index that lists referrers. Undefined when it is none, or when one entry of it names nothing that can be pulled: what
 * is left out would seem not to exist.
 */
export function parseReferrers(text: string): readonly Referrer[] | undefined {
  const index = fieldsOf(parseJson(text));
  const listed = index?.["manifests"] ?? []; // Go writes an empty list as null
  if (index?.["schemaVersion"] !== 2 || !Array.isArray(listed)) return undefined;
  const found = listed.map((entry: unknown) => referrerOf(entry));
  return found.every((one) => one !== undefined) ? found : undefined;
}

/** The document of the answer. */
export function formatReferrers(manifests: readonly Referrer[]): string {
  return JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests });
}

/** What is in any of the lists, once each; of what is in several the first entry holds. */
export function uniteReferrers(...lists: readonly (readonly Referrer[])[]): readonly Referrer[] {
  const byDigest = new Map<string, Referrer>();
  for (const one of lists.flat()) if (!byDigest.has(one.digest)) byDigest.set(one.digest, one);
  return [...byDigest.values()];
}

/** The artifact types that a request's query asks for; none is all. */
export function artifactTypesOf(query: string): readonly string[] {
  return new URLSearchParams(query).getAll("artifactType");
}

/** Those of some artifact types; all of them where none is named. */
export function filterReferrers(all: readonly Referrer[], types: readonly string[]): readonly Referrer[] {
  if (types.length === 0) return all;
  return all.filter(({ artifactType }) => artifactType !== undefined && types.includes(artifactType));
}

/** The tag under which clients list what refers to a manifest where a registry has no referrers API ("Referrers Tag Schema"). */
export function referrersTag(digest: string): string {
  const [algorithm = "", encoded = ""] = digest.split(":");
  return `${algorithm.slice(0, 32)}-${encoded.slice(0, 64)}`;
}

/**
 * The path, with its query, of the next page, below `/v2/<repository>/`; undefined on the last. Only another page of the same listing is
 * one: anything else is `foreign`. Whatever host the link names, the registry itself is asked.
 */
export function nextReferrers(
  link: string | undefined,
  repository: string,
  path: string,
): { readonly next?: string; readonly foreign: boolean } {
  if (link === undefined || link === "") return { foreign: false };
  const target = nextLink(link);
  if (target === undefined) return { foreign: /\bnext\b/i.test(link) }; // other relations say nothing of pages
  const base = new URL(`http://registry.invalid/v2/${repository}/${path}`);
  const url = URL.canParse(target, base.href) ? new URL(target, base) : undefined;
  if (url?.pathname !== base.pathname || url.search === base.search) return { foreign: true };
  return { next: `${path.replace(/\?.*$/, "")}${url.search}`, foreign: false };
}
