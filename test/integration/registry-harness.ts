import { expect } from "chai";
import {
  createRegistryClient,
  type RegistryClient,
  type RegistryClientOptions,
} from "../../adapters/registry/client.ts";
import { RegistryError } from "../../adapters/registry/errors.ts";
import { ANONYMOUS } from "../../core/registry/keychain.ts";
import { OCI_MANIFEST } from "../../core/registry/media-types.ts";
import {
  type Answering,
  type FakeRegistry,
  type FakeRegistryOptions,
  startFakeRegistry,
} from "../support/fake-registry.ts";
import { sha256 } from "../support/registry.ts";

export const MANIFEST = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI_MANIFEST, layers: [] }));
export const DIGEST = sha256(MANIFEST);
export const MIB = 1024 * 1024;

let running: { stop(): Promise<void> }[] = [];

/** A registry that answers so, until `endAll`. */
export async function fake(answering: Answering, options: FakeRegistryOptions = {}): Promise<FakeRegistry> {
  const registry = await startFakeRegistry(answering, options);
  running.push(registry);
  return registry;
}

/** A client, until `endAll`, that is patient with the machine. */
export function client(options: RegistryClientOptions = {}): RegistryClient {
  const made = createRegistryClient({ attemptMs: 20_000, ...options });
  running.push({ stop: () => made.close() });
  return made;
}

/** Awaits a rejection with a `RegistryError`, and gives it. */
export async function failure(work: Promise<unknown>): Promise<RegistryError> {
  try {
    await work;
  } catch (thrown) {
    expect(thrown, String(thrown)).to.be.instanceOf(RegistryError);
    return thrown as RegistryError;
  }
  throw new Error("it did not fail");
}

export const within = (ms = 30_000): AbortSignal => AbortSignal.timeout(ms);
export const sourceOf = (registry: { host: string }) => ({
  registry: registry.host,
  repository: "team/app",
  keychain: ANONYMOUS,
});

/** Ends what a test began: to be called after each. */
export async function endAll(): Promise<void> {
  await Promise.all(running.map((one) => one.stop()));
  running = [];
}
