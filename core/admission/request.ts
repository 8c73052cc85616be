import { CACHE_ANNOTATION } from "../cache/record.ts";
import { DomainError } from "../errors.ts";
import { type Fields, fieldsOf } from "../json.ts";

export type ReviewErrorCode = "REVIEW_INVALID";

/** An AdmissionReview request (admission.k8s.io/v1) as far as this project reads it. */
export interface AdmissionRequest {
  readonly uid: string;
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  /** Plural. */
  readonly resource: string;
  readonly subResource: string;
  readonly namespace: string;
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
  return {
    uid,
    operation,
    group: textOf(kind["group"]),
    version: textOf(kind["version"]),
    kind: textOf(kind["kind"]),
    resource: textOf(fieldsOf(request["resource"])?.["resource"]),
    subResource: textOf(request["subResource"]),
    namespace: textOf(request["namespace"]),
    name: textOf(request["name"]),
    dryRun: request["dryRun"] === true,
    object: object ?? {},
    ...(oldObject !== undefined && { oldObject }),
  };
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
