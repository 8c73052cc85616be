import { type Fields, isFields, parseJson } from "../json.ts";
import type { ConfigFormat, Section } from "./rendered.ts";

const KEPT = "downloaddir"; // where zot unpacks downloads is a matter of its container: yours

/** `JSON.rawJSON` and the `source` of a reviver (ECMAScript 2026): numbers go through as they were written, whatever their size. */
const raw = JSON as unknown as { rawJSON(text: string): unknown };

function parseExactly(text: string): unknown {
  const keep = (_key: string, value: unknown, context?: { readonly source?: string }) =>
    typeof value === "number" && context?.source !== undefined && String(value) !== context.source
      ? raw.rawJSON(context.source)
      : value;
  return JSON.parse(text, keep as (key: string, value: unknown) => unknown);
}

/** zot reads its keys without regard to case. */
function keyOf(object: Fields, name: string): string | undefined {
  return Object.keys(object).find((key) => key.toLowerCase() === name);
}

/** A part of a zot configuration, its key in whatever case; an object without entries if it is not there. */
export function zotPart(object: Fields, name: string): Fields {
  const key = keyOf(object, name);
  const value = key === undefined ? undefined : object[key];
  return isFields(value) ? value : {};
}

function documentOf(text: string, parse: (json: string) => unknown): Fields {
  const document = parseJson(text) === undefined ? undefined : parse(text);
  if (!isFields(document)) throw new Error("it is not a JSON object; zot's configuration must be JSON (not YAML) here");
  for (const [parent, name] of [
    [document, "extensions"],
    [zotPart(document, "extensions"), "sync"],
  ] as const) {
    const key = keyOf(parent, name);
    if (key !== undefined && !isFields(parent[key])) throw new Error(`its ${name} is not an object`);
  }
  return document;
}

/** A zot configuration as plain JSON. Throws an Error that says what is wrong with it. */
export function zotDocument(text: string): Fields {
  return documentOf(text, (json) => JSON.parse(json));
}

function without(object: Fields, dropped: (key: string) => boolean): Fields {
  return Object.fromEntries(Object.entries(object).filter(([key]) => !dropped(key)));
}

function withPart(object: Fields, name: string, value: Fields): Fields {
  const key = keyOf(object, name) ?? name;
  return Object.keys(value).length === 0 ? without(object, (one) => one === key) : { ...object, [key]: value };
}

/**
 * Our part of zot's configuration file: `extensions.sync`, but for its `downloadDir`. Everything else is kept as it is; only white
 * space, and the order of keys that are numbers, may change.
 */
export const ZOT_FORMAT: ConfigFormat = {
  read(text): Section {
    const sync = zotPart(zotPart(zotDocument(text), "extensions"), "sync");
    const ours = without(sync, (key) => key.toLowerCase() === KEPT);
    return Object.keys(ours).length === 0 ? undefined : ours;
  },
  write(text, section): string {
    const document = documentOf(text, parseExactly);
    const extensions = zotPart(document, "extensions");
    const kept = without(zotPart(extensions, "sync"), (key) => key.toLowerCase() !== KEPT);
    const written = withPart(document, "extensions", withPart(extensions, "sync", { ...kept, ...section }));
    return `${JSON.stringify(written, null, 2)}\n`;
  },
};
