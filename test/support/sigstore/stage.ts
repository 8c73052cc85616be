import { systemClock } from "../../../adapters/clock.ts";
import { createRegistryClient, type RegistryClient } from "../../../adapters/registry/client.ts";
import { createLogLookup } from "../../../adapters/sigstore/rekor.ts";
import { createCandidateVerifier } from "../../../adapters/sigstore/verification.ts";
import { createVerifier } from "../../../adapters/sigstore/verifier.ts";
import { parseReference } from "../../../core/image/reference.ts";
import type { AuthorityOutcome, PinnedImage, PolicyEngine } from "../../../core/policy/types.ts";
import { ANONYMOUS } from "../../../core/registry/keychain.ts";
import type { Authority } from "../../../crds/index.ts";
import { policy } from "../admission.ts";
import { Cosign } from "../cosign.ts";
import { pushTinyImage, startRegistry, type TestRegistry } from "../registry.ts";
import { Keyless } from "./keyless.ts";
import { type Sigstore, startSigstore } from "./sigstore.ts";
import { type TrustMaterial, trustedRoot } from "./trusted-root.ts";

/** Trust material (or a trusted root's text) by the name that a policy has for it; `publicGood` where a policy names none. */
export type Roots = Readonly<Record<string, TrustMaterial | string>>;

export interface StagedImage extends PinnedImage {
  /** `registry/repository@sha256:…`. */
  readonly pinned: string;
}

const NO_ENGINE: PolicyEngine = {
  evaluate: () => Promise.reject(new Error("there is no engine on this stage")),
  check: () => Promise.reject(new Error("there is no engine on this stage")),
};

/** Everything between a policy's authority and a registry, with a Sigstore and a cosign to sign with. */
export class KeylessStage {
  readonly sigstore: Sigstore;
  readonly registry: TestRegistry;
  readonly cosign: Cosign;
  readonly keyless: Keyless;
  #images = 0;

  private constructor(sigstore: Sigstore, registry: TestRegistry, cosign: Cosign) {
    this.sigstore = sigstore;
    this.registry = registry;
    this.cosign = cosign;
    this.keyless = new Keyless(cosign, sigstore);
  }

  /** Builds what this machine lacks, so call it in `before` with `this.timeout(0)`. */
  static async open(): Promise<KeylessStage> {
    return new KeylessStage(...(await Promise.all([startSigstore(), startRegistry(), Cosign.create()])));
  }

  /** A new image, with a digest and a repository (`<name>-<number>`) of its own. */
  async image(name = "image"): Promise<StagedImage> {
    this.#images += 1;
    const repository = `${name}-${this.#images}`;
    const digest = await pushTinyImage(this.registry, repository, "v1", repository);
    const reference = parseReference(`${this.registry.host}/${repository}:v1`);
    return { reference, digest, pinned: `${this.registry.host}/${repository}@${digest}` };
  }

  /** What an authority, as a policy has it, says of an image (at `now`). Nothing is remembered from one call to the next. */
  async judge(authority: Authority, image: PinnedImage, roots: Roots = {}, now?: Date): Promise<AuthorityOutcome> {
    const find = (name: string | undefined): string | undefined => {
      const root = roots[name ?? "publicGood"];
      return typeof root === "object" ? trustedRoot(root) : root;
    };
    const { authorities, problem } = policy(
      { images: [{ glob: "**" }], authorities: [authority] },
      { trustedRoot: find },
    );
    const [compiled] = authorities;
    if (compiled === undefined || compiled.kind === "static") throw new Error(problem ?? "not an authority to verify");
    if (compiled.kind === "unusable") return { kind: "failed", message: compiled.reason };
    const registry: RegistryClient = createRegistryClient();
    const rekor = createLogLookup();
    try {
      const clock = { ...systemClock, ...(now && { now: () => now }) };
      const verifyCandidate = createCandidateVerifier({ clock, rekor });
      const verify = createVerifier({ registry, verifyCandidate, engine: NO_ENGINE });
      return await verify(image, compiled, ANONYMOUS, AbortSignal.timeout(20_000));
    } finally {
      await Promise.all([registry.close(), rekor.close()]);
    }
  }

  async close(): Promise<void> {
    this.keyless.dispose();
    this.cosign.dispose();
    await Promise.all([this.sigstore.stop(), this.registry.stop()]);
  }
}
