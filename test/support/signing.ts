import { createRegistryClient, type RegistryClient } from "../../adapters/registry/client.ts";
import { type Digest, type ImageReference, parseReference } from "../../core/image/reference.ts";
import { Cosign, type KeyPair } from "./cosign.ts";
import { pushTinyImage, startRegistry, type TestRegistry } from "./registry.ts";

/** An image in the test's registry. */
export interface PushedImage {
  readonly reference: ImageReference;
  readonly digest: Digest;
  /** `registry/repository@sha256:…`, as cosign wants it. */
  readonly pinned: string;
}

/** A real registry, the real cosign, and two signers. */
export class SigningBench {
  readonly registry: TestRegistry;
  readonly cosign: Cosign;
  readonly alice: KeyPair;
  readonly bob: KeyPair;
  readonly #clients: RegistryClient[] = [];
  #serial = 0;

  private constructor(registry: TestRegistry, cosign: Cosign, [alice, bob]: readonly [KeyPair, KeyPair]) {
    this.registry = registry;
    this.cosign = cosign;
    this.alice = alice;
    this.bob = bob;
  }

  /** Builds cosign and the registry first if this machine has none yet: call it in `before` with `this.timeout(0)`. */
  static async start(): Promise<SigningBench> {
    const cosign = await Cosign.create();
    const registry = await startRegistry();
    const pairs = [await cosign.generateKeyPair("alice"), await cosign.generateKeyPair("bob")] as const;
    return new SigningBench(registry, cosign, pairs);
  }

  /** A registry client with an empty memory; closed with the bench. */
  client(): RegistryClient {
    const client = createRegistryClient();
    this.#clients.push(client);
    return client;
  }

  /** Pushes an image with a tag and a digest of its own. */
  async image(repository = `app-${++this.#serial}`): Promise<PushedImage> {
    const tag = `t${++this.#serial}`;
    const digest = await pushTinyImage(this.registry, repository, tag);
    const reference = parseReference(`${this.registry.host}/${repository}:${tag}`);
    return { reference, digest, pinned: `${this.registry.host}/${repository}@${digest}` };
  }

  /** What the registry was asked since the last call: `GET 200 manifests/sha256-….sig`. */
  asked(): readonly string[] {
    return this.registry.newRequests().map(({ method, path, status }) => `${method} ${status} ${abbreviated(path)}`);
  }

  async stop(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.close()));
    await this.registry.stop();
    this.cosign.dispose();
  }
}

/** A path of the registry API without its repository and digests. */
export function abbreviated(path: string): string {
  return path.replace(/^\/v2\/[^/]+\//, "").replace(/[0-9a-f]{64}/, "…");
}
