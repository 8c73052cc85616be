import { manifestKey } from "./desired.ts";
import { quantity } from "./quantity.ts";
import type { Manifest } from "./types.ts";

type Json = Readonly<Record<string, unknown>>;

const QUANTITIES = new Set(["cpu", "memory", "storage", "sizeLimit"]); // written back by the API server in canonical form

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Whether everything that `wanted` says is so in `live`. Lists are compared whole; what the API server adds to objects is no difference. */
export function isCovered(wanted: unknown, live: unknown, key = ""): boolean {
  if (Array.isArray(wanted)) {
    return (
      Array.isArray(live) &&
      live.length === wanted.length &&
      wanted.every((item, index) => isCovered(item, live[index]))
    );
  }
  if (isObject(wanted))
    return isObject(live) && Object.entries(wanted).every(([name, value]) => isCovered(value, live[name], name));
  if (wanted === live) return true;
  if (!QUANTITIES.has(key) || typeof wanted !== "string" || typeof live !== "string") return false;
  const amount = quantity(wanted);
  return amount !== undefined && amount === quantity(live);
}

/** What has to be done so that `live` is as `desired`. */
export interface Changes {
  readonly apply: readonly Manifest[];
  readonly remove: readonly LiveObject[];
}

/** A live object of ours, as far as deciding about it needs. */
export interface LiveObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid?: string;
    readonly deletionTimestamp?: string;
  };
}

/**
 * Compares what should exist with what does: objects that are missing or differ are applied, in the order of `desired`; objects that
 * nobody wants are removed. At rest both lists are empty, so no write is made. Objects that are going away are left alone.
 */
export function changes(desired: readonly Manifest[], live: readonly LiveObject[]): Changes {
  const existing = new Map(live.map((object) => [manifestKey(object), object]));
  const wanted = new Set(desired.map(manifestKey));
  return {
    apply: desired.filter((object) => {
      const found = existing.get(manifestKey(object));
      return found === undefined || (found.metadata.deletionTimestamp === undefined && !isCovered(object, found));
    }),
    remove: live.filter(
      (object) => !wanted.has(manifestKey(object)) && object.metadata.deletionTimestamp === undefined,
    ),
  };
}
