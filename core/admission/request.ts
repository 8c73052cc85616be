import { CACHE_ANNOTATION } from "../cache/record.ts";
import { DomainError } from "../errors.ts";
import { type Fields, fieldsOf } from "../json.ts";
import { isNamespaceName, LABEL_LIMIT, NAME_LIMIT } from "../objectnames.ts";

export type ReviewErrorCode = "REVIEW_INVALID";

/**
 * An AdmissionReview request (admission.k8s.io/v1) as far as this project reads it. All texts outside of the objects are short, whoever sent
 * them: they are logged, counted by and remembered by.
 */
export interface AdmissionRequest {
  readonly uid: string;
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  /** Plural. */
  readonly resource: string;
  readonly subResource: string;
  /** An RFC 1123 label; empty for what is in none. */
  readonly namespace: string;
  /** As its author wrote it, perhaps no name at all: mutating webhooks come before the API's validation. Cut off where names end. */
  readonly name: string;
  readonly operation: "CREATE" | "UPDATE" | "DELETE" | "CONNECT";
  readonly dryRun: boolean;
  readonly object: Fields;
  readonly oldObject?: Fields;
}

export interface OwnerRef {
  readonly apiVersion: string;
  readonly group: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
}

const OPERATIONS = ["CREATE", "UPDATE", "DELETE", "CONNECT"] as const;

const textOf = (value: unknown): string => (typeof value === "string" ? value : "");

/** What the API server says by itself, of what it serves and of where the request went, and how long that can be (it makes UUIDs for `uid`). */
const LONGEST = [
  ["uid", NAME_LIMIT],
  ["group", NAME_LIMIT],
  ["version", LABEL_LIMIT],
  ["kind", LABEL_LIMIT],
  ["resource", LABEL_LIMIT],
  ["subResource", LABEL_LIMIT],
] as const;

/** The `metadata.annotations`, `metadata.labels` and the like: string values only. */
export function stringMap(value: unknown): Readonly<Record<string, string>> {
  const entries = Object.entries(fieldsOf(value) ?? {}).filter(
    (entry): entry is [string, string] => typeof entry[1] === "string",
  );
  return Object.fromEntries(entries);
}

/** The sealed annotation in an object's metadata, if it has one. Anybody can write it: it proves nothing until it opens. */
export function cacheAnnotation(metadata: unknown): string | undefined {
  return stringMap(fieldsOf(metadata)?.["annotations"])[CACHE_ANNOTATION];
}

function cutOff(name: string): string {
  return name.length <= NAME_LIMIT ? name : `${name.slice(0, NAME_LIMIT)}…`;
}

/** Reads an AdmissionReview. Throws `REVIEW_INVALID`; the caller answers with an error, never with an allow. */
export function decodeReview(review: unknown): AdmissionRequest {
  const invalid = (why: string) => new DomainError<ReviewErrorCode>("REVIEW_INVALID", `no AdmissionReview v1: ${why}`);
  const top = fieldsOf(review);
  if (top?.["apiVersion"] !== "admission.k8s.io/v1" || top["kind"] !== "AdmissionReview")
    throw invalid("apiVersion or kind differs");
  const request = fieldsOf(top["request"]);
  const uid = textOf(request?.["uid"]);
  if (request === undefined || uid === "") throw invalid("request.uid is missing");
  const kind = fieldsOf(request["kind"]);
  const operation = OPERATIONS.find((known) => known === request["operation"]);
  if (kind === undefined || operation === undefined) throw invalid("request.kind or request.operation is missing");
  const object = fieldsOf(request["object"]);
  if (object === undefined && operation !== "DELETE" && operation !== "CONNECT")
    throw invalid("request.object is missing");
  const oldObject = fieldsOf(request["oldObject"]);
  if (operation === "UPDATE" && oldObject === undefined) throw invalid("request.oldObject is missing");
  const decoded: AdmissionRequest = {
    uid,
    operation,
    group: textOf(kind["group"]),
    version: textOf(kind["version"]),
    kind: textOf(kind["kind"]),
    resource: textOf(fieldsOf(request["resource"])?.["resource"]),
    subResource: textOf(request["subResource"]),
    namespace: textOf(request["namespace"]),
    name: cutOff(textOf(request["name"])),
    dryRun: request["dryRun"] === true,
    object: object ?? {},
    ...(oldObject !== undefined && { oldObject }),
  };
  const tooLong = LONGEST.find(([word, limit]) => decoded[word].length > limit);
  if (tooLong !== undefined) throw invalid(`its ${tooLong[0]} has more than ${tooLong[1]} characters`);
  if (decoded.namespace !== "" && !isNamespaceName(decoded.namespace))
    throw invalid("its namespace cannot be called so: that is no RFC 1123 label");
  return decoded;
}

/** The controller owner of an object's metadata (`controller: true`), if it has one. Users can write it: it proves nothing. */
export function controllerOwner(metadata: Fields | undefined): OwnerRef | undefined {
  const references = metadata?.["ownerReferences"];
  const owner = Array.isArray(references)
    ? references.map(fieldsOf).find((ref) => ref?.["controller"] === true)
    : undefined;
  if (owner === undefined) return undefined;
  const apiVersion = textOf(owner["apiVersion"]);
  const group = apiVersion.includes("/") ? apiVersion.slice(0, apiVersion.indexOf("/")) : "";
  return { apiVersion, group, kind: textOf(owner["kind"]), name: textOf(owner["name"]), uid: textOf(owner["uid"]) };
}
