import { isKubeError, type KubeError } from "../adapters/kube/errors.ts";
import { apiVersionOf, Resources, resourceOf } from "../adapters/kube/resources.ts";
import type { KubeClient, KubeObject, Resource } from "../adapters/kube/types.ts";
import { ADMISSION_CONFIG_MAP, readConfig } from "../core/admission/config.ts";
import { cacheAnnotation } from "../core/admission/request.ts";
import type { WorkloadKind } from "../core/admission/workload.ts";
import { inspectSeal, type LivePolicies, type Present } from "../core/cache/inspect.ts";
import type { Keyring } from "../core/cache/keyring.ts";
import { PUBLIC_KEYS_CONFIG_MAP, PUBLIC_KEYS_FILE, readPublicJwks } from "../core/cache/publicjwks.ts";
import type { SealedRecords } from "../core/cache/record.ts";
import { imagesWithoutRecord } from "../core/cache/uncovered.ts";
import { printable, viewOf } from "../core/cache/view.ts";
import { buildNames, NO_NAMES } from "../core/cachenames/names.ts";
import type { CacheNames } from "../core/cachenames/types.ts";
import type { Fields } from "../core/json.ts";
import { policyCacheTtl } from "../core/policy/cache-ttl.ts";
import {
  CACHE_REGISTRIES,
  CACHE_RULES,
  type CacheRegistryObject,
  type CacheRuleObject,
  CLUSTER_IMAGE_POLICIES,
} from "../crds/index.ts";
import { nameOf } from "./cache-input.ts";
import type { Report } from "./cache-text.ts";
import { configMapData } from "./settings.ts";

/** What of a cluster is shown. */
export interface ShowRequest {
  readonly workload: WorkloadKind;
  readonly name: string;
  readonly namespace: string;
  readonly systemNamespace: string;
  readonly now: Date;
}

type Client = Pick<KubeClient, "get" | "list">;

function resourceFor({ group, versions, plural, kind }: WorkloadKind): Resource {
  const resource = { group, version: versions[0] ?? "v1", plural, kind, namespaced: true };
  return resourceOf(apiVersionOf(resource), kind) ?? resource;
}

async function publishedKeys(client: Client, namespace: string): Promise<Keyring> {
  const text = (await configMapData(client, namespace, PUBLIC_KEYS_CONFIG_MAP))?.[PUBLIC_KEYS_FILE];
  if (text !== undefined) return readPublicJwks(text);
  throw new Error(
    `ConfigMap ${namespace}/${PUBLIC_KEYS_CONFIG_MAP} has no ${PUBLIC_KEYS_FILE}: the operator publishes it; ` +
      "see whether it runs, and whether --system-namespace is where it runs",
  );
}

/** What may not be read by everybody, or a note of what is not compared for that. */
async function ifAllowed<T>(what: string, read: Promise<T>, notes: string[]): Promise<T | undefined> {
  try {
    return await read;
  } catch (thrown) {
    if (!isKubeError(thrown, "FORBIDDEN", "NOT_FOUND")) throw thrown;
    notes.push(`${what} not compared: ${printable((thrown as KubeError).message)}`);
    return undefined;
  }
}

function lifeOf(annotations: KubeObject["metadata"]["annotations"]): { readonly cacheTtlSeconds?: number } {
  const { seconds } = policyCacheTtl(annotations);
  return seconds === undefined ? {} : { cacheTtlSeconds: seconds };
}

async function livePolicies(client: Client): Promise<LivePolicies> {
  const { items } = await client.list<KubeObject>(CLUSTER_IMAGE_POLICIES);
  return new Map(
    items.map(({ metadata: { uid = "", name, resourceVersion, annotations } }) => [
      uid,
      {
        name,
        ...(resourceVersion !== undefined && { resourceVersion }),
        ...lifeOf(annotations),
      },
    ]),
  );
}

async function presentOf(client: Client, { systemNamespace, now }: ShowRequest, notes: string[]): Promise<Present> {
  const [system, settings, policies] = await Promise.all([
    ifAllowed("the cluster's identity is", client.get(Resources.namespaces, "kube-system"), notes),
    ifAllowed("the epoch is", configMapData(client, systemNamespace, ADMISSION_CONFIG_MAP).then(readSettings), notes),
    ifAllowed("policies are", livePolicies(client), notes),
  ]);
  if (settings?.cacheEnabled === false)
    notes.push(
      `the cache is off (dev.chainguard.enable-cip-cache in ${ADMISSION_CONFIG_MAP}): no annotation is believed or written`,
    );
  const cluster = system?.metadata.uid;
  return {
    now,
    ...(cluster !== undefined && { cluster }),
    ...(settings !== undefined && { epoch: settings.epoch, cacheTtlSeconds: settings.cacheTtlSeconds }),
    ...(policies !== undefined && { policies }),
  };
}

const readSettings = (data: Readonly<Record<string, string>> | undefined) => readConfig(data).config;

const NO_RECORDS =
  "no records are sealed on it: no policy matches its images, its namespace is not enforced, it was admitted while the cache was off, or its images are verified by nobody yet";

async function cacheNames(client: Client): Promise<CacheNames> {
  const [rules, registries] = await Promise.all([
    client.list<KubeObject & CacheRuleObject>(CACHE_RULES),
    client.list<KubeObject & CacheRegistryObject>(CACHE_REGISTRIES),
  ]);
  return buildNames(rules.items, registries.items);
}

/** Records are kept under upstream names: CacheRules are asked where the workload's own names have none. */
async function imagesMissing(
  client: Client,
  object: Fields,
  sealed: SealedRecords,
  notes: string[],
): Promise<readonly string[]> {
  const missing = imagesWithoutRecord(object, sealed, NO_NAMES);
  if (missing.length === 0) return missing;
  const names = await ifAllowed("names in caches are", cacheNames(client), notes);
  return imagesWithoutRecord(object, sealed, names ?? NO_NAMES);
}

/** What is sealed on a workload, and how it stands at present. Throws `KubeError`, and what has no public keys. */
export async function showCache(client: Client, request: ShowRequest): Promise<Report> {
  const { workload, name, namespace, systemNamespace } = request;
  const object = await client.get<KubeObject & Fields>(resourceFor(workload), name, { namespace });
  const annotation = cacheAnnotation(object["metadata"]);
  if (annotation === undefined) return { object: nameOf(object), notes: [NO_RECORDS] };
  const notes: string[] = [];
  const [keys, present] = await Promise.all([
    publishedKeys(client, systemNamespace),
    presentOf(client, request, notes),
  ]);
  const report = await inspectSeal(annotation, keys);
  if (!report.holds) notes.push("the webhook ignores it, and verifies the images anew at the next admission");
  const missing = report.holds ? await imagesMissing(client, object, report.sealed, notes) : [];
  notes.push(
    ...missing.map(
      (image) =>
        `no record of image ${printable(image)}: no policy matched it, it is not verified yet, or it is an ephemeral container's, of which nothing is sealed`,
    ),
  );
  return { object: nameOf(object), ...viewOf(report, present), notes };
}
