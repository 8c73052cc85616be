import { createPublicKey, randomBytes } from "node:crypto";
import type { TransparencyLogEntry } from "@sigstore/protobuf-specs";
import { expect } from "chai";
import type { Candidate } from "../../adapters/sigstore/candidate.ts";
import { rootFromProof } from "../../adapters/sigstore/log-inclusion.ts";
import type { KeyAuthority } from "../../core/policy/types.ts";
import { generatePem } from "../support/keys.ts";
import { sha256 } from "../support/sigstore/forged-certificates.ts";
import { ForgedLog, prove } from "../support/sigstore/forged-log.ts";
import {
  ForgedScene,
  minutesAfter,
  SIGNED_AT,
  type SigningOptions,
  withEntries,
} from "../support/sigstore/forged-scene.ts";
import { expectRefused, expectVerified } from "../support/sigstore/verdicts.ts";

describe("whether transparency logs vouch for entries", () => {
  const { publicKey, signer } = generatePem("P-256");
  let scene: ForgedScene;

  before(async () => {
    scene = await ForgedScene.open();
  });

  const keyed = (root?: Parameters<ForgedScene["trustedRoot"]>[0]): KeyAuthority =>
    scene.keyed([publicKey], { log: { kind: "required", trustedRoot: scene.trustedRoot(root) } });
  const signed = (options: SigningOptions = {}): Promise<Candidate> => scene.sign({ bare: signer, ...options });
  /** The candidate's entry with another proof. */
  const proof = (
    candidate: Candidate,
    change: (old: NonNullable<TransparencyLogEntry["inclusionProof"]>) => object,
  ): Candidate =>
    withEntries(candidate, ({ inclusionProof: old }) => {
      if (old === undefined) throw new Error("there is no proof");
      return { inclusionProof: { ...old, ...change(old) } };
    });

  describe("a promise of inclusion", () => {
    const promised = (more: SigningOptions = {}): Promise<Candidate> =>
      signed({ entryOptions: { at: SIGNED_AT, proof: false }, ...more });

    it("suffices", async () => expectVerified(await promised(), keyed()));

    it("binds body, time, index and log", async () => {
      const entry = await promised();
      const set = "inclusion promise (SET) is not signed by its log";
      await expectRefused(
        set,
        withEntries(entry, () => ({ logIndex: "4712" })),
        keyed(),
      );
      await expectRefused(
        set,
        withEntries(entry, () => ({ integratedTime: String(SIGNED_AT.getTime() / 1000 + 1) })),
        keyed(),
      );
      await expectRefused(
        set,
        withEntries(entry, ({ canonicalizedBody }) => ({
          canonicalizedBody: Buffer.concat([canonicalizedBody, Buffer.from(" ")]),
        })),
        keyed(),
      );
      await expectRefused(
        set,
        withEntries(entry, () => ({ inclusionPromise: { signedEntryTimestamp: randomBytes(70) } })),
        keyed(),
      );
      await expectRefused(
        "index is no number",
        withEntries(entry, () => ({ logIndex: "-1" })),
        keyed(),
      );
      const other = new ForgedLog(1);
      await expectRefused(
        set,
        entry,
        keyed({ logs: [Object.assign(other, { key: scene.log2.key })], logId: () => scene.log1.id }),
      );
    });

    it("is by a log of the trust root, whose key was valid", async () => {
      await expectRefused(
        "by no transparency log of the trust root",
        await promised(),
        keyed({ logs: [new ForgedLog(1)] }),
      );
      const window = "made when its log's key was not valid";
      await expectRefused(window, await promised(), keyed({ logWindow: { start: minutesAfter(1) } }));
      await expectRefused(window, await promised(), keyed({ logWindow: { end: minutesAfter(-1) } }));
      await expectVerified(await promised(), keyed({ logWindow: { start: SIGNED_AT, end: SIGNED_AT } }));
      await expectRefused("by no transparency log", await promised(), keyed({ logWindow: { start: null } }));
    });

    it("or a proof with a checkpoint must be there", async () => {
      const bare = await signed({ entryOptions: { promise: false, proof: false } });
      await expectRefused("neither an inclusion promise nor a proof", bare, keyed());
      const unsigned = proof(await signed({ entryOptions: { promise: false } }), () => ({ checkpoint: undefined }));
      await expectRefused("neither an inclusion promise nor a proof", unsigned, keyed());
    });

    it("does not make up for a proof that is wrong", async () => {
      const wrong = proof(await signed(), ({ hashes }) => ({ hashes: [...hashes.slice(1), randomBytes(32)] }));
      await expectRefused("does not lead to the checkpoint's root hash", wrong, keyed());
    });
  });

  for (const kind of ["hashedrekord 0.0.1", "hashedrekord 0.0.2"] as const) {
    describe(`a proof of inclusion, ${kind}`, () => {
      const proven = (): Promise<Candidate> => signed({ entries: [kind], entryOptions: { promise: false } });
      const log = (): ForgedLog => (kind === "hashedrekord 0.0.1" ? scene.log1 : scene.log2);
      const unsigned = "checkpoint is not signed by a transparency log of the trust root";

      it("suffices", async () => expectVerified(await proven(), keyed()));

      it("leads to the root that the checkpoint signs", async () => {
        const root = "does not lead to the checkpoint's root hash";
        await expectRefused(
          root,
          proof(await proven(), () => ({ rootHash: randomBytes(32) })),
          keyed(),
        );
        await expectRefused(
          root,
          proof(await proven(), () => ({ treeSize: "8" })),
          keyed(),
        );
        await expectRefused(
          root,
          proof(await proven(), () => ({ logIndex: "5" })),
          keyed(),
        );
        await expectRefused(
          "has not the hashes",
          proof(await proven(), ({ hashes }) => ({ hashes: hashes.slice(1) })),
          keyed(),
        );
        await expectRefused(
          "beyond the checkpoint's tree",
          proof(await proven(), () => ({ logIndex: "7" })),
          keyed(),
        );
      });

      it("needs a checkpoint that its log signed", async () => {
        const by = async (envelope: string): Promise<Candidate> =>
          proof(await proven(), () => ({ checkpoint: { envelope } }));
        const rootHash = randomBytes(32);
        const stranger = new ForgedLog(kind === "hashedrekord 0.0.1" ? 1 : 2, log().origin);
        await expectRefused(unsigned, await by(stranger.checkpoint(7, rootHash)), keyed());
        await expectRefused(unsigned, await by(log().checkpoint(7, rootHash, log().origin, stranger.key)), keyed());
        await expectRefused("does not lead to", await by(log().checkpoint(7, rootHash)), keyed());
        await expectRefused("is no signed note", await by("nothing"), keyed());
        await expectRefused(
          "malformed signature line",
          await by(`origin\n7\n${rootHash.toString("base64")}\n\n— x\n`),
          keyed(),
        );
        await expectRefused(
          "must begin with origin, size and root hash",
          await by(`origin\nseven\n${rootHash.toString("base64")}\n\n— x AAAAAAAA\n`),
          keyed(),
        );
        await expectRefused(
          "too many signatures",
          await by(`${log().checkpoint(7, rootHash)}${"— x AAAAAAAA\n".repeat(64)}`),
          keyed(),
        );
      });

      it("ignores what witnesses sign beside it", async () => {
        const cosigned = proof(await proven(), ({ checkpoint }) => ({
          checkpoint: { envelope: `${checkpoint?.envelope}— witness.example.com AAAAAAAA\n` },
        }));
        await expectVerified(cosigned, keyed());
      });

      it("is by a log that was in use by then", async () => {
        const window = "made when its log's key was not valid";
        const future = { start: new Date(SIGNED_AT.getTime() + 4 * 365 * 86_400_000) };
        await expectRefused(window, await proven(), keyed({ logWindow: future }));
        const stamped = await scene.sign({
          entries: [kind],
          entryOptions: { promise: false },
          timestamps: [SIGNED_AT],
        });
        const trustedRoot = (logWindow: object) =>
          scene.keyless({ log: { kind: "required", trustedRoot: scene.trustedRoot({ logWindow }) } });
        await expectVerified(stamped, trustedRoot({ start: SIGNED_AT, end: SIGNED_AT }));
        await expectRefused(window, stamped, trustedRoot({ end: minutesAfter(-1) }));
      });

      it("tells no time", async () => {
        const candidate = await scene.sign({ entries: [kind], entryOptions: { promise: false } });
        await expectRefused("no signed timestamp", candidate, scene.keyless());
        const claimed = withEntries(candidate, () => ({ integratedTime: String(SIGNED_AT.getTime() / 1000) }));
        await expectRefused("no signed timestamp", claimed, scene.keyless());
      });
    });
  }

  it("binds the name of an Ed25519 log to its checkpoints", async () => {
    const candidate = await signed({ entries: ["hashedrekord 0.0.2"] });
    const renamed = proof(candidate, ({ checkpoint }) => ({
      checkpoint: { envelope: (checkpoint?.envelope ?? "").replace(`— ${scene.log2.origin}`, "— other.example.com") },
    }));
    await expectRefused("not signed by a transparency log of the trust root", renamed, keyed());
  });

  it("finds the entry that counts among others", async () => {
    const candidate = await signed({ entries: ["hashedrekord 0.0.1", "hashedrekord 0.0.2"] });
    await expectVerified(candidate, keyed({ logs: [scene.log2] }));
    await expectVerified(candidate, keyed({ logs: [scene.log1] }));
  });

  it("proves what RFC 6962 says, for every leaf of trees of many sizes", () => {
    for (let size = 1; size <= 17; size++) {
      const leaves = Array.from({ length: size }, (_, at) => Buffer.from(`leaf ${at}`));
      leaves.forEach((leaf, index) => {
        const { root, hashes } = prove(index, leaves);
        expect(rootFromProof(leaf, BigInt(index), BigInt(size), hashes)).to.deep.equal(root);
        if (hashes.length > 0)
          expect(() => rootFromProof(leaf, BigInt(index), BigInt(size), hashes.slice(1))).to.throw(
            "has not the hashes",
          );
        expect(() => rootFromProof(leaf, BigInt(index), BigInt(size), [...hashes, sha256(leaf)])).to.throw(
          "has not the hashes",
        );
      });
    }
  });

  it("believes no key of another kind for the log's", async () => {
    const candidate = await signed();
    const strange = Object.assign(new ForgedLog(1), { key: createPublicKey(generatePem("rsa").publicKey) });
    await expectRefused(
      "not signed by a transparency log of the trust root",
      candidate,
      keyed({ logs: [strange], logId: () => scene.log1.id }),
    );
  });
});
