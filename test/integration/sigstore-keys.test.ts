import { createPublicKey, sign } from "node:crypto";
import { ed25519, ed25519ph } from "@noble/curves/ed25519.js";
import { expect } from "chai";
import { isSignedBy, verificationKey } from "../../adapters/sigstore/keys.ts";
import type { HashAlgorithm } from "../../core/policy/types.ts";
import { generatePem, type KeyKind } from "../support/keys.ts";

const DATA = Buffer.from("what is signed");
const HASHES: readonly HashAlgorithm[] = ["sha224", "sha256", "sha384", "sha512"];

/** An Ed25519 public key in PEM from its 32 bytes. */
function ed25519Pem(raw: Uint8Array): string {
  const jwk = { kty: "OKP", crv: "Ed25519", x: Buffer.from(raw).toString("base64url") };
  return createPublicKey({ key: jwk, format: "jwk" }).export({ type: "spki", format: "pem" }).toString();
}

describe("signatures by keys", () => {
  for (const kind of ["P-256", "P-384", "P-521", "rsa", "rsa-pss"] satisfies KeyKind[]) {
    it(`${kind}: verifies with the policy's hash, and no other`, () => {
      const { publicKey, signer } = generatePem(kind);
      for (const made of HASHES) {
        const signature = sign(made, DATA, signer);
        const accepting = HASHES.filter((hash) => isSignedBy(verificationKey(publicKey, hash), DATA, signature));
        const own = { "P-384": "sha384", "P-521": "sha512" }[kind as string];
        expect(accepting).to.deep.equal(made === own ? ["sha256", made] : [made]);
        expect(isSignedBy(verificationKey(publicKey, made), Buffer.from("other"), signature)).to.equal(false);
      }
    });
  }

  // RFC 8032 section 7.3, the test vector of Ed25519ph.
  const VECTOR = {
    publicKey: "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
    message: "616263",
    signature:
      "98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae4131f85042463c2a355a2003d062adf5aaa10b8c61e636062aaad11c2a26083406",
  };

  it("Ed25519ph: verifies the vector of RFC 8032", () => {
    const key = verificationKey(ed25519Pem(Buffer.from(VECTOR.publicKey, "hex")), "sha256");
    const signature = Buffer.from(VECTOR.signature, "hex");
    expect(isSignedBy(key, Buffer.from(VECTOR.message, "hex"), signature)).to.equal(true);
    expect(isSignedBy(key, Buffer.from("abd"), signature)).to.equal(false);
    expect(isSignedBy(key, Buffer.from(VECTOR.message, "hex"), signature.subarray(1))).to.equal(false);
  });

  it("Ed25519: takes both the plain and the prehashed form, but no other context", () => {
    const { secretKey, publicKey } = ed25519.keygen();
    const key = verificationKey(ed25519Pem(publicKey), "sha256");
    expect(isSignedBy(key, DATA, Buffer.from(ed25519.sign(DATA, secretKey)))).to.equal(true);
    expect(isSignedBy(key, DATA, Buffer.from(ed25519ph.sign(DATA, secretKey)))).to.equal(true);
    const context = Buffer.from("other");
    expect(isSignedBy(key, DATA, Buffer.from(ed25519ph.sign(DATA, secretKey, { context })))).to.equal(false);
  });

  it("refuses a point of small order, which would verify for many messages", () => {
    const identity = Buffer.concat([Buffer.from([1]), Buffer.alloc(31)]); // the neutral element
    const key = verificationKey(ed25519Pem(identity), "sha256");
    expect(isSignedBy(key, DATA, Buffer.concat([identity, Buffer.alloc(32)]))).to.equal(false);
  });

  it("throws for a key that signs nothing here", () => {
    expect(() => verificationKey("nonsense", "sha256")).to.throw();
    const { signer } = generatePem("P-256");
    expect(() =>
      verificationKey(signer.export({ type: "pkcs8", format: "pem" }).toString().replace("P", "X"), "sha256"),
    ).to.throw();
  });
});
