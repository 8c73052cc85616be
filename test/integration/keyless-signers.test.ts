import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { attest, sign } from "sigstore";
import type { AuthorityOutcome } from "../../core/policy/types.ts";
import { trustedRootOfKeys } from "../../core/trust/sigstorekeys.ts";
import type { Authority, Identity } from "../../crds/index.ts";
import { getManifest, putManifest } from "../support/registry.ts";
import { Keyless } from "../support/sigstore/keyless.ts";
import type { Bearer } from "../support/sigstore/oidc.ts";
import { pushBundle } from "../support/sigstore/referrer.ts";
import { startRekor } from "../support/sigstore/rekor.ts";
import { type RekorV1, startRekorV1 } from "../support/sigstore/rekor-v1.ts";
import { KeylessStage, type StagedImage } from "../support/sigstore/stage.ts";
import { replaceByTripwires } from "../support/sigstore/tripwires.ts";
import { sigstoreKeys } from "../support/sigstore/trusted-root.ts";
import { messageIn } from "../support/verifying.ts";

const ACCOUNT: Bearer = { kind: "kubernetes", namespace: "default", serviceAccount: "default" };
const ANYONE: Identity = { issuerRegExp: ".+", subjectRegExp: ".+" };
const IN_TOTO = "application/vnd.in-toto+json";

const keyless = (more: Authority, identity = ANYONE): Authority => ({
  keyless: { url: "https://fulcio.example.com", trustRootRef: "test", identities: [identity] },
  ...more,
});
const BY_LOG: Authority = { ctlog: { trustRootRef: "test" } };
const BY_TIMESTAMP: Authority = { rfc3161timestamp: { trustRootRef: "test" } };

describe("signatures and the servers of Sigstore", function () {
  this.timeout(120_000);
  let stage: KeylessStage;
  const extra: { stop(): Promise<void> }[] = [];

  before(async function () {
    this.timeout(0); // the first run on a machine builds the servers
    stage = await KeylessStage.open();
  });

  after(async () => {
    await Promise.all(extra.map((server) => server.stop()));
    await stage?.close();
  });

  const judge = (authority: Authority, image: StagedImage): Promise<AuthorityOutcome> =>
    stage.judge(authority, image, { test: stage.sigstore });
  const said = async (authority: Authority, image: StagedImage): Promise<string> => {
    const outcome = await judge(authority, image);
    return outcome.kind === "matched" ? outcome.kind : `${outcome.kind}: ${messageIn(outcome)}`;
  };

  describe("made with the sigstore package of npm", () => {
    const options = async () => ({
      fulcioURL: stage.sigstore.fulcio.url,
      rekorURL: stage.sigstore.rekorV1.url,
      tsaServerURL: new URL(stage.sigstore.tsa.url).origin,
      identityToken: await stage.sigstore.oidc.token(ACCOUNT),
    });

    it("over the manifest itself: match; a bundle over another manifest does not", async () => {
      const [image, other] = [await stage.image(), await stage.image()];
      const manifest = await getManifest(stage.registry, image.reference.repository, image.digest);
      const bundle = await sign(manifest, await options());
      await pushBundle(stage.registry, image.reference.repository, image.digest, bundle);
      await pushBundle(stage.registry, other.reference.repository, other.digest, bundle);
      for (const observers of [BY_LOG, BY_TIMESTAMP]) {
        expect(await said(keyless(observers), image)).to.equal("matched");
        expect(await said(keyless(observers), other)).to.match(/^failed: no matching signatures: /);
      }
    });

    it("over a statement: matches as an attestation of its type; a statement about another image does not", async () => {
      const [image, other] = [await stage.image(), await stage.image()];
      const predicateType = "https://example.com/tested/v1";
      const statement = {
        _type: "https://in-toto.io/Statement/v1",
        subject: [{ name: "app", digest: { sha256: image.digest.replace("sha256:", "") } }],
        predicateType,
        predicate: { passed: true },
      };
      const bundle = await attest(Buffer.from(JSON.stringify(statement)), IN_TOTO, await options());
      await pushBundle(stage.registry, image.reference.repository, image.digest, bundle);
      await pushBundle(stage.registry, other.reference.repository, other.digest, bundle);
      for (const observers of [BY_LOG, BY_TIMESTAMP]) {
        const authority = keyless({ ...observers, attestations: [{ name: "tested", predicateType }] });
        expect(await said(authority, image)).to.equal("matched");
        expect(await said(authority, other)).to.match(/^failed: no matching attestations/);
      }
    });
  });

  describe("in a log of another kind", () => {
    it("whose key is Ed25519, as Sigstore's own: match by that key and by no other", async () => {
      const dir = mkdtempSync(join(tmpdir(), "entrepot-rekor-"));
      const rekor = await startRekor(join(dir, "rekor"), "ed25519");
      const sigstore = { ...stage.sigstore, rekor };
      const keylessThere = new Keyless(stage.cosign, sigstore);
      try {
        const image = await stage.image();
        await keylessThere.sign(image.pinned, ACCOUNT, { form: "bundle", log: 2 });
        await keylessThere.verify(image.pinned, { form: "bundle", log: 2 });
        for (const test of [sigstore, trustedRootOfKeys(sigstoreKeys(sigstore))]) {
          const outcome = await stage.judge(keyless({ ctlog: { trustRootRef: "test" } }), image, { test });
          expect(outcome.kind, messageIn(outcome)).to.equal("matched");
        }
        expect(await said(keyless(BY_LOG), image)).to.match(/^failed: .*signature not found in transparency log/);
      } finally {
        keylessThere.dispose();
        await rekor.stop();
        rmSync(dir, { recursive: true, force: true });
      }
    });
  });

  describe("kept elsewhere", () => {
    it("match under a tag prefix with it and only with it", async () => {
      const image = await stage.image();
      await stage.keyless.sign(image.pinned, ACCOUNT, { form: "classic", flags: ["--attachment-tag-prefix=release"] });
      expect(await said(keyless({ ...BY_TIMESTAMP, source: [{ tagPrefix: "release" }] }), image)).to.equal("matched");
      expect(await said(keyless(BY_TIMESTAMP), image)).to.match(/^failed: no signatures found/);
    });
  });

  describe("whose log entry is not beside them", () => {
    let log: RekorV1;
    before(async () => {
      log = await startRekorV1();
      extra.push(log);
    });

    /** A classic signature by a key, in the instance's log but without the entry that cosign stores. */
    async function withoutEntry(key: string): Promise<StagedImage> {
      const image = await stage.image();
      await stage.keyless.sign(image.pinned, ACCOUNT, { form: "classic", log: 1, timestamp: false, key });
      const { repository } = image.reference;
      const tag = `${image.digest.replace(":", "-")}.sig`;
      const manifest = JSON.parse((await getManifest(stage.registry, repository, tag)).toString());
      expect(manifest.layers[0].annotations).to.have.property("dev.sigstore.cosign/bundle");
      delete manifest.layers[0].annotations["dev.sigstore.cosign/bundle"];
      await putManifest(stage.registry, repository, tag, manifest);
      return image;
    }

    it("are looked up in the log that the policy names", async () => {
      const { key, publicKey } = await stage.cosign.generateKeyPair("looked-up");
      const image = await withoutEntry(key);
      const { rekorV1, rekor: _, ...rest } = stage.sigstore;
      const authority: Authority = { key: { data: publicKey }, ctlog: { url: rekorV1.url } };
      const before = rekorV1.lookups();
      const outcome = await stage.judge(authority, image, { publicGood: { ...rest, rekorV1 } });
      expect(outcome.kind, messageIn(outcome)).to.equal("matched");
      expect(rekorV1.lookups()).to.equal(before + 1);

      const elsewhere: Authority = { key: { data: publicKey }, ctlog: { url: log.url } };
      const missing = await stage.judge(elsewhere, image, { publicGood: { ...rest, rekorV1: log } });
      expect(missing.kind).to.equal("failed");
      expect(messageIn(missing)).to.contain("signature not found in transparency log");

      const nobody: Authority = { key: { data: publicKey }, ctlog: { url: "http://127.0.0.1:1" } };
      const unknown = await stage.judge(nobody, image, { publicGood: { ...rest, rekorV1 } });
      expect(unknown.kind).to.equal("undecided");
      expect(messageIn(unknown)).to.contain("could not be asked");
    });
  });

  describe("last, when the servers are gone", () => {
    it("verify, and without a request to where they were", async () => {
      const images = [];
      for (const how of [{ form: "bundle", log: 2 }, { form: "classic", log: 1 }, { form: "classic" }] as const) {
        const image = await stage.image();
        await stage.keyless.sign(image.pinned, ACCOUNT, how);
        images.push(image);
      }
      const { rekorV1 } = stage.sigstore;
      const { requests, ...tripwires } = await replaceByTripwires(stage.sigstore);
      extra.push(tripwires);
      const [bundle, logged, stamped] = images as [StagedImage, StagedImage, StagedImage];
      const url = { ctlog: { trustRootRef: "test", url: rekorV1.url } };
      for (const authority of [keyless(BY_LOG), keyless(url), keyless(BY_TIMESTAMP)])
        expect(await said(authority, bundle)).to.equal("matched");
      expect(await said(keyless(url), logged)).to.equal("matched");
      expect(await said(keyless(BY_TIMESTAMP), stamped)).to.equal("matched");
      expect(requests).to.deep.equal([]);
      // The negative control: who counts does count, where a log has to be asked.
      await said(keyless(url), stamped);
      expect(requests).to.deep.equal(["POST /api/v1/log/entries/retrieve"]);
    });
  });
});
