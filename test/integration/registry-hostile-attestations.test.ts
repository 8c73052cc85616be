import { expect } from "chai";
import { createRegistryClient, type RegistryClient } from "../../adapters/registry/client.ts";
import { type Digest, parseReference } from "../../core/image/reference.ts";
import { ANONYMOUS } from "../../core/registry/keychain.ts";
import { DSSE, IN_TOTO, TYPE } from "../support/attesting.ts";
import { body, type FakeRegistry, startFakeRegistry } from "../support/fake-registry.ts";
import { generatePem } from "../support/keys.ts";
import { sha256 } from "../support/registry.ts";
import { keyAuthority, messageIn, verifierOf } from "../support/verifying.ts";

const MIB = 1024 * 1024;
const REQUIRED = [{ name: "tests", predicateType: TYPE }];

describe("a hostile registry, asked for attestations", () => {
  const image = sha256(Buffer.from("image"));
  const { publicKey } = generatePem("P-256");
  let registry: FakeRegistry;
  let client: RegistryClient;

  afterEach(async () => {
    await registry.stop();
    await client.close();
  });

  /** Asks a registry whose `.att` tag has these layers; every blob is the same. */
  async function ask(layers: readonly { readonly digest: Digest; readonly size: number }[], blob: Buffer) {
    const all = layers.map((layer) => ({ mediaType: DSSE, ...layer }));
    const manifest = JSON.stringify({ schemaVersion: 2, layers: all });
    registry = await startFakeRegistry((request, response) => {
      if (request.url?.endsWith(".att") === true) body(200, manifest)(request, response);
      else if (request.url?.includes("/blobs/") === true) body(200, blob)(request, response);
      else body(404, "")(request, response);
    });
    client = createRegistryClient();
    const reference = parseReference(`${registry.host}/team/app@${image}`);
    const authority = keyAuthority([publicKey], { attestations: REQUIRED });
    const signal = AbortSignal.timeout(10_000);
    const outcome = await verifierOf(client)({ reference, digest: image }, authority, ANONYMOUS, signal);
    const blobs = registry.requests.filter(({ url }) => url.includes("/blobs/")).length;
    return { kind: outcome.kind, message: messageIn(outcome), blobs };
  }

  it("one that says it has more than 16 MiB is not fetched", async () => {
    const found = await ask([{ digest: sha256(Buffer.from("{}")), size: 16 * MIB + 1 }], Buffer.from("{}"));
    expect([found.kind, found.blobs]).to.deep.equal(["undecided", 0]);
    expect(found.message).to.contain("more than the 16777216 that are read");
  });

  it("several that say they have more than 32 MiB together are not all fetched", async () => {
    const layers = ["a", "b", "c", "d"].map((text) => ({ digest: sha256(Buffer.from(text)), size: 12 * MIB }));
    const found = await ask(layers, Buffer.from("a"));
    expect([found.kind, found.blobs]).to.deep.equal(["undecided", 2]);
  });

  it("one that has more bytes than it says is not read", async () => {
    const blob = Buffer.alloc(MIB, " ");
    const found = await ask([{ digest: sha256(blob), size: 100 }], blob);
    expect(found.kind).to.equal("undecided");
    expect(found.message).to.contain("more than 100 bytes");
  });

  it("ten thousand: few are fetched, none matches, and the message says how many there are", async () => {
    const blob = Buffer.from(JSON.stringify({ payload: "", payloadType: IN_TOTO, signatures: [] }));
    const layers = Array.from({ length: 10_000 }, () => ({ digest: sha256(blob), size: blob.length }));
    const found = await ask(layers, blob);
    expect([found.kind, found.blobs]).to.deep.equal(["undecided", 64]);
    expect(found.message).to.contain("only 64 of 10000 attestations");
  });
});
