import { json } from "@sigstore/core";
import type { InclusionProof, TransparencyLogEntry } from "@sigstore/protobuf-specs";
import type { SignedContent } from "./content.ts";
import { checkBody, type Signer } from "./log-body.ts";
import { isSignedByLog, verifiedCheckpoint } from "./log-checkpoint.ts";
import { int64, rootFromProof } from "./log-inclusion.ts";
import { Refusal } from "./refusal.ts";
import { isWithin, type Log, type Window } from "./trustmaterial.ts";

/** An entry that a log vouches for. */
export interface LoggedEntry {
  /** When the log says that it took the entry in: known only where it signed that (an inclusion promise). */
  readonly time: Date | undefined;
  /** When the log's key was in use. */
  readonly window: Window;
}

function notOurs(): Refusal {
  return new Refusal("the log entry is by no transparency log of the trust root");
}

function integratedTime(entry: TransparencyLogEntry): Date {
  const time = new Date(Number(int64(entry.integratedTime, "integrated time")) * 1000);
  if (Number.isNaN(time.getTime())) throw new Refusal("the log entry's integrated time is no time");
  return time;
}

/** Rekor's SignedEntryTimestamp: a signature over the canonical JSON (RFC 8785) of body, time, index and log. */
function promised(entry: TransparencyLogEntry, promise: Buffer, logs: readonly Log[]): LoggedEntry {
  const time = integratedTime(entry);
  const signers = logs.filter(({ id, key }) => {
    const payload = json.canonicalize({
      body: entry.canonicalizedBody.toString("base64"),
      integratedTime: time.getTime() / 1000,
      logIndex: Number(int64(entry.logIndex, "index")),
      logID: id.toString("hex"),
    });
    return isSignedByLog(key, Buffer.from(payload, "utf8"), promise);
  });
  if (signers.length === 0) throw new Refusal("the log entry's inclusion promise (SET) is not signed by its log");
  const log = signers.find(({ window }) => isWithin(window, time));
  if (log === undefined) throw new Refusal("the log entry was made when its log's key was not valid");
  return { time, window: log.window };
}

function proven(body: Buffer, proof: InclusionProof, envelope: string, logs: readonly Log[]): LoggedEntry {
  const { checkpoint, log } = verifiedCheckpoint(envelope, logs);
  const root = rootFromProof(body, int64(proof.logIndex, "index"), checkpoint.size, proof.hashes);
  const said = proof.rootHash.length === 0 || proof.rootHash.equals(checkpoint.rootHash);
  if (!root.equals(checkpoint.rootHash) || !said || int64(proof.treeSize, "tree size") !== checkpoint.size)
    throw new Refusal("the log entry's inclusion proof does not lead to the checkpoint's root hash");
  return { time: undefined, window: log.window };
}

/**
 * Verifies that a log of the trust root holds `entry`, and that it is about exactly this signature by this signer. Promise and proof:
 * what the entry has must verify, and it must have one of them; a proof without a checkpoint (bundles of version 0.1) proves nothing
 * and is ignored. The integrated time is believed only with the promise, which is what signs it. Throws `Refusal`.
 */
export function verifyEntry(
  entry: TransparencyLogEntry,
  logs: readonly Log[],
  content: SignedContent,
  signer: Signer,
): LoggedEntry {
  const named = entry.logId?.keyId;
  const matching = logs.filter(({ ids }) => named === undefined || ids.some((id) => id.equals(named)));
  if (matching.length === 0) throw notOurs();
  const promise = entry.inclusionPromise?.signedEntryTimestamp;
  const envelope = entry.inclusionProof?.checkpoint?.envelope;
  const byProof =
    entry.inclusionProof !== undefined && envelope
      ? proven(entry.canonicalizedBody, entry.inclusionProof, envelope, matching)
      : undefined;
  const byPromise = promise !== undefined && promise.length > 0 ? promised(entry, promise, matching) : undefined;
  const logged = byPromise ?? byProof;
  if (logged === undefined)
    throw new Refusal("the log entry has neither an inclusion promise nor a proof with a checkpoint");
  checkBody(entry.canonicalizedBody, entry.kindVersion, content, signer);
  return logged;
}
