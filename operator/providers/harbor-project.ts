import { ProductError } from "../../adapters/products/errors.ts";
import type { HarborApi } from "../../adapters/products/harbor.ts";
import {
  type DesiredProject,
  type FoundProject,
  type MetadataKey,
  metadataDifferences,
  UNLIMITED,
} from "../../core/product/harbor.ts";

/** Bytes that a project may store; undefined where the account may not know and the rule does not care. */
export async function storageOf(
  api: HarborApi,
  found: FoundProject,
  desired: DesiredProject,
  signal: AbortSignal,
): Promise<number | undefined> {
  try {
    return (await api.quota(found.id, signal))?.hard ?? UNLIMITED;
  } catch (thrown) {
    const isForbidden = thrown instanceof ProductError && thrown.code === "PRODUCT_FORBIDDEN";
    if (isForbidden && desired.storage === UNLIMITED) return undefined;
    throw thrown;
  }
}

/** Writes the settings that differ, and looks whether Harbor kept them: an older one drops what it does not know. */
export async function correctProject(
  api: HarborApi,
  desired: DesiredProject,
  project: FoundProject,
  signal: AbortSignal,
): Promise<void> {
  const keys = metadataDifferences(desired, project);
  if (keys.length > 0) {
    await api.updateProject(desired.name, pick(desired, keys), signal);
    const now = await api.project(desired.name, signal);
    const dropped = now === undefined ? [] : metadataDifferences(desired, now).filter((key) => keys.includes(key));
    if (dropped.length > 0) throw dropsThem(dropped, desired.name);
  }
  await correctStorage(api, desired, project, signal);
}

async function correctStorage(
  api: HarborApi,
  desired: DesiredProject,
  project: FoundProject,
  signal: AbortSignal,
): Promise<void> {
  const storage = await storageOf(api, project, desired, signal);
  if (storage === undefined || storage === desired.storage) return;
  const quota = await api.quota(project.id, signal);
  if (quota !== undefined) return await api.setQuota(quota.id, desired.storage, signal);
  throw new ProductError(
    "PRODUCT_REFUSED",
    `Harbor keeps no quota for project "${desired.name}"; switch quotas on (QUOTA_PER_PROJECT_ENABLE), or leave storageLimit out of options.harbor`,
    { reason: "InvalidSpec" },
  );
}

function dropsThem(keys: readonly MetadataKey[], name: string): ProductError {
  const message = `this Harbor does not keep ${keys.join(", ")} of project "${name}"; upgrade Harbor, or leave the setting out of options.harbor`;
  return new ProductError("PRODUCT_REFUSED", message, { reason: "InvalidSpec" });
}

function pick({ metadata }: DesiredProject, keys: readonly MetadataKey[]): Readonly<Record<string, string>> {
  return Object.fromEntries(keys.map((key) => [key, metadata[key]]));
}

/**
 * Harbor makes a project first and its quota and retention after that, each by itself, so a 5xx may have left half of it. It is
 * ours, having appeared during our call on our endpoint: what is missing is written, because a project that differs would be taken
 * for another's from now on. False when nothing was made.
 */
export async function finishProject(
  api: HarborApi,
  desired: DesiredProject,
  registryId: number,
  signal: AbortSignal,
): Promise<boolean> {
  const project = await api.project(desired.name, signal);
  if (project?.registryId !== registryId) return false;
  await correctProject(api, desired, project, signal);
  return true;
}

/** Deletes at most `limit` repositories of a project and says how many are left. */
export async function purgeProject(
  api: HarborApi,
  project: string,
  limit: number,
  signal: AbortSignal,
): Promise<number> {
  const { names, total } = await api.repositories(project, limit, signal);
  for (const name of names) await api.deleteRepository(project, name, signal);
  return Math.max(0, total - names.length);
}
