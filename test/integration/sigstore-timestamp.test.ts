import { expect } from "chai";
import type { Candidate } from "../../adapters/sigstore/candidate.ts";
import type { KeyAuthority } from "../../core/policy/types.ts";
import { generatePem } from "../support/keys.ts";
import { envelopeText } from "../support/sigstore/forged-bodies.ts";
import { CODE_SIGNING, forgeCertificate, sha256, TIME_STAMPING } from "../support/sigstore/forged-certificates.ts";
import {
  ForgedScene,
  minutesAfter,
  SIGNED_AT,
  type SigningOptions,
  yearsAfter,
} from "../support/sigstore/forged-scene.ts";
import { expectRefused, expectVerified } from "../support/sigstore/verdicts.ts";

describe("RFC 3161 timestamps", () => {
  const { publicKey, signer } = generatePem("P-256");
  let scene: ForgedScene;

  before(async () => {
    scene = await ForgedScene.open();
  });

  const keyed = (root?: Parameters<ForgedScene["trustedRoot"]>[0]): KeyAuthority =>
    scene.keyed([publicKey], { log: { kind: "ignored" }, timestamps: { trustedRoot: scene.trustedRoot(root) } });
  const signed = (options: SigningOptions = {}): Promise<Candidate> =>
    scene.sign({ bare: signer, entries: [], timestamps: [SIGNED_AT], ...options });
  const stampedWith = (candidate: Candidate, ...timestamps: readonly Buffer[]): Candidate => ({
    ...candidate,
    material: { ...candidate.material, timestamps },
  });
  const NOT_OURS = "the timestamp is by no timestamp authority of the trust root";

  it("count when a timestamp authority of the trust root made them over the signature", async () => {
    await expectVerified(await signed(), keyed());
    await expectRefused("no signed timestamp", await signed({ timestamps: [] }), keyed());
    await expectRefused("about another signature", await signed({ stamped: Buffer.from("another") }), keyed());
  });

  it("count for the time of a certificate, and must lie in its validity", async () => {
    const timestamps = { trustedRoot: scene.trustedRoot() };
    const authority = scene.keyless({ log: { kind: "ignored" }, timestamps });
    await expectVerified(await scene.sign({ entries: [], timestamps: [SIGNED_AT] }), authority);
    await expectRefused(
      "certificate expired before the signature was made",
      await scene.sign({ entries: [], timestamps: [minutesAfter(30)] }),
      authority,
    );
    await expectRefused("no signed timestamp", await scene.sign({ timestamps: [] }), authority); // an entry in a log is no substitute
    const apart = scene.keyless({
      log: { kind: "ignored" },
      timestamps: { trustedRoot: scene.trustedRoot({ timestampAuthorities: [] }) },
    });
    await expectRefused(NOT_OURS, await scene.sign({ entries: [], timestamps: [SIGNED_AT] }), apart);
  });

  it("may come as a bare token, or with the authority's certificates", async () => {
    const candidate = await signed();
    const response = await scene.timestamp(candidate.signature, SIGNED_AT, true);
    await expectVerified(stampedWith(candidate, response), keyed());
    const status = 9; // SEQUENCE of 4 or more bytes of length, then PKIStatusInfo { 0 }
    const token = response.subarray(response.indexOf(Buffer.from("06092a864886f70d010702", "hex")) - 4);
    expect(response.length - token.length).to.equal(status);
    await expectVerified(stampedWith(candidate, token), keyed());
  });

  it("are refused when the authority is a stranger, even one that brings its certificates", async () => {
    const stranger = await ForgedScene.open();
    const candidate = await signed();
    for (const certificates of [false, true]) {
      const forged = await stranger.timestamp(candidate.signature, SIGNED_AT, certificates);
      await expectRefused("timestamp", stampedWith(candidate, forged), keyed());
      await expectVerified(stampedWith(candidate, forged, ...candidate.material.timestamps), keyed());
    }
    await expectRefused(NOT_OURS, candidate, keyed({ timestampAuthorities: [] }));
  });

  it("are refused when the authority was not valid", async () => {
    const window = "made when its authority was not valid";
    await expectRefused(window, await signed(), keyed({ timestampWindow: { start: minutesAfter(1) } }));
    await expectRefused(window, await signed(), keyed({ timestampWindow: { end: minutesAfter(-1) } }));
    await expectVerified(await signed(), keyed({ timestampWindow: { start: SIGNED_AT, end: SIGNED_AT } }));
    await expectRefused(window, await signed({ timestamps: [yearsAfter(2)] }), keyed()); // its certificate ran out after one
  });

  it("may chain to a root alone, or to the pinned certificate of the signer", async () => {
    const [leaf, root] = scene.tsaChain;
    if (leaf === undefined || root === undefined) throw new Error("there is no chain");
    const candidate = await signed();
    const withCertificates = stampedWith(candidate, await scene.timestamp(candidate.signature, SIGNED_AT, true));
    await expectVerified(candidate, keyed({ timestampAuthorities: [[leaf]] }));
    await expectRefused(NOT_OURS, candidate, keyed({ timestampAuthorities: [[root]] }));
    await expectVerified(withCertificates, keyed({ timestampAuthorities: [[root]] }));
  });

  it("must be by a certificate for time stamping", async () => {
    const life = { notBefore: yearsAfter(-1), notAfter: yearsAfter(1), key: scene.tsaKey };
    const [passingFor = Buffer.alloc(0)] = scene.tsaChain;
    const pinned = (purposes: readonly string[]): KeyAuthority =>
      keyed({ timestampAuthorities: [[forgeCertificate({ name: "tsa", passingFor, purposes, ...life }).der]] });
    await expectVerified(await signed(), pinned([TIME_STAMPING]));
    await expectRefused("the timestamp's signer is no timestamp authority", await signed(), pinned([CODE_SIGNING]));
    const { key: _key, ...other } = life;
    const stranger = forgeCertificate({ name: "tsa", passingFor, purposes: [TIME_STAMPING], ...other });
    await expectRefused("signature does not verify", await signed(), keyed({ timestampAuthorities: [[stranger.der]] }));
  });

  it("may be over the whole envelope, as cosign makes them for attestations stored apart", async () => {
    const plain = await signed({ form: "envelope" });
    if (plain.envelope === undefined) throw new Error("there is no envelope");
    const text = Buffer.from(envelopeText(plain.envelope));
    await expectVerified(stampedWith(plain, await scene.timestamp(text, SIGNED_AT)), keyed());
    const stored = Buffer.from(` ${text.toString()}`); // as another client may have written it
    const over = stampedWith(plain, await scene.timestamp(stored, SIGNED_AT));
    await expectRefused("about another signature", over, keyed());
    const statement = { predicateType: "x", json: "{}", digest: `sha256:${sha256(stored).toString("hex")}` } as const;
    await expectVerified({ ...over, statement }, keyed());
  });

  it("are refused when they are garbage, or refused by their authority", async () => {
    const candidate = await signed();
    await expectRefused("the timestamp cannot be read", stampedWith(candidate, Buffer.from("garbage")), keyed());
    await expectRefused("the timestamp is too long", stampedWith(candidate, Buffer.alloc(65 * 1024)), keyed());
    const rejected = Buffer.from(candidate.material.timestamps[0] ?? []);
    const status = rejected.indexOf(Buffer.from("3003020100", "hex"));
    rejected[status + 4] = 2;
    await expectRefused("did not grant the timestamp", stampedWith(candidate, rejected), keyed());
  });

  it("are refused when their time was changed", async () => {
    const candidate = await signed();
    const changed = Buffer.from(candidate.material.timestamps[0] ?? []);
    const digits = SIGNED_AT.toISOString().replace(/[-:T]|\.\d{3}/g, "");
    const at = changed.indexOf(digits);
    expect(at).to.be.greaterThan(0);
    changed.write(
      minutesAfter(1)
        .toISOString()
        .replace(/[-:T]|\.\d{3}/g, ""),
      at,
      "latin1",
    );
    await expectRefused("signed attributes are not about its content", stampedWith(candidate, changed), keyed());
  });

  it("stand beside a required entry where both are asked for", async () => {
    const trustedRoot = scene.trustedRoot();
    const both = scene.keyed([publicKey], { timestamps: { trustedRoot } });
    await expectVerified(await scene.sign({ bare: signer, timestamps: [SIGNED_AT] }), both);
    await expectRefused("no signed timestamp", await scene.sign({ bare: signer }), both);
    await expectRefused("signature not found in transparency log", await signed(), both);
  });
});
