import { parseArgs } from "node:util";
import { type ImageReference, parseReference } from "../core/image/reference.ts";
import { CLUSTER_OPTIONS, type ClusterFlags, clusterOf } from "./cluster-flags.ts";

/** For what is rendered, with what only that takes. */
export type RenderTarget =
  | { readonly tool: "containerd"; readonly outputDir?: string }
  | { readonly tool: "helm-values"; readonly images: readonly ImageReference[]; readonly imagesFile?: string }
  | { readonly tool: "kyverno" };

/** `kubectl entrepot render`: the rules as the configuration of another tool. */
export interface RenderCommand {
  readonly kind: "render";
  readonly target: RenderTarget;
  /** Only the rules of this CacheRegistry. */
  readonly registry?: string;
  readonly cluster: ClusterFlags;
}

const OPTIONS = {
  ...CLUSTER_OPTIONS,
  registry: { type: "string" },
  "output-dir": { type: "string" },
  image: { type: "string", multiple: true },
  images: { type: "string" },
} as const;

interface TargetValues {
  readonly "output-dir"?: string;
  readonly image?: readonly string[];
  readonly images?: string;
}

function targetOf(
  tool: string | undefined,
  { "output-dir": outputDir, image, images: imagesFile }: TargetValues,
): RenderTarget {
  if (tool !== "containerd" && outputDir !== undefined) throw new Error("--output-dir is for render containerd");
  if (tool !== "helm-values" && (image !== undefined || imagesFile !== undefined))
    throw new Error("--image and --images are for render helm-values");
  if (outputDir === "") throw new Error("--output-dir needs a folder");
  switch (tool) {
    case "containerd":
      return { tool, ...(outputDir !== undefined && { outputDir }) };
    case "helm-values": {
      const images = (image ?? []).map(parseReference);
      return { tool, images, ...(imagesFile !== undefined && { imagesFile }) };
    }
    case "kyverno":
      return { tool };
    default:
      throw new Error(
        tool === undefined
          ? "render containerd, helm-values or kyverno?"
          : `there is nothing to render for "${tool}": it can be containerd, helm-values or kyverno`,
      );
  }
}

/** Reads the arguments after `render`. Throws, with what is wrong, when they are none of the usage. */
export function parseRender(args: readonly string[]): RenderCommand {
  const { values, positionals } = parseArgs({
    args: [...args],
    options: OPTIONS,
    allowPositionals: true,
    strict: true,
  });
  const [tool, ...more] = positionals;
  if (more.length > 0) throw new Error("render takes one of containerd, helm-values and kyverno; the rest are flags");
  if (values.registry === "") throw new Error("--registry needs the name of a CacheRegistry");
  return {
    kind: "render",
    target: targetOf(tool, values),
    cluster: clusterOf(values),
    ...(values.registry !== undefined && { registry: values.registry }),
  };
}
