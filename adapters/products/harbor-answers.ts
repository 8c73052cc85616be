import { type Fields, fieldsOf, isFields, stringField } from "../../core/json.ts";
import { type FoundProject, normaliseTime } from "../../core/product/harbor.ts";
import type { FoundEndpoint } from "../../core/product/harbor-endpoint.ts";
import { ProductError } from "./errors.ts";
import type { HarborAnswer } from "./harbor-http.ts";

/** An answer that is not what the API promises; `how` goes on from "Harbor". */
export function malformed(what: string, how: string): ProductError {
  const message = `Harbor ${how} to: ${what}; check that spec.harbor.url is that of a Harbor`;
  return new ProductError("PRODUCT_MALFORMED", message);
}

/** The objects of a list. Throws `PRODUCT_MALFORMED`, as all here do. */
export function listOf(what: string, { json }: HarborAnswer): readonly Fields[] {
  if (json === null) return []; // Go's empty slice
  if (!Array.isArray(json) || !json.every(isFields)) throw malformed(what, "answers with something that is no list");
  return json as readonly Fields[];
}

/** A field that must be a text and is not empty. */
export function textOf(what: string, from: unknown, field: string): string {
  const value = stringField(from, field);
  if (value === undefined || value === "") throw malformed(what, `answers without "${field}"`);
  return value;
}

/** A field that must be a whole number. */
export function integerOf(what: string, from: Fields, field: string): number {
  const value = from[field];
  if (typeof value !== "number" || !Number.isSafeInteger(value)) throw malformed(what, `answers without "${field}"`);
  return value;
}

/** Reads an item of `GET /registries`. */
export function endpointOf(from: Fields): FoundEndpoint {
  const what = "read a registry endpoint";
  const credential = from["credential"];
  return {
    id: integerOf(what, from, "id"),
    name: textOf(what, from, "name"),
    type: stringField(from, "type") ?? "",
    url: stringField(from, "url") ?? "",
    insecure: from["insecure"] === true,
    ca: stringField(from, "ca_certificate") ?? "",
    username: stringField(credential, "access_key") ?? "",
    hasSecret: (stringField(credential, "access_secret") ?? "") !== "",
    description: stringField(from, "description") ?? "",
    status: (stringField(from, "status") ?? "").toLowerCase(),
  };
}

/** Reads an item of `GET /projects`. */
export function projectOf(from: Fields): FoundProject {
  const what = "read a project";
  const registryId = from["registry_id"];
  const repositories = from["repo_count"];
  return {
    id: integerOf(what, from, "project_id"),
    name: textOf(what, from, "name"),
    createdAt: normaliseTime(textOf(what, from, "creation_time")),
    registryId: typeof registryId === "number" ? registryId : 0,
    repositories: typeof repositories === "number" ? repositories : 0,
    metadata: fieldsOf(from["metadata"]) ?? {},
  };
}
