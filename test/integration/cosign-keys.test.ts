import { expect } from "chai";
import type { KeyAuthority, VerifyAuthority } from "../../core/policy/types.ts";
import { ANONYMOUS } from "../../core/registry/keychain.ts";
import type { KeyPair } from "../support/cosign.ts";
import { generatePem, type KeyKind } from "../support/keys.ts";
import { type PushedImage, SigningBench } from "../support/signing.ts";
import { keyAuthority, messageIn, verifierOf } from "../support/verifying.ts";

const TYPE = "https://example.com/predicate/v1";
const KINDS = ["P-256", "P-384", "P-521", "rsa", "rsa-4096", "ed25519"] as const satisfies readonly KeyKind[];

describe("keys of every kind that cosign signs with", function () {
  this.timeout(120_000); // cosign takes its time for a key's password
  let bench: SigningBench;
  let verify: VerifyAuthority;

  before(async function () {
    this.timeout(0); // the first run on a machine builds cosign and the registry
    bench = await SigningBench.start();
    verify = verifierOf(bench.client());
  });

  after(() => bench?.stop());

  async function outcome(image: PushedImage, publicKey: string, more: Partial<KeyAuthority> = {}): Promise<string> {
    const authority = keyAuthority([publicKey], more);
    const found = await verify(image, authority, ANONYMOUS, AbortSignal.timeout(20_000));
    return found.kind === "matched" ? found.kind : `${found.kind}: ${messageIn(found)}`;
  }

  for (const kind of KINDS) {
    describe(kind, () => {
      let pair: KeyPair;
      let stranger: string;

      before(async () => {
        pair = await bench.cosign.importKeyPair(kind, generatePem(kind).privateKey);
        stranger = generatePem(kind).publicKey;
      });

      for (const form of ["classic", "bundle"] as const) {
        it(`signatures, ${form}: match by the signer's key, not by another of its kind`, async () => {
          const image = await bench.image();
          await bench.cosign.sign(image.pinned, pair, form);
          expect(await outcome(image, pair.publicKey)).to.equal("matched");
          expect(await outcome(image, stranger)).to.contain("failed: no matching signatures: ");
        });

        it(`attestations, ${form}: match by the signer's key, not by another of its kind`, async () => {
          const image = await bench.image();
          await bench.cosign.attest(image.pinned, pair, TYPE, { passed: true }, form);
          const attestations = [{ name: "tests", predicateType: TYPE }];
          expect(await outcome(image, pair.publicKey, { attestations })).to.equal("matched");
          expect(await outcome(image, stranger, { attestations })).to.contain("failed: no matching attestations: ");
        });
      }
    });
  }
});
