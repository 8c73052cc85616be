import jsonpatch, { type Operation } from "fast-json-patch";
import { buildNames } from "../../core/cachenames/names.ts";
import type { CacheNames, CacheRegistryView, NamedRuleView } from "../../core/cachenames/types.ts";
import type { Refusal } from "../../core/rewrite/choose.ts";
import { type Rewriting, rewrite } from "../../core/rewrite/rewrite.ts";
import { ANNOTATION } from "../../crds/names.ts";
import { request } from "./admission.ts";
import { MAIN_REGISTRY } from "./named-rules.ts";

/** Registry `main` is in the cluster; `vendor` is elsewhere and wants a Secret. */
export const REGISTRIES: readonly CacheRegistryView[] = [
  MAIN_REGISTRY,
  { metadata: { name: "vendor" }, spec: { imagePullSecretName: "vendor-pull" } },
];

/** The index of these rules, in `REGISTRIES` unless told otherwise. */
export function namesOf(rules: readonly NamedRuleView[], registries = REGISTRIES): CacheNames {
  return buildNames(rules, registries);
}

/** An object of any shape, as JSON. */
export type Any = Readonly<Record<string, unknown>>;

/** A Pod as it comes out, and what was said about it. */
export interface Rewritten extends Rewriting {
  readonly pod: Any;
}

/** What the API server makes of an object and a patch; throws where it would. */
export function applied(object: object, patch: readonly Operation[]): Any {
  return jsonpatch.applyPatch(structuredClone(object), structuredClone(patch), true).newDocument as Any;
}

/** Creates a Pod. */
export function created(pod: object, names: CacheNames, refusal: Refusal = () => undefined): Rewritten {
  const done = rewrite(request(pod), names, refusal);
  return { ...done, pod: applied(pod, done.patch) };
}

/** A Pod named p with ordinary containers `c0`, `c1`, …; `spec` is beside them. */
export function podOf(images: readonly string[], spec: object = {}, metadata: object = {}) {
  const containers = images.map((image, index) => ({ name: `c${index}`, image }));
  return { apiVersion: "v1", kind: "Pod", metadata: { name: "p", ...metadata }, spec: { containers, ...spec } };
}

/** The images of a Pod's containers of one list. */
export function imagesIn(pod: Any, list = "containers"): readonly unknown[] {
  const spec = pod["spec"] as Readonly<Record<string, readonly { readonly image?: unknown }[]>>;
  return (spec[list] ?? []).map(({ image }) => image);
}

/** An annotation of a Pod, parsed. */
export function noteOf(pod: Any, which: "originalImages" | "notRewritten"): unknown {
  const { annotations } = pod["metadata"] as { annotations?: Readonly<Record<string, string>> };
  const text = annotations?.[ANNOTATION[which]];
  return text === undefined ? undefined : JSON.parse(text);
}
