import { expect } from "chai";
import { newSealKey } from "../../core/cache/keyring.ts";
import { type SealedRecords, writeRecords } from "../../core/cache/record.ts";
import { Sealer } from "../../core/cache/seal.ts";

describe("one seal, one text", () => {
  const issued = 1_000_000;
  const record = {
    policyName: "p",
    policyUid: "u",
    resourceVersion: "1",
    policyHash: "h",
    issued,
    expires: issued + 60,
  };
  const authorities = { key: { signatures: [{ id: "1", subject: "a\ufffdb" }] } };
  const sealed: SealedRecords = {
    cluster: "c",
    epoch: "0",
    records: new Map([["ghcr.io/a/b", new Map([["u", { ...record, authorities }]])]]),
    pins: new Map(),
  };

  it("holds for a replacement character, and not for half a surrogate pair in its place, which has the same bytes", async () => {
    const sealer = new Sealer({ keys: [newSealKey(new Date(0))] });
    const text = sealer.seal(writeRecords(sealed));
    expect(text).to.include("\ufffd");
    const spoiled = text.replace("\ufffd", "\ud800");
    expect(Buffer.from(spoiled)).to.deep.equal(Buffer.from(text));
    expect(sealer.open(text).kind).to.equal("opened");
    expect(sealer.open(spoiled)).to.deep.equal({ kind: "refused", reason: "format" });
  });
});
