import { platformName, shownConfig } from "../../core/image/configfile.ts";
import type { Digest } from "../../core/image/reference.ts";
import { type Fields, fieldsOf, parseJson } from "../../core/json.ts";
import type { FetchConfigFiles, PinnedImage } from "../../core/policy/types.ts";
import { descriptorOf } from "../../core/registry/descriptor.ts";
import type { RegistryClient } from "../registry/client.ts";
import { RegistryError } from "../registry/errors.ts";
import type { Source } from "../registry/requests.ts";
import { Shared } from "../shared.ts";
import { Budget, inBatches } from "./gather.ts";
import { scopeOf } from "./reads.ts";

const MIB = 1024 * 1024;
const CONFIG_LIMIT = MIB; // a long history has some 50 KiB
const CONFIGS_LIMIT = 8 * MIB;
const MANIFESTS = 128;
const DEPTH = 4; // an index of indexes of images
const REMEMBERED = 64;
const LARGEST_REMEMBERED = 256 * 1024;
const KEEP_MS = 60_000; // content with a digest never changes; who may read it may

/** One image of an index: where its configuration is. */
interface ImageOf {
  readonly config: Digest;
  readonly size: number;
  /** As the index calls its platform; "" where it does not. */
  readonly platform: string;
}

interface Walk {
  readonly registry: RegistryClient;
  readonly source: Source;
  readonly manifests: Budget;
  readonly bytes: Budget;
  readonly signal: AbortSignal;
}

function malformed(source: Source, why: string): RegistryError {
  return new RegistryError("RESPONSE_MALFORMED", source, `the image's configuration cannot be read: ${why}`);
}

function tooLarge(source: Source, why: string): RegistryError {
  return new RegistryError("RESPONSE_TOO_LARGE", source, `the image's configuration is not read: ${why}`);
}

/** BuildKit's attestations stand in an index as images for a platform that no node has. */
function isForNoNode({ os, architecture }: Fields): boolean {
  return os === "unknown" && architecture === "unknown";
}

/** The images of a manifest: itself, or those of an index, in its order. */
async function imagesOf(walk: Walk, digest: Digest, platform: string, depth: number): Promise<readonly ImageOf[]> {
  const { source } = walk;
  if (depth > DEPTH) throw malformed(source, `its indexes are nested deeper than ${DEPTH}`);
  if (!walk.manifests.take(1)) throw tooLarge(source, `it has more than ${MANIFESTS} manifests`);
  const { bytes } = await walk.registry.manifest(source, digest, walk.signal);
  const manifest = fieldsOf(parseJson(bytes.toString("utf8"))) ?? {};
  const { config, manifests } = manifest;
  // A document that is both may be read either way: what a policy sees must be what a node runs.
  if (Array.isArray(manifests) === (config !== undefined))
    throw malformed(source, `the manifest ${digest} is neither an image's nor an index`);
  if (!Array.isArray(manifests)) {
    const descriptor = descriptorOf(config);
    if (descriptor === undefined) throw malformed(source, `the manifest ${digest} names no configuration`);
    return [{ config: descriptor.digest, size: descriptor.size, platform }];
  }
  const children = manifests.map((child: unknown) => ({ child, of: fieldsOf(fieldsOf(child)?.["platform"]) ?? {} }));
  const images = await inBatches(
    children.filter(({ of }) => !isForNoNode(of)),
    ({ child, of }) => {
      const descriptor = descriptorOf(child);
      if (descriptor === undefined) throw malformed(source, `the index ${digest} has an entry that names no manifest`);
      return imagesOf(walk, descriptor.digest, platformName(of), depth + 1);
    },
  );
  return images.flat();
}

async function configOf({ registry, source, bytes, signal }: Walk, { config, size }: ImageOf): Promise<Fields> {
  if (size > CONFIG_LIMIT) throw tooLarge(source, `${config} has ${size} bytes, more than ${CONFIG_LIMIT}`);
  if (!bytes.take(size)) throw tooLarge(source, `those of all platforms have more than ${CONFIGS_LIMIT} bytes`);
  const fields = fieldsOf(parseJson((await registry.blob(source, config, size, signal)).toString("utf8")));
  if (fields === undefined) throw malformed(source, `${config} is no JSON object`);
  return fields;
}

/** `os/architecture`: what a node chooses an image of an index by, in the first place. */
function familyOf(platform: string): string {
  return platform.split(/[/:]/, 2).join("/");
}

/**
 * By platform as the configuration itself has it, as policy-controller does; also as the index has it where that is another, and only
 * so where the configuration's is taken. What a node may run must not be hidden from a policy behind another's name.
 */
function byPlatform(source: Source, images: readonly ImageOf[], configs: ReadonlyMap<Digest, Fields>): Fields {
  const byName = new Map<string, Digest>();
  for (const { config, platform } of images) {
    const own = platformName(configs.get(config) ?? {});
    const isFree = (name: string): boolean => (byName.get(name) ?? config) === config;
    const both = platform === "" || familyOf(platform) === familyOf(own) ? [own] : [own, platform];
    const names = isFree(own) || platform === "" ? both : [platform];
    if (!names.every(isFree)) throw malformed(source, `the index has two images for the platform ${names.join(", ")}`);
    for (const name of names) byName.set(name, config);
  }
  const sorted = [...byName].sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(sorted.map(([name, config]) => [name, shownConfig(configs.get(config) ?? {})]));
}

async function read(registry: RegistryClient, source: Source, digest: Digest, signal: AbortSignal): Promise<string> {
  const [manifests, bytes] = [new Budget(MANIFESTS), new Budget(CONFIGS_LIMIT)];
  const walk = { registry, source, manifests, bytes, signal };
  const images = await imagesOf(walk, digest, "", 1);
  const distinct = [...new Map(images.map((image) => [image.config, image])).values()];
  const configs = await inBatches(distinct, async (image) => [image.config, await configOf(walk, image)] as const);
  return JSON.stringify(byPlatform(source, images, new Map(configs)));
}

/**
 * Reads the configurations of images for `spec.policy.fetchConfigFile`: of every platform, 128 manifests and 8 MiB at most, once for
 * everyone who asks at the same time or shortly after with the same credentials. Throws `RegistryError` for what is missing, broken or
 * too large: a policy never sees a part.
 */
export function createConfigFiles(registry: RegistryClient): FetchConfigFiles {
  const keepMs = ({ json }: { readonly json: string }): number => (json.length <= LARGEST_REMEMBERED ? KEEP_MS : 0);
  const shared = new Shared<{ readonly json: string }>({ max: REMEMBERED, keepMs });
  return async ({ reference, digest }: PinnedImage, keychain, signal) => {
    const source = { registry: reference.registry, repository: reference.repository, keychain };
    const { value } = await shared.get(JSON.stringify([...scopeOf(source), digest]), signal, async (common) => ({
      json: await read(registry, source, digest, common),
    }));
    return value.json;
  };
}
