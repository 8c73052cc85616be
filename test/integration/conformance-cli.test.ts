import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bundleToJSON, toDSSEBundle, toMessageSignatureBundle } from "@sigstore/bundle";
import { expect } from "chai";
import type { Candidate } from "../../adapters/sigstore/candidate.ts";
import { generatePem } from "../support/keys.ts";
import { sha256 } from "../support/sigstore/forged-certificates.ts";
import { ALICE, ForgedScene, ISSUER, SIGNED_AT, type SigningOptions } from "../support/sigstore/forged-scene.ts";

interface Ended {
  readonly status: number;
  readonly error: string;
}

const PROGRAM = join(import.meta.dirname, "../../cli/conformance.ts");

function run(...args: readonly string[]): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(process.execPath, [PROGRAM, ...args], { timeout: 30_000 }, (error, _out, stderr) => {
      resolve({ status: error === null ? 0 : Number(error.code), error: stderr });
    });
  });
}

/** The bundle of a candidate, as a client writes it. */
function bundleOf({ envelope, signedBytes, signature, material }: Candidate, hint?: string): string {
  const { certificate } = material;
  const made =
    envelope === undefined
      ? toMessageSignatureBundle({
          signature,
          digest: sha256(signedBytes),
          ...(certificate && { certificate }),
          ...(hint && { keyHint: hint }),
        })
      : toDSSEBundle({
          artifact: envelope.payload,
          artifactType: envelope.payloadType,
          signature,
          ...(certificate && { certificate }),
          ...(hint && { keyHint: hint }),
        });
  made.verificationMaterial.tlogEntries = [...material.logEntries] as typeof made.verificationMaterial.tlogEntries;
  const rfc3161Timestamps = material.timestamps.map((signedTimestamp) => ({ signedTimestamp }));
  made.verificationMaterial.timestampVerificationData = { rfc3161Timestamps };
  return JSON.stringify(bundleToJSON(made));
}

describe("cli/conformance.ts", function () {
  this.timeout(120_000);
  let scene: ForgedScene;
  let dir: string;

  before(async () => {
    scene = await ForgedScene.open();
    dir = mkdtempSync(join(tmpdir(), "entrepot-conformance-"));
    file("root.json", scene.trustedRoot());
  });

  after(() => rmSync(dir, { recursive: true, force: true }));

  function file(name: string, content: string | Buffer): string {
    const path = join(dir, name);
    writeFileSync(path, content);
    return path;
  }

  const identity = (subject = ALICE, issuer = ISSUER): readonly string[] => [
    "--certificate-identity",
    subject,
    "--certificate-oidc-issuer",
    issuer,
  ];

  /** Verifies what `options` sign, as `signer` says, against the artifact or what is given for it. */
  async function verify(options: SigningOptions, signer: readonly string[], artifact?: string): Promise<Ended> {
    const candidate = await scene.sign({ timestamps: [SIGNED_AT], ...options });
    const bundle = file("bundle.json", bundleOf(candidate, options.bare === undefined ? undefined : "hint"));
    const signed = artifact ?? file("artifact", candidate.signedBytes);
    return run("verify-bundle", "--bundle", bundle, ...signer, "--trusted-root", join(dir, "root.json"), signed);
  }

  it("verifies by identity, given the artifact or its digest", async () => {
    expect(await verify({}, identity())).to.deep.equal({ status: 0, error: "" });
    const digest = `sha256:${sha256((await scene.sign()).signedBytes).toString("hex")}`;
    expect(await verify({}, identity(), digest)).to.deep.equal({ status: 0, error: "" });
    expect(
      await verify(
        {},
        identity(),
        digest.replace(/.$/, (last) => (last === "0" ? "1" : "0")),
      ),
    ).to.have.property("status", 1);
  });

  it("verifies by key", async () => {
    const { publicKey, signer } = generatePem("P-256");
    expect(await verify({ bare: signer }, ["--key", file("key.pub", publicKey)])).to.deep.equal({
      status: 0,
      error: "",
    });
    const wrong = await verify({ bare: signer }, ["--key", file("other.pub", generatePem("P-256").publicKey)]);
    expect(wrong).to.deep.equal({ status: 1, error: "not verified: not signed by this authority's key\n" });
  });

  it("refuses another identity, artifact, or instance, and what no log saw", async () => {
    const unknown = await verify({}, identity("bob@example.com"));
    expect(unknown.status).to.equal(1);
    expect(unknown.error).to.contain("none of the expected identities matched");
    expect(await verify({}, identity(), file("other", "other"))).to.have.property("status", 1);
    expect(await verify({ logged: { signature: Buffer.from("another") } }, identity())).to.have.property("status", 1);
    const candidate = await scene.sign();
    const bundle = file("bundle.json", bundleOf(candidate));
    const publicGood = await run(
      "verify-bundle",
      "--bundle",
      bundle,
      ...identity(),
      file("artifact", candidate.signedBytes),
    );
    expect(publicGood).to.have.property("status", 1);
    expect(publicGood.error).to.contain("certificate signed by unknown authority");
  });

  it("wants the subject of a statement to be the artifact", async () => {
    const artifact = Buffer.from("artifact");
    const subject = [{ name: "a", digest: { sha256: sha256(artifact).toString("hex") } }];
    const statement = JSON.stringify({
      _type: "https://in-toto.io/Statement/v1",
      predicateType: "https://example.com/p",
      subject,
    });
    const options: SigningOptions = { form: "envelope", payload: Buffer.from(statement), entries: ["dsse 0.0.1"] };
    expect(await verify(options, identity(), file("artifact", artifact))).to.deep.equal({ status: 0, error: "" });
    const other = await verify(options, identity(), file("other", "other"));
    expect(other.status).to.equal(1);
    expect(other.error).to.contain("no subject of its statement has this digest");
  });

  it("says how it is called, and that it does not sign", async () => {
    for (const args of [
      [],
      ["verify-bundle"],
      ["verify-bundle", "--bundle", "x", "--key", "y", ...identity(), "z"],
      ["verify-bundle", "--unknown"],
    ]) {
      const ended = await run(...args);
      expect(ended.status).to.equal(2);
      expect(ended.error).to.contain("Usage: conformance.ts verify-bundle");
    }
    expect(await run("sign-bundle")).to.deep.equal({
      status: 2,
      error: "sign-bundle is not supported: this program verifies\n",
    });
  });

  it("refuses what it cannot read", async () => {
    const missing = await run("verify-bundle", "--bundle", join(dir, "missing"), ...identity(), join(dir, "root.json"));
    expect(missing).to.have.property("status", 1);
    const garbage = await run(
      "verify-bundle",
      "--bundle",
      file("garbage", "{}"),
      ...identity(),
      join(dir, "root.json"),
    );
    expect(garbage).to.have.property("status", 1);
    expect(garbage.error).to.contain("is no Sigstore bundle");
    const staging = await run(
      "verify-bundle",
      "--staging",
      "--bundle",
      join(dir, "garbage"),
      ...identity(),
      join(dir, "root.json"),
    );
    expect(staging).to.have.property("status", 1);
    expect(staging.error).to.contain("--trusted-root");
  });
});
