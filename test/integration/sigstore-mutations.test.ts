import { expect } from "chai";
import fc from "fast-check";
import { base64, type Candidate, type Material } from "../../adapters/sigstore/candidate.ts";
import { contentOf } from "../../adapters/sigstore/content.ts";
import { verifyTimestamp } from "../../adapters/sigstore/timestamp.ts";
import { parseTrustedRoot } from "../../adapters/sigstore/trustmaterial.ts";
import { createCandidateVerifier } from "../../adapters/sigstore/verification.ts";
import type { SignedAuthority } from "../../core/policy/types.ts";
import type { EntryKind } from "../support/sigstore/forged-bodies.ts";
import { ForgedScene, LATER, SIGNED_AT, type SigningOptions } from "../support/sigstore/forged-scene.ts";

/** One byte changed. */
function changed(bytes: Buffer, at: number, by: number): Buffer {
  const copy = Buffer.from(bytes);
  const index = at % copy.length;
  copy[index] = (copy[index] ?? 0) ^ by;
  return copy;
}

/**
 * Whether a note and what was made of it differ only in what no signature covers: the bits of base64's last character that are not read
 * (RFC 4648 section 3.5), and the signer's name where the key is not Ed25519, whose id it is not part of (https://c2sp.org/signed-note).
 */
function isSameSigned(note: string, other: string): boolean {
  const [before, after] = [note, other].map((text) => /^([\s\S]*?\n)\n\u2014 (\S+) (\S+)\n$/.exec(text));
  if (!before || !after) return false;
  const [mine, theirs] = [base64(before[3] ?? ""), base64(after[3] ?? "")];
  const isNamed = mine?.length === HINT_AND_ED25519;
  const isSameText = before[1] === after[1] && (before[2] === after[2] || !isNamed);
  return isSameText && mine !== undefined && theirs?.equals(mine) === true;
}

const position = fc.nat(100_000);
const difference = fc.integer({ min: 1, max: 255 });
const RUNS = 200;
const HINT_AND_ED25519 = 4 + 64;

describe("one changed byte", function () {
  this.timeout(120_000);
  let scene: ForgedScene;

  before(async () => {
    scene = await ForgedScene.open();
  });

  async function never(
    candidate: Candidate,
    authority: SignedAuthority,
    mutate: (at: number, by: number) => Candidate,
  ): Promise<void> {
    const verify = createCandidateVerifier({ clock: { now: () => LATER } });
    const signal = new AbortController().signal;
    expect(await verify(candidate, authority, signal)).to.have.property("kind", "verified");
    const property = fc.asyncProperty(position, difference, async (at, by) => {
      expect(await verify(mutate(at, by), authority, signal)).to.have.property("kind", "refused");
    });
    await fc.assert(property, { numRuns: RUNS });
  }

  const material = (candidate: Candidate, change: (old: Material) => Partial<Material>): Candidate => ({
    ...candidate,
    material: { ...candidate.material, ...change(candidate.material) },
  });

  const KINDS: readonly (readonly [EntryKind, SigningOptions])[] = [
    ["hashedrekord 0.0.1", {}],
    ["intoto 0.0.1", { form: "envelope" }],
    ["hashedrekord 0.0.2", { timestamps: [SIGNED_AT] }],
  ];
  for (const [kind, options] of KINDS) {
    describe(`of a keyless signature with ${kind}`, () => {
      const sign = (): Promise<Candidate> => scene.sign({ ...options, entries: [kind] });

      it("in the certificate: refused", async () => {
        const candidate = await sign();
        await never(candidate, scene.keyless(), (at, by) =>
          material(candidate, ({ certificate }) => ({ certificate: changed(certificate ?? Buffer.alloc(1), at, by) })),
        );
      });

      it("in the signature: refused", async () => {
        const candidate = await sign();
        await never(candidate, scene.keyless(), (at, by) => ({
          ...candidate,
          signature: changed(candidate.signature, at, by),
        }));
      });

      it("in the signed bytes: refused", async () => {
        const candidate = await sign();
        await never(candidate, scene.keyless(), (at, by) => ({
          ...candidate,
          signedBytes: changed(candidate.signedBytes, at, by),
        }));
      });

      it("in the log entry's body: refused", async () => {
        const candidate = await sign();
        await never(candidate, scene.keyless(), (at, by) =>
          material(candidate, ({ logEntries }) => ({
            logEntries: logEntries.map((entry) => ({
              ...entry,
              canonicalizedBody: changed(entry.canonicalizedBody, at, by),
            })),
          })),
        );
      });

      it("in the log's signed note: refused", async () => {
        const candidate = await sign();
        await never(candidate, scene.keyless(), (at, by) =>
          material(candidate, ({ logEntries }) => ({
            logEntries: logEntries.map((entry) => {
              const { inclusionProof: proof } = entry;
              const old = proof?.checkpoint?.envelope ?? " ";
              const envelope = changed(Buffer.from(old), at, by).toString("utf8");
              fc.pre(!isSameSigned(old, envelope));
              return {
                ...entry,
                ...(proof !== undefined && { inclusionProof: { ...proof, checkpoint: { envelope } } }),
              };
            }),
          })),
        );
      });
    });
  }

  it("of an inclusion promise: refused", async () => {
    const candidate = await scene.sign({ entryOptions: { at: SIGNED_AT, proof: false } });
    await never(candidate, scene.keyless(), (at, by) =>
      material(candidate, ({ logEntries }) => ({
        logEntries: logEntries.map((entry) => {
          const old = entry.inclusionPromise?.signedEntryTimestamp ?? Buffer.alloc(1);
          return { ...entry, inclusionPromise: { signedEntryTimestamp: changed(old, at, by) } };
        }),
      })),
    );
  });

  it("of a timestamp: refused, or in a part that is not signed, and then the time is the same", async () => {
    const candidate = await scene.sign({ timestamps: [SIGNED_AT] });
    const { timestampAuthorities } = parseTrustedRoot(scene.trustedRoot());
    const [stamp = Buffer.alloc(1)] = candidate.material.timestamps;
    let refused = 0;
    const property = fc.property(position, difference, (at, by) => {
      try {
        expect(verifyTimestamp(changed(stamp, at, by), contentOf(candidate), timestampAuthorities)).to.deep.equal(
          SIGNED_AT,
        );
      } catch (thrown) {
        expect(thrown).to.have.property("code", "SIGNATURE_REFUSED");
        refused++;
      }
    });
    fc.assert(property, { numRuns: RUNS });
    expect(refused).to.be.greaterThan(RUNS / 2);
  });
});
