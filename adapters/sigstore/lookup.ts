import type { RegistryClient } from "../registry/client.ts";
import { isRegistryError } from "../registry/errors.ts";
import { Shared } from "../shared.ts";
import type { Candidate, Evidence, EvidenceKind } from "./candidate.ts";
import { ATTESTATIONS_LIMIT, taggedEvidence } from "./evidence.ts";
import { Budget, gap, type Place, type Search } from "./gather.ts";
import { SharedReads, scopeOf } from "./reads.ts";
import { referringEvidence } from "./referrers.ts";

/** Where cosign stores signatures and attestations: under a tag of their own, or as referrers of the image (bundles above all). */
export type Form = "classic" | "referrer";

export interface Found {
  readonly evidence: Evidence;
  /** It was read earlier, for someone else: the registry may hold more by now. */
  readonly remembered: boolean;
  /** The registry gives no answer now: asking it for the other form would only wait once more. */
  readonly silent: boolean;
}

interface Reading {
  readonly evidence: Evidence;
  readonly remembered: boolean;
}

interface Room {
  readonly entries: number;
  readonly largest: number;
}

// In bytes 16 MiB each at most. Larger attestations are shared by those who wait for them at the same time.
const ROOM: Readonly<Record<EvidenceKind, Room>> = {
  signature: { entries: 256, largest: 64 * 1024 },
  attestation: { entries: 32, largest: 512 * 1024 },
};

function sizeOf({ signedBytes, signature, statement }: Candidate): number {
  return signedBytes.length + signature.length + (statement?.json.length ?? 0);
}

function isWorthKeeping({ candidates, gaps }: Evidence, { largest }: Room): boolean {
  const bytes = candidates.reduce((sum, candidate) => sum + sizeOf(candidate), 0);
  return candidates.length > 0 && gaps.length === 0 && bytes <= largest;
}

function nothing(why: string, silent: boolean): Found {
  return { evidence: gap(why), remembered: false, silent };
}

async function read(form: Form, search: Search): Promise<Reading> {
  return form === "classic" ? { evidence: await taggedEvidence(search), remembered: false } : referringEvidence(search);
}

/**
 * Reads what registries hold for images, once for everyone who asks for the same image with the same credentials at the same time;
 * signatures and attestations each by themselves, the list of referrers for both. What was found is remembered for `keepMs`; that
 * there was nothing, or an error, is not.
 */
export class Lookup {
  readonly #reads: SharedReads;
  readonly #shared: Readonly<Record<EvidenceKind, Shared<Reading>>>;

  constructor(registry: RegistryClient, keepMs: number) {
    this.#reads = new SharedReads(registry, keepMs);
    const room = (kind: EvidenceKind): Shared<Reading> => {
      const keep = ({ evidence }: Reading): number => (isWorthKeeping(evidence, ROOM[kind]) ? keepMs : 0);
      return new Shared({ max: ROOM[kind].entries, keepMs: keep });
    };
    this.#shared = { signature: room("signature"), attestation: room("attestation") };
  }

  /** Never rejects for what a registry does, nor for the signal: that leaves a gap. `afresh` ignores what is remembered. */
  async find(kind: EvidenceKind, form: Form, place: Place, signal: AbortSignal, afresh = false): Promise<Found> {
    const { source, digest, tagPrefix } = place;
    const shared = this.#shared[kind];
    const key = JSON.stringify([form, ...scopeOf(source), digest, tagPrefix]);
    if (afresh) {
      shared.forget(key);
      this.#reads.forget(source, digest);
    }
    try {
      const { value, remembered } = await shared.get(key, signal, (common) =>
        read(form, { kind, place, reads: this.#reads, budget: new Budget(ATTESTATIONS_LIMIT), signal: common }),
      );
      return { evidence: value.evidence, remembered: remembered || value.remembered, silent: false };
    } catch (thrown) {
      if (signal.aborted)
        return nothing(`${source.registry} gave no complete answer before the deadline; try again`, true);
      if (!isRegistryError(thrown)) throw thrown;
      // Garbage under one name says nothing about the other, nor does a cache whose upstream is down; a registry that is down itself,
      // throttles or refuses us is that for both.
      return nothing(
        thrown.message,
        !thrown.upstreamSilent &&
          !isRegistryError(thrown, "RESPONSE_MALFORMED", "RESPONSE_TOO_LARGE", "DIGEST_MISMATCH", "REGISTRY_REDIRECT"),
      );
    }
  }
}
