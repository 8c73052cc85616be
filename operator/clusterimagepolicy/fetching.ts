import type { FetchPublicKey } from "../../adapters/kms/client.ts";
import type { RemoteDocuments } from "../../adapters/remote/documents.ts";
import { DomainError, messageOf } from "../../core/errors.ts";
import type { PolicyNeeds } from "../../core/policy/needs.ts";
import type { Resolution } from "../../core/policy/resolved.ts";
import type { Attempts, Fetched } from "../../core/policy/resolved-merge.ts";
import type { Schedule } from "./schedule.ts";

/** Where what a policy needs comes from. */
export interface Sources {
  readonly publicKey: FetchPublicKey;
  readonly documents: Pick<RemoteDocuments, "fetch">;
}

/** One fetch to make. */
interface Task {
  /** The KMS URI, or the sha256sum. */
  readonly name: string;
  /** A document has the sum that the policy says or is none: once it is there, nothing about it can change. */
  readonly isFixed: boolean;
  readonly run: (signal: AbortSignal) => Promise<string>;
}

const AT_ONCE = 8;
const BUDGET_MS = 60_000; // then what is there is written, and the rest is still due

/** The names under which a policy's needs stand in its schedule. */
export function namesOf({ kms, documents }: PolicyNeeds): readonly string[] {
  return [...kms, ...documents.map(({ sha256sum }) => sha256sum)];
}

/**
 * Fetches what is due of a policy's needs, a few at a time, and notes in the schedule how it went. A failure is a value here. Throws only
 * when `signal` aborts.
 */
export async function fetchDue(
  needs: PolicyNeeds,
  held: Resolution | undefined,
  schedule: Schedule,
  sources: Sources,
  signal: AbortSignal,
): Promise<Attempts> {
  const keys = needs.kms.map((uri): Task => {
    return { name: uri, isFixed: false, run: (stop) => sources.publicKey(uri, stop) };
  });
  const missing = needs.documents.filter(({ sha256sum }) => held?.documents[sha256sum] === undefined);
  const documents = missing.map((document): Task => {
    return { name: document.sha256sum, isFixed: true, run: (stop) => sources.documents.fetch(document, stop) };
  });
  for (const { sha256sum } of needs.documents)
    if (held?.documents[sha256sum] !== undefined) schedule.note(sha256sum, { ok: true, again: "never" });
  const results = await runAll(
    [...keys, ...documents].filter(({ name }) => schedule.isDue(name)),
    schedule,
    signal,
  );
  const of = (tasks: readonly Task[]) =>
    new Map([...results].filter(([name]) => tasks.some((task) => task.name === name)));
  return { keys: of(keys), documents: of(documents) };
}

async function runAll(
  tasks: readonly Task[],
  schedule: Schedule,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, Fetched>> {
  const results = new Map<string, Fetched>();
  const stopMs = performance.now() + BUDGET_MS;
  const queue = tasks.values();
  const worker = async (): Promise<void> => {
    for (const task of queue) {
      if (performance.now() > stopMs) return;
      results.set(task.name, await runOne(task, schedule, signal));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return results;
}

async function runOne({ name, isFixed, run }: Task, schedule: Schedule, signal: AbortSignal): Promise<Fetched> {
  try {
    const value = await run(signal);
    schedule.note(name, { ok: true, again: isFixed ? "never" : "resync" });
    return { value };
  } catch (thrown) {
    signal.throwIfAborted();
    schedule.note(name, { ok: false, again: thrown instanceof DomainError && thrown.terminal ? "resync" : "soon" });
    return { problem: messageOf(thrown) };
  }
}
