import type { AzureClient } from "../../adapters/products/azure.ts";
import { ProductError } from "../../adapters/products/errors.ts";
import type { Log } from "../../adapters/telemetry/log.ts";
import { shownHost } from "../../core/cacheregistry/upstream.ts";
import type { AzureRule } from "../../core/product/azure.ts";
import {
  type AzureCredentialSet,
  decideSet,
  isFor,
  isNoted,
  notedSets,
  setHealth,
  type WantedSet,
  wantedSet,
} from "../../core/product/azure-credentials.ts";
import { type AzureRegistry, armKey, azureRegistryId, isDeleting } from "../../core/product/azure-names.ts";
import { type CacheRegistryObject, REASON, type UpstreamStatus } from "../../crds/index.ts";
import type { CredentialsHealth, Pending, Progress, RegistryOutcome, WantedUpstream } from "./provider.ts";

/** What is worked on. */
export interface SetsWorld {
  readonly client: AzureClient;
  readonly registry: CacheRegistryObject;
  readonly azure: AzureRegistry;
  readonly log: Pick<Log, "info">;
}

/** How an upstream's credential set is after a pass over it. */
interface UpstreamOutcome {
  readonly status: UpstreamStatus;
  readonly pending?: Pending;
  readonly credentials?: CredentialsHealth;
}

const NOTED_LIMIT = 2; // one that is made, and one that it takes the place of: what fits into remoteId

/** The last part of an ARM id. */
function nameOf(id: string): string {
  return id.slice(id.lastIndexOf("/") + 1);
}

function named(sets: readonly AzureCredentialSet[], name: string): AzureCredentialSet | undefined {
  return sets.find((set) => set.name.toLowerCase() === name.toLowerCase());
}

/** Reads the rules once, if anybody asks. */
function lazyRules({ client }: SetsWorld, signal: AbortSignal): () => Promise<readonly AzureRule[]> {
  let rules: Promise<readonly AzureRule[]> | undefined;
  return async () => {
    rules ??= client.rules(signal);
    return await rules;
  };
}

/**
 * Makes the credential sets of the registry's upstreams, corrects those that it made, and takes away those that nobody wants any more.
 * What it makes it writes down first, in `status.upstreams[].remoteId`: only what stands there is ever changed or deleted.
 */
export async function prepareSets(
  world: SetsWorld,
  upstreams: readonly WantedUpstream[],
  signal: AbortSignal,
): Promise<RegistryOutcome> {
  const sets = await world.client.credentialSets(signal); // signing in, and the registry itself, are checked by this
  const noted = notedSets(world.registry);
  const rules = lazyRules(world, signal);
  const outcomes: UpstreamOutcome[] = [];
  for (const upstream of upstreams) {
    const ids = noted.get(shownHost(upstream.host)) ?? [];
    outcomes.push(await prepareUpstream(world, upstream, { sets, ids, rules }, signal));
  }
  const hosts = new Set(upstreams.map(({ host }) => shownHost(host)));
  for (const [host, ids] of noted) {
    if (hosts.has(host)) continue;
    const left = await dropSets(world, host, ids, { sets, rules }, signal);
    if (left.length > 0)
      outcomes.push({ status: { host, health: "Unknown", reason: REASON.Deleting, remoteId: left.join(" ") } });
  }
  const credentials = overall(outcomes.flatMap(({ credentials: each }) => (each === undefined ? [] : [each])));
  return {
    ready: outcomes.find(({ pending }) => pending !== undefined)?.pending ?? { done: true },
    upstreams: outcomes.map(({ status }) => status),
    ...(credentials !== undefined && { credentials }),
  };
}

interface Found {
  readonly sets: readonly AzureCredentialSet[];
  readonly rules: () => Promise<readonly AzureRule[]>;
}

async function prepareUpstream(
  world: SetsWorld,
  { host, entry }: WantedUpstream,
  { sets, ids, rules }: Found & { readonly ids: readonly string[] },
  signal: AbortSignal,
): Promise<UpstreamOutcome> {
  const { azure, registry } = world;
  const wanted = wantedSet(azure, registry.metadata.name, host, entry?.credentials);
  const others = ids.filter((id) => armKey(id) !== armKey(wanted?.id));
  const left = await dropSets(world, shownHost(host), others, { sets, rules }, signal);
  const shown = shownHost(host);
  if (wanted === undefined)
    return { status: { host: shown, health: "Unknown", ...(left.length > 0 && { remoteId: left.join(" ") }) } };
  const found = named(sets, wanted.name);
  const { isMade, ...outcome } = await settle(world, wanted, found, { isNoted: isNoted(ids, wanted.id), left }, signal);
  const remoteId = [...left, ...(isMade ? [wanted.id] : [])].join(" ");
  return { ...outcome, status: { ...outcome.status, ...(remoteId !== "" && { remoteId }) } };
}

/** Does what is to be done about one credential set. `isMade`: the status is to have it as Entrepot's. */
async function settle(
  world: SetsWorld,
  wanted: WantedSet,
  found: AzureCredentialSet | undefined,
  { isNoted: noted, left }: { readonly isNoted: boolean; readonly left: readonly string[] },
  signal: AbortSignal,
): Promise<UpstreamOutcome & { readonly isMade: boolean }> {
  const { client, registry } = world;
  const step = decideSet(wanted, found, noted, registry.spec.driftPolicy ?? "Correct");
  const isMade = noted && wanted.secrets !== undefined;
  const quoted = `credential set "${wanted.name}" for ${wanted.loginServer}`;
  switch (step.do) {
    case "note": {
      const isRoom = left.length < NOTED_LIMIT;
      return { ...underWay(wanted, found, `${quoted} is about to be made`), isMade: isRoom };
    }
    case "create":
      if ((await client.credentialSet(wanted.name, signal)) === undefined)
        await client.createCredentialSet(wanted, signal);
      return { ...underWay(wanted, found, `${quoted} is being made`), isMade };
    case "update":
      await client.updateCredentialSet(wanted, signal);
      return { ...underWay(wanted, found, `${quoted} had other secrets and is being corrected`), isMade };
    case "wait":
      return { ...underWay(wanted, found, `Azure is still at work on ${quoted}`), isMade };
    case "report": {
      const { reason, message } = step;
      const isBroken = reason !== REASON.SecretNotFound;
      const pending: Pending = { done: false, reason, message };
      const status = { ...statusOf(wanted, found), health: "Unhealthy", reason };
      return { status, ...(isBroken && { pending }), credentials: { status: "False", message }, isMade };
    }
    case "use":
      return { ...inUse(wanted, found), isMade };
  }
}

function statusOf(wanted: WantedSet, found: AzureCredentialSet | undefined): UpstreamStatus {
  const principalId = found?.principalId;
  return { host: wanted.loginServer, ...(principalId !== undefined && { principalId }) };
}

function underWay(wanted: WantedSet, found: AzureCredentialSet | undefined, message: string): UpstreamOutcome {
  return {
    status: { ...statusOf(wanted, found), health: "Unknown", reason: REASON.Creating },
    pending: { done: false, reason: REASON.Creating, message },
    credentials: { status: "Unknown", message },
  };
}

function inUse(wanted: WantedSet, found: AzureCredentialSet | undefined): UpstreamOutcome {
  if (found === undefined) return { status: statusOf(wanted, found) };
  const credentials = setHealth(found);
  const health = { True: "Healthy", False: "Unhealthy", Unknown: "Unknown" }[credentials.status];
  const reason = { True: REASON.Healthy, False: REASON.CredentialsUnhealthy, Unknown: REASON.Unknown }[
    credentials.status
  ];
  return { status: { ...statusOf(wanted, found), health, reason }, credentials };
}

/** The worst of all, with the words of those that are so. */
function overall(all: readonly CredentialsHealth[]): CredentialsHealth | undefined {
  for (const status of ["False", "Unknown", "True"] as const) {
    const such = all.filter((each) => each.status === status);
    if (such.length > 0) return { status, message: such.map(({ message }) => message).join("; ") };
  }
  return undefined;
}

/**
 * Begins to delete those of the noted sets that no rule uses any more, and gives the ids that are to stay noted: of sets that are still
 * there and still ours.
 */
async function dropSets(
  world: SetsWorld,
  host: string,
  ids: readonly string[],
  { sets, rules }: Found,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const here = armKey(azureRegistryId(world.azure));
  const left: string[] = [];
  for (const id of ids) {
    const found = armKey(id).startsWith(`${here}/`) ? named(sets, nameOf(id)) : undefined;
    if (found === undefined || !isFor(found, host)) continue; // gone, or another's by now
    left.push(id);
    const isUsed = (await rules()).some((rule) => armKey(rule.credentialSetId) === armKey(id));
    if (!isUsed && !isDeleting(found.provisioningState)) await world.client.deleteCredentialSet(found.name, signal);
  }
  return left;
}

/** Deletes the credential sets that Entrepot made for the registry. One that a rule still uses, which was left there, is left too. */
export async function withdrawSets(world: SetsWorld, signal: AbortSignal): Promise<Progress> {
  try {
    return await withdrawAll(world, signal);
  } catch (thrown) {
    if (thrown instanceof ProductError && thrown.code === "PRODUCT_REGISTRY_NOT_FOUND") return { done: true };
    throw thrown;
  }
}

async function withdrawAll(world: SetsWorld, signal: AbortSignal): Promise<Progress> {
  const noted = [...notedSets(world.registry)].filter(([, ids]) => ids.length > 0);
  if (noted.length === 0) return { done: true };
  const sets = await world.client.credentialSets(signal);
  const rules = lazyRules(world, signal);
  const waiting: string[] = [];
  for (const [host, ids] of noted) {
    for (const id of await dropSets(world, host, ids, { sets, rules }, signal)) {
      const user = (await rules()).find((rule) => armKey(rule.credentialSetId) === armKey(id));
      if (user === undefined) waiting.push(nameOf(id));
      else world.log.info("a credential set stays in the registry: a rule there uses it", { set: id, rule: user.name });
    }
  }
  if (waiting.length === 0) return { done: true };
  const message = `Azure is deleting credential set "${waiting.join('", "')}"`;
  return { done: false, reason: REASON.Deleting, message };
}
