import { createPublicKey } from "node:crypto";
import { expect } from "chai";
import { isWithin, parseTrustedRoot, trustedRootReader } from "../../adapters/sigstore/trustmaterial.ts";
import { installedCopy } from "../../adapters/trust/publicgood.ts";
import { generatePem } from "../support/keys.ts";
import { sha256, spki } from "../support/sigstore/forged-certificates.ts";
import { ForgedScene } from "../support/sigstore/forged-scene.ts";

describe("trusted roots", () => {
  let scene: ForgedScene;

  before(async () => {
    scene = await ForgedScene.open();
  });

  const changed = (change: (root: Record<string, unknown[]>) => void): string => {
    const root = JSON.parse(scene.trustedRoot()) as Record<string, unknown[]>;
    change(root);
    return JSON.stringify(root);
  };

  it("are read: authorities from the issuing certificate to the root, logs by their keys", () => {
    const { authorities, timestampAuthorities, logs, certificateLogs } = parseTrustedRoot(scene.trustedRoot());
    expect(authorities.map(({ anchors, intermediates }) => [anchors.length, intermediates.length])).to.deep.equal([
      [1, 1],
    ]);
    expect(timestampAuthorities).to.have.length(1);
    expect(logs.map(({ id }) => id)).to.deep.equal([scene.log1, scene.log2].map(({ key }) => sha256(spki(key))));
    expect(certificateLogs[0]?.id).to.deep.equal(sha256(spki(scene.ctLog.key)));
  });

  it("include the public-good instance's", () => {
    const { authorities, logs, certificateLogs } = parseTrustedRoot(installedCopy().trustedRoot);
    expect(Math.min(authorities.length, logs.length, certificateLogs.length)).to.be.greaterThan(0);
  });

  it("may have RSA keys in PKCS #1, and IDs as the bytes of their hexadecimal form", () => {
    const key = createPublicKey(generatePem("rsa").publicKey);
    const id = sha256(spki(key));
    const text = changed(({ tlogs = [] }) => {
      const publicKey = {
        rawBytes: key.export({ type: "pkcs1", format: "der" }).toString("base64"),
        keyDetails: "PKCS1_RSA_PKCS1V5",
      };
      tlogs.push({ baseUrl: "x", publicKey, logId: { keyId: Buffer.from(id.toString("hex")).toString("base64") } });
    });
    const log = parseTrustedRoot(text).logs[2];
    expect(log?.id).to.deep.equal(id);
    expect(log?.ids).to.deep.include(id);
    expect(log?.window).to.deep.equal({});
  });

  it("leave out what was never valid: a range without a start", () => {
    expect(parseTrustedRoot(scene.trustedRoot({ logWindow: { start: null } })).logs).to.deep.equal([]);
    expect(parseTrustedRoot(scene.trustedRoot({ authorityWindow: { start: null } })).authorities).to.deep.equal([]);
  });

  it("have closed windows", () => {
    const [start, end] = [new Date(1_000), new Date(2_000)];
    const inside = [999, 1_000, 2_000, 2_001].map((time) => isWithin({ start, end }, new Date(time)));
    expect(inside).to.deep.equal([false, true, true, false]);
  });

  it("are refused when they are none, or larger than any is", () => {
    const many = <T>(one: T): T[] => Array.from({ length: 65 }, () => one);
    const cases: readonly [text: string, reason: string][] = [
      ["", "the trusted root cannot be used"],
      ["[]", "the trusted root cannot be used"],
      [" ".repeat(4 * 1024 * 1024 + 1), "longer than"],
      [changed((root) => Object.assign(root, { tlogs: many(root["tlogs"]?.[0]) })), "more than 64 transparency logs"],
      [
        changed((root) => Object.assign(root, { tlogs: [{ publicKey: { rawBytes: "AAAA" } }] })),
        "the trusted root cannot be used",
      ],
      [
        changed((root) =>
          Object.assign(root, { certificateAuthorities: [{ certChain: { certificates: [{ rawBytes: "AAAA" }] } }] }),
        ),
        "the trusted root cannot be used",
      ],
      [
        scene.trustedRoot({ authorities: [Array.from({ length: 17 }, () => scene.root.der)] }),
        "more than 16 certificates",
      ],
    ];
    for (const [text, reason] of cases)
      expect(() => parseTrustedRoot(text), text.slice(0, 80))
        .to.throw(reason)
        .with.property("code", "TRUSTED_ROOT_MALFORMED");
  });

  it("are read once for the same text", () => {
    const read = trustedRootReader();
    const text = scene.trustedRoot();
    expect(read(text)).to.equal(read(`${text}`));
    expect(read(text)).not.to.equal(read(`${text} `));
  });
});
