import { expect } from "chai";
import type { AuthorityOutcome } from "../../core/policy/types.ts";
import type { Authority, Identity } from "../../crds/index.ts";
import { generatePem } from "../support/keys.ts";
import { newAuthority } from "../support/sigstore/authority.ts";
import type { HowToSign } from "../support/sigstore/keyless.ts";
import { type Bearer, COMMIT } from "../support/sigstore/oidc.ts";
import { KeylessStage, type Roots, type StagedImage } from "../support/sigstore/stage.ts";
import type { TrustMaterial } from "../support/sigstore/trusted-root.ts";

const ACCOUNT: Bearer = { kind: "kubernetes", namespace: "default", serviceAccount: "default" };
const ACCOUNT_URI = "https://kubernetes.io/namespaces/default/serviceaccounts/default";
const ALICE: Bearer = { kind: "email", address: "alice@example.com" };
const WORKFLOW: Bearer = {
  kind: "github",
  repository: "team/app",
  file: ".github/workflows/release.yaml",
  ref: "refs/heads/main",
};
const ANYONE: Identity = { issuerRegExp: ".+", subjectRegExp: ".+" };
const LOG_URL = "https://rekor.example.com";

/** What a policy asks for beside the certificate. */
const BY_LOG: Authority = { ctlog: { url: LOG_URL } };
const BY_LOG_OF_ROOT: Authority = { ctlog: { trustRootRef: "test" } };
const BY_TIMESTAMP: Authority = { rfc3161timestamp: { trustRootRef: "test" } };

interface Signing {
  readonly name: string;
  readonly how: HowToSign;
  readonly observers: Authority;
}

const SIGNINGS: readonly Signing[] = [
  { name: "a bundle in Rekor 2, timestamped", how: { form: "bundle", log: 2 }, observers: BY_LOG },
  { name: "a bundle in Rekor 2, for its timestamp", how: { form: "bundle", log: 2 }, observers: BY_TIMESTAMP },
  { name: "a bundle in Rekor 1 alone", how: { form: "bundle", log: 1, timestamp: false }, observers: BY_LOG },
  { name: "a bundle with a timestamp alone", how: { form: "bundle" }, observers: BY_TIMESTAMP },
  { name: "classic, in Rekor 1 alone", how: { form: "classic", log: 1, timestamp: false }, observers: BY_LOG },
  { name: "classic, in the log of a TrustRoot", how: { form: "classic", log: 1 }, observers: BY_LOG_OF_ROOT },
  { name: "classic, with a timestamp alone", how: { form: "classic" }, observers: BY_TIMESTAMP },
];

describe("keyless signatures by the real cosign and Fulcio", function () {
  this.timeout(120_000);
  let stage: KeylessStage;
  let material: TrustMaterial;

  before(async function () {
    this.timeout(0); // the first run on a machine builds the servers
    stage = await KeylessStage.open();
    material = stage.sigstore;
  });

  after(() => stage?.close());

  const both = (root: TrustMaterial): Roots => ({ test: root, publicGood: root });
  const keyless = (identity: Identity, more: Authority = {}): Authority => ({
    keyless: { url: "https://fulcio.example.com", trustRootRef: "test", identities: [identity] },
    ...more,
  });
  const judge = (authority: Authority, image: StagedImage, root = material, now?: Date): Promise<AuthorityOutcome> =>
    stage.judge(authority, image, both(root), now);

  async function signed(how: HowToSign, bearer = ACCOUNT): Promise<StagedImage> {
    const image = await stage.image();
    await stage.keyless.sign(image.pinned, bearer, how);
    return image;
  }

  function matched(outcome: AuthorityOutcome): void {
    expect(outcome.kind, JSON.stringify(outcome)).to.equal("matched");
  }

  function refused(outcome: AuthorityOutcome, why: RegExp | string): void {
    expect(outcome.kind, JSON.stringify(outcome)).to.equal("failed");
    if (outcome.kind === "failed") expect(outcome.message).to.match(why instanceof RegExp ? why : new RegExp(why));
  }

  /** One part of a stranger's trust material, and why nothing matches with it. */
  const strangers = {
    "certificate authority": {
      root: () => ({ fulcio: { url: "http://x", chain: [newAuthority("stranger").pem] } }),
      why: /certificate signed by unknown authority/,
    },
    "log of certificates": {
      root: () => ({ ctLog: { url: "http://x", publicKey: generatePem("P-256").publicKey } }),
      why: /no signed certificate timestamp/,
    },
    "transparency log": {
      root: () => {
        const key = { publicKey: generatePem("P-256").publicKey };
        const { rekor, rekorV1 } = stage.sigstore;
        return { rekor: { url: rekor.url, ...key }, rekorV1: { url: rekorV1.url, ...key } };
      },
      why: /signature not found in transparency log: the log entry is by no transparency log of the trust root/,
    },
    "timestamp authority": {
      root: () => ({ tsa: { url: "http://x", chain: [newAuthority("stranger").pem] } }),
      why: /the timestamp is by no timestamp authority of the trust root/,
    },
  };

  for (const { name, how, observers } of SIGNINGS) {
    describe(name, () => {
      let image: StagedImage;
      before(async () => {
        image = await signed(how);
      });

      it("are good for cosign itself", () => stage.keyless.verify(image.pinned, how));

      it("match by exact issuer and subject, and tell them", async () => {
        const issuer = stage.sigstore.oidc.issuer("kubernetes");
        const outcome = await judge(keyless({ issuer, subject: ACCOUNT_URI }, observers), image);
        matched(outcome);
        if (outcome.kind !== "matched") return;
        const [fact] = outcome.match.signatures ?? [];
        expect(fact).to.include({ subject: ACCOUNT_URI, issuer });
        expect(fact?.id).to.match(/^[0-9a-f]{64}$/);
      });

      it("do not match another identity, in cosign's words", async () => {
        const issuer = stage.sigstore.oidc.issuer("kubernetes");
        for (const other of [
          { issuer, subject: `${ACCOUNT_URI}x` },
          { issuer: `${issuer}x`, subject: ACCOUNT_URI },
        ]) {
          const words =
            "none of the expected identities matched what was in the certificate, " +
            `got subjects \\[${ACCOUNT_URI}\\] with issuer ${issuer}`;
          refused(await judge(keyless(other, observers), image), words);
        }
      });

      const observer = observers === BY_TIMESTAMP ? "timestamp authority" : "transparency log";
      for (const part of ["certificate authority", "log of certificates", observer] as const) {
        it(`do not match where the ${part} is another's`, async () => {
          const { root, why } = strangers[part];
          refused(await judge(keyless(ANYONE, observers), image, { ...material, ...root() }), why);
          matched(await judge(keyless(ANYONE, observers), image));
        });
      }

      it("match long after their certificate has expired", async () => {
        const later = new Date(Date.now() + 180 * 86_400_000);
        matched(await judge(keyless(ANYONE, observers), image, material, later));
      });
    });
  }

  describe("who signed", () => {
    it("is matched by regular expressions that are not anchored", async () => {
      const image = await signed({ form: "bundle", log: 2 });
      matched(
        await judge(
          keyless({ issuerRegExp: ".*kubernetes.default.*", subjectRegExp: "namespaces/default/.*/default" }, BY_LOG),
          image,
        ),
      );
      refused(
        await judge(keyless({ issuerRegExp: "^kubernetes", subjectRegExp: ".*" }, BY_LOG), image),
        /none of the expected identities matched/,
      );
    });

    it("may be an address; any identity of a list suffices", async () => {
      const image = await signed({ form: "classic" }, ALICE);
      const issuer = stage.sigstore.oidc.issuer("email");
      const identities = [
        { issuer, subject: "bob@example.com" },
        { issuer, subject: "alice@example.com" },
      ];
      const authority: Authority = { keyless: { trustRootRef: "test", url: "https://x", identities }, ...BY_TIMESTAMP };
      matched(await judge(authority, image));
      const bob: Authority = { ...authority, keyless: { ...authority.keyless, identities: identities.slice(0, 1) } };
      refused(await judge(bob, image), `got subjects \\[alice@example\\.com\\] with issuer ${issuer}`);
    });

    it("may be a workflow, and policies see what started it", async () => {
      const image = await signed({ form: "bundle", log: 2 }, WORKFLOW);
      const outcome = await judge(keyless(ANYONE, BY_LOG), image);
      matched(outcome);
      if (outcome.kind !== "matched") return;
      expect(outcome.match.signatures?.[0]).to.include({
        subject: "https://github.com/team/app/.github/workflows/release.yaml@refs/heads/main",
        githubWorkflowTrigger: "push",
        githubWorkflowSha: COMMIT,
        githubWorkflowName: "release",
        githubWorkflowRepo: "team/app",
        githubWorkflowRef: "refs/heads/main",
      });
    });
  });

  describe("what has to be there", () => {
    it("a timestamp, where one is asked for", async () => {
      const image = await signed({ form: "classic", log: 1, timestamp: false });
      refused(await judge(keyless(ANYONE, BY_TIMESTAMP), image), /timestamp/);
      matched(await judge(keyless(ANYONE, BY_LOG), image));
    });

    it("an entry in a log, for the public-good instance even where a policy does not say so", async () => {
      const publicGood: Authority = { keyless: { url: "https://fulcio.sigstore.dev", identities: [ANYONE] } };
      refused(await judge(publicGood, await signed({ form: "classic" })), /transparency log/);
      matched(await judge(publicGood, await signed({ form: "classic", log: 1, timestamp: false })));
    });

    it("neither, for a TrustRoot without ctlog, while the certificate lives; then no longer", async () => {
      const image = await signed({ form: "classic", timestamp: false });
      matched(await judge(keyless(ANYONE), image));
      const later = new Date(Date.now() + 3_600_000);
      refused(await judge(keyless(ANYONE), image, material, later), /expire|valid/);
    });

    it("the promise of a log of certificates, unless insecureIgnoreSCT", async () => {
      const image = await signed({ form: "bundle", log: 2 });
      const { ctLog: _, ...without } = { ...material };
      refused(
        await judge(keyless(ANYONE, BY_LOG), image, without),
        /SCT|certificate timestamp|certificate transparency/,
      );
      const ignoring = keyless(ANYONE, BY_LOG);
      const authority = { ...ignoring, keyless: { ...ignoring.keyless, insecureIgnoreSCT: true } };
      matched(await judge(authority, image, without));
    });

    it("the trust root that the policy names", async () => {
      const image = await signed({ form: "bundle", log: 2 });
      const authority: Authority = {
        keyless: { url: "https://x", trustRootRef: "missing", identities: [ANYONE] },
        ...BY_LOG,
      };
      refused(await judge(authority, image), /trustRootRef missing not found/);
    });
  });

  describe("with ca-cert in place of a trust root", () => {
    const asked = (pem: string): Authority => ({
      keyless: { "ca-cert": { data: pem }, identities: [ANYONE] },
      ...BY_TIMESTAMP,
    });

    it("match by root and intermediate, not by another's", async () => {
      const { chain } = stage.sigstore.fulcio;
      for (const form of ["classic", "bundle"] as const) {
        const image = await signed({ form });
        matched(await judge(asked(chain.join("")), image));
        refused(await judge(asked(newAuthority("stranger").pem), image), /certificate signed by unknown authority/);
      }
    });

    it("ask for the identity too", async () => {
      const image = await signed({ form: "classic" });
      const authority = asked(stage.sigstore.fulcio.chain.join(""));
      const other = { ...authority, keyless: { ...authority.keyless, identities: [{ issuer: "x", subject: "y" }] } };
      refused(await judge(other, image), /none of the expected identities matched/);
    });
  });

  describe("attestations", () => {
    const custom = "https://cosign.sigstore.dev/attestation/v1";
    const attesting = (more: Authority, identity: Identity = ANYONE): Authority =>
      keyless(identity, { ...more, attestations: [{ name: "custom", predicateType: custom }] });

    for (const { name, how, observers } of SIGNINGS) {
      it(`${name}: match by their type and signer, and an image's signature is none`, async () => {
        const image = await stage.image();
        await stage.keyless.attest(image.pinned, ACCOUNT, "custom", "foobar", how);
        const outcome = await judge(attesting(observers), image);
        matched(outcome);
        if (outcome.kind === "matched") {
          expect(outcome.match.attestations?.["custom"]?.[0]).to.include({
            subject: ACCOUNT_URI,
            predicateType: custom,
          });
        }
        refused(
          await judge(attesting(observers, { issuer: "x", subject: "y" }), image),
          /none of the expected identities/,
        );
        const vuln = keyless(ANYONE, { ...observers, attestations: [{ name: "v", predicateType: "vuln" }] });
        refused(await judge(vuln, image), /no matching attestations with type vuln/);
        refused(await judge(attesting(observers), await signed(how)), /no matching attestations|no attestations found/);
      });
    }
  });
});
