import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { TransparencyLogEntry } from "@sigstore/protobuf-specs";
import { expect } from "chai";
import {
  createLogLookup,
  entryFromApi,
  type LogLookup,
  type LogQuery,
  proposedEntries,
} from "../../adapters/sigstore/rekor.ts";
import type { KeyAuthority, KeylessAuthority } from "../../core/policy/types.ts";
import { generatePem } from "../support/keys.ts";
import { ForgedScene, type SigningOptions } from "../support/sigstore/forged-scene.ts";
import { type LoopbackServer, serveLoopback } from "../support/sigstore/loopback.ts";
import { expectRefused, expectUndecided, expectVerified } from "../support/sigstore/verdicts.ts";

/** An entry as Rekor's REST API writes it. */
function toApi(entry: TransparencyLogEntry): object {
  const { inclusionProof: proof } = entry;
  return {
    body: entry.canonicalizedBody.toString("base64"),
    integratedTime: Number(entry.integratedTime),
    logID: entry.logId?.keyId.toString("hex"),
    logIndex: Number(entry.logIndex),
    verification: {
      signedEntryTimestamp: entry.inclusionPromise?.signedEntryTimestamp.toString("base64"),
      inclusionProof: {
        checkpoint: proof?.checkpoint?.envelope,
        hashes: proof?.hashes.map((hash) => hash.toString("hex")),
        logIndex: Number(proof?.logIndex),
        rootHash: proof?.rootHash.toString("hex"),
        treeSize: Number(proof?.treeSize),
      },
    },
  };
}

describe("looking signatures up in Rekor", () => {
  const { publicKey, signer } = generatePem("P-256");
  let scene: ForgedScene;
  let server: LoopbackServer | undefined;
  let rekor: LogLookup & { close(): Promise<void> };
  let asked: {
    readonly path: string;
    readonly entries: readonly { readonly kind: string; readonly spec: object }[];
  }[] = [];

  before(async () => {
    scene = await ForgedScene.open();
  });

  beforeEach(() => {
    asked = [];
    rekor = createLogLookup();
  });

  afterEach(async () => {
    await rekor.close();
    await server?.stop();
    server = undefined;
  });

  async function serve(status: number, body: string | Buffer): Promise<string> {
    server = await serveLoopback((method, path, request) => {
      if (method !== "POST") return undefined;
      const { entries } = JSON.parse(request.toString()) as { entries: (typeof asked)[number]["entries"] };
      asked.push({ path, entries });
      return { status, body };
    });
    return server.origin;
  }

  const keyed = (url: string): KeyAuthority =>
    scene.keyed([publicKey], { log: { kind: "required", trustedRoot: scene.trustedRoot(), url } });
  const keyless = (url: string): KeylessAuthority =>
    scene.keyless({ log: { kind: "required", trustedRoot: scene.trustedRoot(), url } });
  const answer = (...entries: readonly TransparencyLogEntry[]): string =>
    JSON.stringify(entries.map((entry, at) => ({ [`uuid${at}`]: toApi(entry) })));

  it("finds what the signature does not bring, for keys and certificates, messages and envelopes", async () => {
    const cases: readonly [SigningOptions, readonly string[]][] = [
      [{ entries: ["hashedrekord 0.0.1"] }, ["hashedrekord"]],
      [{ form: "envelope", entries: ["dsse 0.0.1"] }, ["dsse", "intoto"]],
    ];
    for (const [options, kinds] of cases) {
      for (const bare of [true, false]) {
        const candidate = await scene.sign({ ...options, ...(bare && { bare: signer }) });
        const url = await serve(200, answer(...candidate.material.logEntries));
        const without = { ...candidate, material: { ...candidate.material, logEntries: [] } };
        await expectVerified(without, bare ? keyed(url) : keyless(`${url}/`), { rekor });
        expect(asked.map(({ path, entries }) => [path, entries.map(({ kind }) => kind)])).to.deep.equal([
          ["/api/v1/log/entries/retrieve", kinds],
        ]);
        await server?.stop();
        asked = [];
      }
    }
  });

  it("is not asked when the signature brings an entry, no URL is given, or the signature is wrong", async () => {
    const url = await serve(200, "[]");
    const candidate = await scene.sign({ bare: signer });
    await expectVerified(candidate, keyed(url), { rekor });
    const without = { ...candidate, material: { ...candidate.material, logEntries: [] } };
    await expectRefused("signature not found in transparency log", without, scene.keyed([publicKey]), { rekor });
    await expectRefused(
      "not signed by this authority's key",
      { ...without, signedBytes: Buffer.from("x") },
      keyed(url),
      { rekor },
    );
    await expectRefused("signature not found in transparency log", without, keyed(url)); // no lookup is set up
    expect(asked).to.deep.equal([]);
  });

  it("refuses when nothing is found, or what is found is about something else or unsigned", async () => {
    const without = await scene.sign({ bare: signer, entries: [] });
    await expectRefused("signature not found in transparency log", without, keyed(await serve(200, "[]")), { rekor });
    await server?.stop();
    const other = await scene.sign({ bare: signer });
    const url = await serve(200, answer(...other.material.logEntries));
    await expectRefused("about another signature", without, keyed(url), { rekor });
    await server?.stop();
    const [entry] = (await scene.sign({ bare: signer, logged: { signature: without.signature } })).material.logEntries;
    if (entry === undefined) throw new Error("there is no entry");
    const forged = { ...entry, inclusionPromise: { signedEntryTimestamp: Buffer.from("forged") } };
    await expectRefused("SET", without, keyed(await serve(200, answer(forged))), { rekor });
  });

  it("cannot decide when the log gives no answer, or one that is none", async () => {
    const without = await scene.sign({ bare: signer, entries: [] });
    await expectUndecided("it could not be asked", without, keyed("http://127.0.0.1:1"), { rekor });
    const cases: readonly [number, string | Buffer, string][] = [
      [500, "", "it answered with HTTP 500"],
      [404, "", "it cannot be searched"],
      [301, "", "it answered with HTTP 301"],
      [200, "{}", "it is no list of entries"],
      [200, "garbage", "it is no list of entries"],
      [200, '[{"uuid":{}}]', "its answer cannot be read"],
      [200, Buffer.alloc(1024 * 1024 + 1, " "), "longer than"],
    ];
    for (const [status, body, reason] of cases) {
      await expectUndecided(reason, without, keyed(await serve(status, body)), { rekor });
      await server?.stop();
    }
  });

  it("does not wait for ever, and not at all for who has given up", async () => {
    const silent = createServer((_request, response) => response.writeHead(200).write("["));
    await new Promise<void>((ready) => silent.listen(0, "127.0.0.1", ready));
    const url = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`;
    const without = await scene.sign({ bare: signer, entries: [] });
    const hasty = createLogLookup({ attemptMs: 500 });
    await expectUndecided("it gave no answer in time", without, keyed(url), { rekor: hasty });
    await hasty.close();
    const patient = createLogLookup();
    const givenUp: LogLookup = (address, query) => patient(address, query, AbortSignal.abort());
    await expectUndecided("it gave no answer in time", without, keyed(url), { rekor: givenUp });
    await patient.close();
    silent.closeAllConnections();
    await new Promise((closed) => silent.close(closed));
  });

  it("proposes hashes that the key may have signed with, and Ed25519ph's", () => {
    const kinds: readonly [Parameters<typeof generatePem>[0], readonly string[]][] = [
      ["P-256", ["sha256"]],
      ["ed25519", ["sha512", "sha256"]],
    ];
    for (const [kind, hashes] of kinds) {
      const { signer: key } = generatePem(kind);
      const query: LogQuery = {
        content: { signature: Buffer.from("s"), isSignedBy: () => true, digest: (algorithm) => Buffer.from(algorithm) },
        signer: { kind: "certificate", der: Buffer.from("x") },
        key: { key, hashes: ["sha256"] },
      };
      const proposed = proposedEntries(query).map(
        ({ spec }) => Reflect.get(Object((spec as { data?: object }).data), "hash") as unknown,
      );
      expect(proposed.map((hash) => (hash as { algorithm: string }).algorithm)).to.deep.equal(hashes);
    }
  });

  it("reads no entry that lacks a part", async () => {
    const [entry] = (await scene.sign()).material.logEntries;
    if (entry === undefined) throw new Error("there is no entry");
    const api = toApi(entry);
    expect(entryFromApi(api)).to.deep.equal(entry);
    for (const field of Object.keys(api)) {
      const { [field as keyof typeof api]: _without, ...rest } = api;
      expect(() => entryFromApi(rest), field).to.throw();
    }
  });
});
