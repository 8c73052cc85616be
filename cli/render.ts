import type { ConnectedKubeClient } from "../adapters/kube/client.ts";
import { printable } from "../core/cache/view.ts";
import type { NamedRuleView } from "../core/cachenames/types.ts";
import { parseReference } from "../core/image/reference.ts";
import { containerdFiles, containerdText, type MirrorRegistryView } from "../core/render/containerd.ts";
import { helmValues } from "../core/render/helmvalues.ts";
import { kyvernoPolicy } from "../core/render/kyverno.ts";
import { type RuleSelection, selectRules } from "../core/render/rules.ts";
import { CACHE_REGISTRIES, CACHE_RULES, type CacheRegistryObject, type CacheRuleObject } from "../crds/index.ts";
import type { RenderCommand } from "./render-arguments.ts";
import { writeHostsFiles } from "./render-files.ts";
import { eachOf } from "./rules-list.ts";

/** What a command printed, and whether what was asked holds. */
export interface RenderAnswer {
  readonly text: string;
  /** With images: every one of them has a name in a cache. Without, always. */
  readonly holds: boolean;
}

/** What is the surroundings' part of the answer. */
export interface RenderSurroundings {
  readonly systemNamespace: string;
  /** The text of a file, or of standard input for `-`. */
  readonly read: (file: string) => Promise<string>;
}

type Reader = Pick<ConnectedKubeClient, "pages">;

/** Of an object what names are decided by, so that thousands are kept at little. */
function ruleView({ metadata, spec, status }: CacheRuleObject): NamedRuleView {
  const { registryRef, source, target, suspend, rewrite } = spec;
  const { pullPrefix, conditions } = status ?? {};
  return {
    metadata,
    spec: { registryRef, source, target, ...(suspend && { suspend }), ...(rewrite && { rewrite }) },
    status: { ...(pullPrefix !== undefined && { pullPrefix }), ...(conditions && { conditions }) },
  };
}

async function selected(
  client: Reader,
  registry: string | undefined,
): Promise<{ selection: RuleSelection; registries: readonly MirrorRegistryView[] }> {
  const registries = await eachOf<CacheRegistryObject, MirrorRegistryView>(client, CACHE_REGISTRIES, {}, (one) => one);
  const rules = await eachOf<CacheRuleObject, NamedRuleView>(client, CACHE_RULES, {}, ruleView);
  if (registry !== undefined && !registries.some(({ metadata }) => metadata.name === registry))
    throw new Error(`there is no CacheRegistry "${printable(registry)}"`);
  return { selection: selectRules(rules, registries, registry), registries };
}

/** One reference a line; what follows a `#` is a comment. */
function imagesIn(text: string) {
  const lines = text.split("\n").map((line) => line.replace(/#.*/, "").trim());
  return lines.filter((line) => line !== "").map(parseReference);
}

/** Answers `kubectl entrepot render`. Throws `KubeError`, and for files that can't be read or written. */
export async function answerRender(
  client: Reader,
  { target, registry }: RenderCommand,
  { systemNamespace, read }: RenderSurroundings,
): Promise<RenderAnswer> {
  const { selection, registries } = await selected(client, registry);
  switch (target.tool) {
    case "containerd": {
      const files = containerdFiles(selection, registries);
      const { outputDir } = target;
      return {
        text: outputDir === undefined ? containerdText(files) : await writeHostsFiles(outputDir, files),
        holds: true,
      };
    }
    case "helm-values": {
      const more = target.imagesFile === undefined ? [] : imagesIn(await read(target.imagesFile));
      const asked = target.images.length > 0 || target.imagesFile !== undefined;
      const { text, complete } = helmValues(selection, asked ? [...target.images, ...more] : undefined);
      return { text, holds: complete };
    }
    case "kyverno":
      return { text: kyvernoPolicy(selection, systemNamespace), holds: true };
  }
}
