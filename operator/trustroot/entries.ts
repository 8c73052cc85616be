import { timestamp } from "../../core/conditions.ts";
import { DomainError } from "../../core/errors.ts";
import { fieldsOf, parseJson, stringField } from "../../core/json.ts";
import { TRUST_ANNOTATION } from "../../core/trust/names.ts";
import type { ConfigMapContent, ConfigMapObject } from "./configmap.ts";

/** Of which object an entry of `config-sigstore-keys` is, and since when it says what it says. */
export interface EntryOrigin {
  readonly uid: string;
  readonly generation: number;
  readonly since: string;
}

/** policy-controller's example, which it does not read as an entry. */
const EXAMPLE = "_example";

/** The API server takes ConfigMaps of up to 1 MiB (`MaxSecretSize`, k8s.io/kubernetes pkg/apis/core); names are counted here, too. */
const DATA_LIMIT = 1024 * 1024;
/** All annotations of an object together (`TotalAnnotationSizeLimitB`), less some room for others'. */
const ORIGINS_LIMIT = 224 * 1024;

function originOf(value: unknown): EntryOrigin | undefined {
  const uid = stringField(value, "uid");
  const since = stringField(value, "since");
  const generation = fieldsOf(value)?.["generation"];
  return uid !== undefined && since !== undefined && typeof generation === "number"
    ? { uid, generation, since }
    : undefined;
}

function origins(live: ConfigMapObject | undefined): ReadonlyMap<string, EntryOrigin> {
  const noted = fieldsOf(parseJson(live?.metadata.annotations?.[TRUST_ANNOTATION.origins] ?? ""));
  const entries = Object.entries(noted ?? {}).flatMap(([name, value]) => {
    const origin = originOf(value);
    return origin === undefined || live?.data?.[name] === undefined ? [] : [[name, origin] as const];
  });
  return new Map(entries);
}

/** Where the entry of that name comes from; undefined if there is none, or nobody knows. */
export function entryOrigin(live: ConfigMapObject | undefined, name: string): EntryOrigin | undefined {
  return origins(live).get(name);
}

/** A TrustRoot that exists, as far as its entry depends on it. */
export interface EntryOwner {
  readonly name: string;
  readonly uid: string;
}

/** What was read for one TrustRoot: its entry's new text. */
export interface NewEntry extends EntryOwner {
  readonly generation: number;
  readonly text: string;
}

function tooLarge(name: string, what: string, size: number, limit: number): DomainError<"CONFIG_MAP_FULL"> {
  return new DomainError(
    "CONFIG_MAP_FULL",
    `${what} would have ${size} bytes with ${JSON.stringify(name)} and may have ${limit}: delete TrustRoots that no policy names, or shorten this one's chains`,
    { terminal: true },
  );
}

const bytes = (text: string): number => Buffer.byteLength(text);

/**
 * The content of `config-sigstore-keys` with `fresh` in it. An entry stays as it is while the very object (by uid) that it was read
 * from exists; one whose object is gone, or is unknown, goes. Throws `CONFIG_MAP_FULL`, with which nothing has changed. Pure.
 */
export function editEntries(
  live: ConfigMapObject | undefined,
  owners: readonly EntryOwner[],
  fresh: NewEntry | undefined,
  now: Date,
): ConfigMapContent & { readonly annotations: Readonly<Record<string, string>> } {
  const noted = origins(live);
  const uids = new Map(owners.map(({ name, uid }) => [name, uid]));
  const isKept = (name: string) => name === EXAMPLE || (noted.has(name) && noted.get(name)?.uid === uids.get(name));
  const data: Record<string, string> = Object.fromEntries(
    Object.entries(live?.data ?? {}).filter(([name]) => isKept(name)),
  );
  const next = new Map([...noted].filter(([name]) => isKept(name)));
  if (fresh !== undefined && uids.get(fresh.name) === fresh.uid) {
    const { name, uid, generation, text } = fresh;
    const since = data[name] === text ? next.get(name)?.since : undefined;
    data[name] = text;
    next.set(name, { uid, generation, since: since ?? timestamp(now) });
  }
  const annotation = JSON.stringify(Object.fromEntries([...next].sort(([a], [b]) => (a < b ? -1 : 1))));
  const size = Object.entries(data).reduce((sum, [name, text]) => sum + bytes(name) + bytes(text), 0);
  if (fresh !== undefined && size > DATA_LIMIT)
    throw tooLarge(fresh.name, "ConfigMap config-sigstore-keys", size, DATA_LIMIT);
  if (fresh !== undefined && bytes(annotation) > ORIGINS_LIMIT)
    throw tooLarge(fresh.name, `the annotation ${TRUST_ANNOTATION.origins}`, bytes(annotation), ORIGINS_LIMIT);
  return { data, annotations: { [TRUST_ANNOTATION.origins]: annotation } };
}
