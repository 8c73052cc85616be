import { expect } from "chai";
import { sequence, utf8 } from "../../core/certificates/der.ts";
import type { KeylessAuthority } from "../../core/policy/types.ts";
import {
  CODE_SIGNING,
  email,
  FULCIO,
  forgeCertificate,
  newKey,
  TIME_STAMPING,
} from "../support/sigstore/forged-certificates.ts";
import { ALICE, ForgedScene, ISSUER, minutesAfter, SIGNED_AT, yearsAfter } from "../support/sigstore/forged-scene.ts";
import { expectRefused, expectVerified, judge } from "../support/sigstore/verdicts.ts";

describe("keyless verification", () => {
  let scene: ForgedScene;

  before(async () => {
    scene = await ForgedScene.open();
  });

  const root = (options?: Parameters<ForgedScene["trustedRoot"]>[0]): Partial<KeylessAuthority> => ({
    issuers: { kind: "trusted-root", trustedRoot: scene.trustedRoot(options) },
  });
  /** Nothing asked for beside the certificate: what it says must hold now. */
  const alone = (more: Partial<KeylessAuthority> = {}): KeylessAuthority =>
    scene.keyless({ log: { kind: "ignored" }, ...more });

  it("believes a certificate of the trust root whose signature a log saw in time, and says who signed", async () => {
    const leaf = scene.leaf({
      extensions: [
        [`${FULCIO}.8`, utf8(ISSUER)],
        [`${FULCIO}.2`, Buffer.from("push")],
        [`${FULCIO}.3`, Buffer.from("abc")],
        [`${FULCIO}.4`, Buffer.from("release")],
        [`${FULCIO}.5`, Buffer.from("team/app")],
        [`${FULCIO}.6`, Buffer.from("refs/heads/main")],
      ],
    });
    const candidate = await scene.sign({ leaf });
    expect(await judge(candidate, scene.keyless())).to.deep.equal({
      kind: "verified",
      fact: {
        id: candidate.id,
        subject: ALICE,
        issuer: ISSUER,
        githubWorkflowTrigger: "push",
        githubWorkflowSha: "abc",
        githubWorkflowName: "release",
        githubWorkflowRepo: "team/app",
        githubWorkflowRef: "refs/heads/main",
      },
    });
  });

  it("says what the signed bytes have against them only once they are known to be signed", async () => {
    const candidate = { ...(await scene.sign()), objection: "it was made for another image" };
    await expectRefused("it was made for another image", candidate, scene.keyless());
    await expectRefused(
      "not by the key of its certificate",
      { ...candidate, signedBytes: Buffer.from("other") },
      scene.keyless(),
    );
  });

  it("refuses a signature without a certificate, or with bytes that are none", async () => {
    const { certificate: _certificate, ...material } = (await scene.sign()).material;
    await expectRefused("no certificate found on signature", { ...(await scene.sign()), material }, scene.keyless());
    const garbage = { ...material, certificate: Buffer.from("garbage") };
    await expectRefused(
      "the certificate cannot be read",
      { ...(await scene.sign()), material: garbage },
      scene.keyless(),
    );
  });

  describe("paths", () => {
    it("refuses another authority of the same name", async () => {
      const other = (await ForgedScene.open()).leaf({ ctLog: scene.ctLog });
      await expectRefused(
        "certificate signed by unknown authority",
        await scene.sign({ leaf: other }),
        scene.keyless(),
      );
    });

    it("refuses a certificate that says to be by the authority, and is not", async () => {
      await expectRefused(
        "unknown authority",
        await scene.sign({ leaf: scene.leaf({ signedBy: newKey() }) }),
        scene.keyless(),
      );
    });

    it("uses intermediates of the signature, but never trusts them", async () => {
      const authorities = [[scene.root.der]];
      const candidate = await scene.sign();
      await expectRefused("unknown authority", candidate, scene.keyless(root({ authorities })));
      const withChain = { ...candidate, material: { ...candidate.material, intermediates: [scene.intermediate.der] } };
      await expectVerified(withChain, scene.keyless(root({ authorities })));
      const stranger = forgeCertificate({ name: "x", ca: true, notBefore: yearsAfter(-1), notAfter: yearsAfter(9) });
      const own = await scene.sign({ leaf: scene.leaf({ issuer: stranger }) });
      const trusting = { ...own, material: { ...own.material, intermediates: [stranger.der] } };
      await expectRefused("unknown authority", trusting, scene.keyless());
    });

    it("refuses an intermediate that may not issue: no CA, no keyCertSign, too deep, for another purpose, with name constraints", async () => {
      const life = { notBefore: yearsAfter(-1), notAfter: yearsAfter(9) };
      const below = (issuer = scene.root) => ({ issuer, ...life });
      const deep = forgeCertificate({ name: "deep", ca: true, ...below(scene.intermediate) });
      const cases = [
        { of: forgeCertificate({ name: "a", ca: true, ...below() }), verified: true },
        { of: forgeCertificate({ name: "b", ca: false, ...below() }), verified: false },
        { of: forgeCertificate({ name: "g", ca: false, signsCertificates: true, ...below() }), verified: false },
        { of: forgeCertificate({ name: "c", ca: true, signsCertificates: false, ...below() }), verified: false },
        { of: forgeCertificate({ name: "d", ca: true, purposes: [TIME_STAMPING], ...below() }), verified: false },
        {
          of: forgeCertificate({ name: "e", ca: true, extensions: [["2.5.29.30", sequence(), true]], ...below() }),
          verified: false,
        },
        {
          of: forgeCertificate({ name: "f", ca: true, extensions: [["1.2.3.4", sequence(), true]], ...below() }),
          verified: false,
        },
        { of: deep, verified: false },
      ];
      for (const { of, verified } of cases) {
        const signed = await scene.sign({ leaf: scene.leaf({ issuer: of }) });
        const candidate = { ...signed, material: { ...signed.material, intermediates: [of.der] } };
        if (verified) await expectVerified(candidate, scene.keyless());
        else await expectRefused("unknown authority", candidate, scene.keyless());
      }
    });

    it("refuses certificates that are too many to follow, or say something twice", async () => {
      const signed = await scene.sign();
      const many = Array.from({ length: 9 }, () => scene.intermediate.der);
      await expectRefused(
        "too many to follow",
        { ...signed, material: { ...signed.material, intermediates: many } },
        scene.keyless(),
      );
      const twice = scene.leaf({
        extensions: [
          [`${FULCIO}.8`, utf8("https://evil.example.com")],
          [`${FULCIO}.8`, utf8(ISSUER)],
        ],
      });
      await expectRefused("has an extension twice", await scene.sign({ leaf: twice }), scene.keyless());
    });

    it("asks for the code signing purpose", async () => {
      const authority = scene.leaf({ signsCertificates: true });
      await expectRefused(
        "certificate is not for digital signatures",
        await scene.sign({ leaf: authority }),
        scene.keyless(),
      );
      for (const purposes of [[TIME_STAMPING], undefined]) {
        const leaf = forgeCertificate({
          ...{ name: "leaf", issuer: scene.intermediate, subjects: [email(ALICE)], ctLog: scene.ctLog },
          ...{ notBefore: minutesAfter(-1), notAfter: minutesAfter(9), extensions: [[`${FULCIO}.8`, utf8(ISSUER)]] },
          ...(purposes !== undefined && { purposes }),
        });
        await expectRefused("certificate is not for code signing", await scene.sign({ leaf }), scene.keyless());
      }
    });
  });

  describe("times", () => {
    it("wants the certificate to be valid when the signature was seen", async () => {
      await expectRefused(
        "certificate expired before the signature was made",
        await scene.sign({ entryOptions: { at: minutesAfter(10) } }),
        scene.keyless(),
      );
      await expectRefused(
        "certificate was issued after the signature was made",
        await scene.sign({ entryOptions: { at: minutesAfter(-2) } }),
        scene.keyless(),
      );
      await expectVerified(await scene.sign({ entryOptions: { at: minutesAfter(9) } }), scene.keyless());
    });

    it("wants the authority to be valid then, too", async () => {
      const candidate = await scene.sign();
      await expectVerified(candidate, scene.keyless(root({ authorityWindow: { start: SIGNED_AT, end: SIGNED_AT } })));
      const refused = "the certificate's authority was not valid when the signature was made";
      await expectRefused(refused, candidate, scene.keyless(root({ authorityWindow: { start: minutesAfter(1) } })));
      await expectRefused(refused, candidate, scene.keyless(root({ authorityWindow: { end: minutesAfter(-1) } })));
      await expectRefused("unknown authority", candidate, scene.keyless(root({ authorityWindow: { start: null } })));
    });

    it("goes by the clock where nobody saw the signature and nobody needs to have", async () => {
      const candidate = await scene.sign({ entries: [] });
      await expectVerified(candidate, alone(), { now: SIGNED_AT });
      await expectRefused("no log entry or timestamp by the trust root shows", candidate, alone());
      await expectRefused("certificate was issued after", candidate, alone(), { now: minutesAfter(-2) });
    });

    it("takes the time of an entry that it does not ask for, if that verifies", async () => {
      await expectVerified(await scene.sign(), alone());
      const strange = scene.keyless({ log: { kind: "ignored" }, ...root({ logs: [] }) });
      await expectRefused("certificate has expired", await scene.sign(), strange);
      await expectRefused(
        "certificate has expired",
        await scene.sign({ logged: { signature: Buffer.from("another") } }),
        alone(),
      );
    });

    it("wants every time that was seen to lie in the certificate's validity", async () => {
      await expectVerified(await scene.sign({ timestamps: [minutesAfter(1)] }), scene.keyless());
      await expectRefused(
        "certificate expired before",
        await scene.sign({ timestamps: [minutesAfter(30)] }),
        scene.keyless(),
      );
    });
  });

  describe("certificate transparency", () => {
    it("asks for a promise of a log of the trust root", async () => {
      const unpublished = forgeCertificate({
        ...{ name: "leaf", issuer: scene.intermediate, subjects: [email(ALICE)], purposes: [CODE_SIGNING] },
        ...{ notBefore: minutesAfter(-1), notAfter: minutesAfter(9), extensions: [[`${FULCIO}.8`, utf8(ISSUER)]] },
      });
      const missing = await scene.sign({ leaf: unpublished });
      await expectRefused("no signed certificate timestamp (SCT)", missing, scene.keyless());
      await expectVerified(missing, scene.keyless({ ignoreSct: true }));
      for (const passingFor of [newKey(), scene.ctLog.key]) {
        const forged = await scene.sign({ leaf: scene.leaf({ ctLog: { key: newKey(), at: SIGNED_AT, passingFor } }) });
        await expectRefused("by a certificate transparency log of the trust root", forged, scene.keyless());
        await expectVerified(forged, scene.keyless({ ignoreSct: true }));
      }
    });

    it("respects the validity of the log's key, and reads promises with extensions", async () => {
      const none = "is by a certificate transparency log of the trust root";
      await expectRefused(none, await scene.sign(), scene.keyless(root({ ctWindow: { start: minutesAfter(1) } })));
      await expectRefused(none, await scene.sign(), scene.keyless(root({ ctWindow: { end: minutesAfter(-1) } })));
      await expectVerified(await scene.sign(), scene.keyless(root({ ctWindow: { start: SIGNED_AT, end: SIGNED_AT } })));
      const tiled = { ...scene.ctLog, sctExtensions: Buffer.from([0, 0, 5, 0, 0, 0, 0, 1]) };
      await expectVerified(await scene.sign({ leaf: scene.leaf({ ctLog: tiled }) }), scene.keyless());
    });

    it("knows logs by their key, whatever ID the trust root writes", async () => {
      const hex = (id: Buffer): Buffer => Buffer.from(id.toString("hex"), "latin1"); // as policy-controller writes it
      const trustedRoot = scene.trustedRoot({ logId: hex });
      const authority = scene.keyless({
        issuers: { kind: "trusted-root", trustedRoot },
        log: { kind: "required", trustedRoot },
      });
      await expectVerified(await scene.sign(), authority);
      await expectVerified(await scene.sign({ entries: ["hashedrekord 0.0.2"], timestamps: [SIGNED_AT] }), authority);
    });
  });
});
