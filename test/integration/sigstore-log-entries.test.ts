import type { Candidate } from "../../adapters/sigstore/candidate.ts";
import type { KeyAuthority } from "../../core/policy/types.ts";
import { generatePem } from "../support/keys.ts";
import { bodyOf, type EntryKind } from "../support/sigstore/forged-bodies.ts";
import { newKey } from "../support/sigstore/forged-certificates.ts";
import { ForgedScene, SIGNED_AT, type SigningOptions, withEntries } from "../support/sigstore/forged-scene.ts";
import { expectRefused, expectVerified } from "../support/sigstore/verdicts.ts";

const KINDS: readonly [EntryKind, SigningOptions["form"]][] = [
  ["hashedrekord 0.0.1", "message"],
  ["hashedrekord 0.0.1", "envelope"],
  ["hashedrekord 0.0.2", "message"],
  ["hashedrekord 0.0.2", "envelope"],
  ["dsse 0.0.1", "envelope"],
  ["dsse 0.0.2", "envelope"],
  ["intoto 0.0.1", "envelope"],
  ["intoto 0.0.2", "envelope"],
];

describe("what entries of transparency logs are about", () => {
  const { publicKey, signer } = generatePem("P-256");
  let scene: ForgedScene;

  before(async () => {
    scene = await ForgedScene.open();
  });

  const keyed = (root?: Parameters<ForgedScene["trustedRoot"]>[0]): KeyAuthority =>
    scene.keyed([publicKey], { log: { kind: "required", trustedRoot: scene.trustedRoot(root) } });
  const signed = (options: SigningOptions = {}): Promise<Candidate> => scene.sign({ bare: signer, ...options });
  it("needs no entry where none is asked for", async () => {
    await expectVerified(await signed({ entries: [] }), scene.keyed([publicKey], { log: { kind: "ignored" } }));
    await expectRefused("signature not found in transparency log", await signed({ entries: [] }), keyed());
  });

  for (const [kind, form = "message"] of KINDS) {
    describe(`${kind} over a signed ${form}`, () => {
      it("counts, by a key", async () => expectVerified(await signed({ form, entries: [kind] }), keyed()));

      it("counts, by a certificate", async () =>
        expectVerified(await scene.sign({ form, entries: [kind], timestamps: [SIGNED_AT] }), scene.keyless()));

      const another = "the log entry is about another signature";

      it("must be about this signature", async () => {
        const logged = {
          signature: Buffer.from("another"),
          envelope: { payload: Buffer.from("x"), payloadType: "x", signatures: [] },
        };
        await expectRefused(another, await signed({ form, entries: [kind], logged }), keyed());
      });

      it("must be about what was signed", async () => {
        const { envelope } = await signed({ form });
        const logged = {
          signedBytes: Buffer.from("another"),
          ...(envelope !== undefined && { envelope: { ...envelope, payload: Buffer.from("another") } }),
        };
        await expectRefused(another, await signed({ form, entries: [kind], logged }), keyed());
      });

      it("must be about who signed", async () => {
        await expectRefused(another, await signed({ form, entries: [kind], logged: { verifier: newKey() } }), keyed());
        const reissued = scene.leaf({ key: signer });
        const leaf = scene.leaf({ key: signer });
        const candidate = await scene.sign({
          leaf,
          form,
          entries: [kind],
          timestamps: [SIGNED_AT],
          logged: { verifier: reissued.der },
        });
        await expectRefused(another, candidate, scene.keyless());
        await expectVerified(await signed({ form, entries: [kind], logged: { verifier: reissued.der } }), keyed());
      });
    });
  }

  it("refuses an entry of a kind that is not known, or other than it says", async () => {
    const candidate = await signed();
    await expectRefused(
      "of another kind",
      withEntries(candidate, () => ({ kindVersion: { kind: "dsse", version: "0.0.1" } })),
      keyed(),
    );
    const { spec } = bodyOf("hashedrekord 0.0.1", {
      signature: candidate.signature,
      signedBytes: candidate.signedBytes,
      verifier: signer,
    });
    const strange = scene.log1.entry({ kind: "rpm", apiVersion: "0.0.1", spec }, { at: SIGNED_AT });
    await expectRefused(
      "of a kind that is not known here",
      withEntries(candidate, () => strange),
      keyed(),
    );
  });
});
