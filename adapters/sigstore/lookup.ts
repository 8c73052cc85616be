import type { RegistryClient } from "../registry/client.ts";
import { isRegistryError } from "../registry/errors.ts";
import { fingerprint } from "../registry/tokens.ts";
import { Shared } from "../shared.ts";
import type { Evidence } from "./candidate.ts";
import { bundleEvidence, classicEvidence, type Place } from "./evidence.ts";

/** The two forms in which cosign stores signatures. */
export type Form = "classic" | "bundle";

export interface Found {
  readonly evidence: Evidence;
  /** It was read earlier, for someone else: the registry may hold more by now. */
  readonly remembered: boolean;
  /** The registry gives no answer now: asking it for the other form would only wait once more. */
  readonly silent: boolean;
}

const IMAGES_REMEMBERED = 256;
const LARGEST_REMEMBERED = 64 * 1024;

function nothing(gap: string, silent: boolean): Found {
  return { evidence: { candidates: [], gaps: [gap] }, remembered: false, silent };
}

function isWorthKeeping({ candidates, gaps }: Evidence): boolean {
  const bytes = candidates.reduce((sum, { signedBytes, signature }) => sum + signedBytes.length + signature.length, 0);
  return candidates.length > 0 && gaps.length === 0 && bytes <= LARGEST_REMEMBERED;
}

/**
 * Reads what registries hold for images, once for everyone who asks for the same image with the same credentials at the same time.
 * Signatures that were found are remembered for `keepMs`; that there were none, or an error, is not.
 */
export class Lookup {
  readonly #registry: RegistryClient;
  readonly #shared: Shared<Evidence>;

  constructor(registry: RegistryClient, keepMs: number) {
    this.#registry = registry;
    const keep = (evidence: Evidence): number => (isWorthKeeping(evidence) ? keepMs : 0);
    this.#shared = new Shared({ max: IMAGES_REMEMBERED, keepMs: keep });
  }

  /** Never rejects for what a registry does, nor for the signal: that leaves a gap. `afresh` ignores what is remembered. */
  async find(form: Form, place: Place, signal: AbortSignal, afresh = false): Promise<Found> {
    const { source, digest, tagPrefix } = place;
    const credentials = fingerprint(source.keychain.forRepository(source.registry, source.repository));
    const key = JSON.stringify([form, source.registry, source.repository, digest, tagPrefix, credentials]);
    const read = form === "classic" ? classicEvidence : bundleEvidence;
    if (afresh) this.#shared.forget(key);
    try {
      const { value, remembered } = await this.#shared.get(key, signal, (shared) =>
        read(this.#registry, place, shared),
      );
      return { evidence: value, remembered, silent: false };
    } catch (thrown) {
      if (signal.aborted)
        return nothing(`${source.registry} gave no complete answer before the deadline; try again`, true);
      if (!isRegistryError(thrown)) throw thrown;
      // Garbage under one name says nothing about the other; a registry that is down, throttles or refuses us is that for both.
      return nothing(
        thrown.message,
        !isRegistryError(thrown, "RESPONSE_MALFORMED", "RESPONSE_TOO_LARGE", "DIGEST_MISMATCH", "REGISTRY_REDIRECT"),
      );
    }
  }
}
