import type { ANNOTATION, LABEL } from "../../crds/names.ts";
import { type AdmissionRequest, stringMap } from "../admission/request.ts";
import { imageFields } from "../admission/workload.ts";
import type { ImageReference } from "../image/reference.ts";
import { type Fields, fieldsOf, stringField } from "../json.ts";
import { parsed } from "./choose.ts";

/** One image of a Pod that may be given another name. */
export interface PodImage {
  /** The container's name, or `volumes/<name>` for an image volume: what annotations call it. */
  readonly key: string;
  /** Path tokens from the object's root. */
  readonly path: readonly (string | number)[];
  readonly image: string;
}

/** The annotations that rewriting writes. */
export const ORIGINAL_IMAGES: (typeof ANNOTATION)["originalImages"] = "entrepot.dev/original-images";
export const NOT_REWRITTEN: (typeof ANNOTATION)["notRewritten"] = "entrepot.dev/not-rewritten";

const REWRITE_LABEL: (typeof LABEL)["rewrite"] = "entrepot.dev/rewrite";
/** The kubelet's own Pods in the API, which it made from files and runs whatever stands here (k8s.io/api `MirrorPodAnnotationKey`). */
const MIRROR_ANNOTATION = "kubernetes.io/config.mirror";
const VOLUMES = "volumes";

function isCreation({ operation, subResource }: AdmissionRequest): boolean {
  return operation === "CREATE" && subResource === "";
}

function isDebugging({ operation, subResource }: AdmissionRequest): boolean {
  return operation === "UPDATE" && subResource === "ephemeralcontainers";
}

/** Whether annotations and pull Secrets of the Pod can be written: with ephemeral containers the API server takes nothing else. */
export function isWritable(request: AdmissionRequest): boolean {
  return isCreation(request);
}

function isLeftAlone(metadata: Fields): boolean {
  const labels = stringMap(metadata["labels"]);
  return labels[REWRITE_LABEL] === "disabled" || fieldsOf(metadata["annotations"])?.[MIRROR_ANNOTATION] !== undefined;
}

/** Whether the request is about a Pod whose images may be renamed, as a whole. */
export function isRewritable(request: AdmissionRequest): boolean {
  if (request.group !== "" || request.kind !== "Pod") return false;
  if (!isCreation(request) && !isDebugging(request)) return false;
  const metadata = fieldsOf(request.object["metadata"]);
  return metadata !== undefined && !isLeftAlone(metadata);
}

/** What annotations call the image at `path` below a PodSpec (see `PodImage.key`); undefined where it has no name. */
export function imageKey(podSpec: Fields, path: readonly (string | number)[]): string | undefined {
  const name = stringField(entryAt(podSpec, path), "name");
  if (name === undefined || name === "") return undefined;
  return path[0] === VOLUMES ? `${VOLUMES}/${name}` : name;
}

function entryAt(podSpec: Fields, [list, index]: readonly (string | number)[]): Fields | undefined {
  const entries = typeof list === "string" ? podSpec[list] : undefined;
  return Array.isArray(entries) && typeof index === "number" ? fieldsOf(entries[index]) : undefined;
}

function pullPolicy(list: string | number | undefined, entry: Fields): string | undefined {
  return list === VOLUMES ? stringField(entry["image"], "pullPolicy") : stringField(entry, "imagePullPolicy");
}

function namesOf(ephemeralContainers: unknown): ReadonlySet<string | undefined> {
  const containers = Array.isArray(ephemeralContainers) ? ephemeralContainers : [];
  return new Set(containers.map((container) => stringField(container, "name")));
}

/**
 * The images that may be renamed. CREATE: all; UPDATE: those of new ephemeral containers. Where nothing is ever pulled the image is
 * on the node under its own name, so it is left out; so is what has no name of its own, which validation refuses.
 */
export function imagesOf(request: AdmissionRequest): readonly PodImage[] {
  const podSpec = fieldsOf(request.object["spec"]);
  if (podSpec === undefined) return [];
  const before = isDebugging(request)
    ? namesOf(fieldsOf(request.oldObject?.["spec"])?.["ephemeralContainers"])
    : undefined;
  return imageFields(podSpec).flatMap(({ path, image }) => {
    const entry = entryAt(podSpec, path);
    const key = imageKey(podSpec, path);
    if (entry === undefined || key === undefined) return [];
    if (pullPolicy(path[0], entry) === "Never") return [];
    if (before !== undefined && (path[0] !== "ephemeralContainers" || before.has(key))) return [];
    return [{ key, path: ["spec", ...path], image }];
  });
}

/** All images of the Pod, those that keep their names as well, but for what is no image reference. */
export function referencesIn(request: AdmissionRequest): readonly ImageReference[] {
  const podSpec = fieldsOf(request.object["spec"]);
  return podSpec === undefined ? [] : imageFields(podSpec).flatMap(({ image }) => parsed(image) ?? []);
}
