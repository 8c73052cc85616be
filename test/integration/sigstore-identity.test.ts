import { expect } from "chai";
import { utf8 } from "../../core/certificates/der.ts";
import type { CertificateIdentity, KeylessAuthority, TextMatcher } from "../../core/policy/types.ts";
import {
  dns,
  email,
  FULCIO,
  forgeCertificate,
  newKey,
  pem,
  spki,
  uri,
  userName,
} from "../support/sigstore/forged-certificates.ts";
import { ALICE, ForgedScene, ISSUER, minutesAfter, SIGNED_AT } from "../support/sigstore/forged-scene.ts";
import { expectRefused, expectUndecided, expectVerified, judge } from "../support/sigstore/verdicts.ts";

const exact = (text: string): TextMatcher => ({ kind: "exact", text });
const pattern = (text: string): TextMatcher => ({ kind: "pattern", text });
const identity = (issuer: TextMatcher, subject: TextMatcher): CertificateIdentity => ({ issuer, subject });
const anyone = [identity(pattern(""), pattern(""))];

describe("who signed, and who says so", () => {
  let scene: ForgedScene;

  before(async () => {
    scene = await ForgedScene.open();
  });

  describe("identities", () => {
    const names = {
      subjects: [dns("host.example.com"), email(ALICE), uri("https://example.com/w"), userName("alice!example")],
    };

    it("compares every form of name, and keeps the first", async () => {
      const leaf = scene.leaf({ ...names });
      const candidate = await scene.sign({ leaf });
      for (const name of ["host.example.com", ALICE, "https://example.com/w", "alice!example"]) {
        const verdict = await judge(candidate, scene.keyless({ identities: [identity(exact(ISSUER), exact(name))] }));
        expect(verdict).to.have.nested.property("fact.subject", "host.example.com");
      }
      await expectRefused(
        `none of the expected identities matched what was in the certificate, got subjects [host.example.com, ${ALICE}, https://example.com/w, alice!example] with issuer ${ISSUER}`,
        candidate,
        scene.keyless({ identities: [identity(exact(ISSUER), exact("alice"))] }),
      );
    });

    const cases: readonly [what: string, identity: CertificateIdentity, matches: boolean][] = [
      ["an exact issuer and subject", identity(exact(ISSUER), exact(ALICE)), true],
      ["another issuer", identity(exact("https://evil.example.com"), exact(ALICE)), false],
      ["another subject", identity(exact(ISSUER), exact("bob@example.com")), false],
      ["an exact text is no pattern", identity(exact(ISSUER), exact(".*")), false],
      ["an unanchored pattern", identity(pattern("accounts"), pattern("lice@ex")), true],
      ["an anchored pattern", identity(pattern("^https://accounts"), pattern("^lice")), false],
    ];
    for (const [what, expected, matches] of cases) {
      it(`${matches ? "accepts" : "refuses"}: ${what}`, async () => {
        const authority = scene.keyless({ identities: [identity(exact("nobody"), exact("nobody")), expected] });
        if (matches) await expectVerified(await scene.sign(), authority);
        else await expectRefused("none of the expected identities matched", await scene.sign(), authority);
      });
    }

    it("reads the legacy issuer extension where the new one is not there", async () => {
      const of = (extensions: [string, Buffer][]) => scene.sign({ leaf: scene.leaf({ extensions }) });
      await expectVerified(await of([[`${FULCIO}.1`, Buffer.from(ISSUER)]]), scene.keyless());
      await expectRefused(
        "with issuer https://new",
        await of([
          [`${FULCIO}.1`, Buffer.from(ISSUER)],
          [`${FULCIO}.8`, utf8("https://new")],
        ]),
        scene.keyless(),
      );
      await expectRefused("with issuer ", await of([]), scene.keyless());
    });

    it("takes no foreign byte for the letter that it resembles", async () => {
      const almost = Buffer.from(email(ALICE));
      almost[2] = (almost[2] ?? 0) | 0x80; // 'a' with the high bit, which 7-bit decoding drops
      await expectRefused(
        "a name of the certificate is not ASCII",
        await scene.sign({ leaf: scene.leaf({ subjects: [almost] }) }),
        scene.keyless(),
      );
    });
  });

  describe("ca-cert", () => {
    const issuers = (text: string): Partial<KeylessAuthority> => ({ issuers: { kind: "certificates", pem: text } });

    it("believes certificates of the authority, asking for no SCT", async () => {
      const leaf = scene.leaf({ ctLog: { key: newKey(), at: SIGNED_AT } });
      const both = pem(scene.intermediate.der) + pem(scene.root.der);
      await expectVerified(await scene.sign({ leaf }), scene.keyless(issuers(both)));
      await expectVerified(await scene.sign({ leaf }), scene.keyless(issuers(pem(scene.intermediate.der))));
      await expectRefused("unknown authority", await scene.sign({ leaf }), scene.keyless(issuers(pem(scene.root.der))));
      await expectRefused(
        "certificate has expired",
        await scene.sign({ leaf }),
        scene.keyless({ ...issuers(both), log: { kind: "ignored" } }),
      );
    });

    it("believes certificates that the key signed", async () => {
      const key = (of: typeof scene.root) => pem(spki(of.key)).replaceAll("CERTIFICATE", "PUBLIC KEY");
      const byKey = (of: typeof scene.root) => scene.keyless({ issuers: { kind: "key", pem: key(of) } });
      await expectVerified(await scene.sign(), byKey(scene.intermediate));
      await expectRefused("not signed by the key of ca-cert", await scene.sign(), byKey(scene.root));
    });

    it("cannot decide where the authority is unreadable", async () => {
      for (const kind of ["certificates", "key"] as const) {
        const authority = scene.keyless({ issuers: { kind, pem: "nonsense" } });
        await expectUndecided("the authority cannot be used: ca-cert holds no", await scene.sign(), authority);
      }
      const broken = scene.keyless({ issuers: { kind: "trusted-root", trustedRoot: "{" } });
      await expectUndecided("the trusted root cannot be used", await scene.sign(), broken);
    });

    it("accepts a leaf that names no purpose, but none without a name", async () => {
      const own = scene.keyless({ ...issuers(pem(scene.root.der)), identities: anyone });
      const life = { notBefore: minutesAfter(-1), notAfter: minutesAfter(9) };
      const nameless = forgeCertificate({ name: "own", issuer: scene.root, ...life });
      await expectRefused("none of the expected identities matched", await scene.sign({ leaf: nameless }), own);
      const named = forgeCertificate({ name: "own", issuer: scene.root, ...life, subjects: [email(ALICE)] });
      await expectVerified(await scene.sign({ leaf: named }), own);
      const purposes = ["1.3.6.1.5.5.7.3.1"];
      const server = forgeCertificate({ name: "own", issuer: scene.root, ...life, purposes, subjects: [email(ALICE)] });
      await expectRefused("certificate is not for code signing", await scene.sign({ leaf: server }), own);
    });
  });
});
