import { expect } from "chai";
import { fitRecords } from "../../core/cache/budget.ts";
import { type CacheContext, findRecord, isUsable } from "../../core/cache/freshness.ts";
import { type SealedRecords, type VerificationRecord, writeRecords } from "../../core/cache/record.ts";
import { parseReference } from "../../core/image/reference.ts";

import { DIGEST, keyed, PEM, policy } from "../support/admission.ts";

describe("records in use", () => {
  const context: CacheContext = {
    cluster: "c",
    epoch: "0",
    namespace: "team",
    now: new Date(1_000_000),
    cacheTtlSeconds: 3600,
  };
  const record: VerificationRecord = {
    policyName: "p",
    policyUid: keyed.uid,
    resourceVersion: "1",
    policyHash: keyed.hash,
    issued: 990,
    expires: 1_500,
    authorities: { k: { signatures: [{ id: "1" }] } },
  };
  const image = { reference: parseReference("ghcr.io/a/b:v1"), digest: DIGEST };
  const sealed = (more: Partial<SealedRecords> = {}): SealedRecords => ({
    cluster: "c",
    epoch: "0",
    records: new Map([[`ghcr.io/a/b@${DIGEST}`, new Map([[keyed.uid, record]])]]),
    pins: new Map(),
    ...more,
  });

  it("are found for their image, policy, cluster and epoch", () =>
    expect(findRecord(sealed(), image, keyed, context)).to.equal(record));

  const misses: readonly (readonly [name: string, found: VerificationRecord | undefined])[] = [
    ["another digest", findRecord(sealed(), { ...image, digest: `sha256:${"b".repeat(64)}` }, keyed, context)],
    [
      "another repository",
      findRecord(sealed(), { ...image, reference: parseReference("ghcr.io/a/c:v1") }, keyed, context),
    ],
    ["another cluster", findRecord(sealed({ cluster: "d" }), image, keyed, context)],
    ["another epoch", findRecord(sealed({ epoch: "1" }), image, keyed, context)],
    ["a changed policy", findRecord(sealed(), image, { ...keyed, hash: "0" }, context)],
    ["a policy made anew under the same name", findRecord(sealed(), image, { ...keyed, uid: "2" }, context)],
    ["an expired record", findRecord(sealed(), image, keyed, { ...context, now: new Date(1_500_000) })],
    ["a record from the future", findRecord(sealed(), image, keyed, { ...context, now: new Date(900_000) })],
  ];
  for (const [name, found] of misses) it(`are not found for ${name}`, () => expect(found).to.equal(undefined));

  it("hold in one namespace only where the policy uses that namespace's credentials", () => {
    const own = policy({
      images: [{ glob: "**" }],
      authorities: [{ key: { data: PEM }, source: [{ oci: "ghcr.io/s/s", signaturePullSecrets: [{ name: "x" }] }] }],
    });
    const scoped = { ...record, policyUid: own.uid, policyHash: own.hash, scope: "team" };
    expect(isUsable(scoped, own, context)).to.equal(true);
    expect(isUsable(scoped, own, { ...context, namespace: "other" })).to.equal(false);
    expect(isUsable({ ...scoped, scope: undefined as never }, own, context)).to.equal(false);
  });

  it("are dropped, largest first, until they fit", () => {
    const small = [`ghcr.io/a/b@${DIGEST}`, new Map([[keyed.uid, record]])] as const;
    const ids = Array.from({ length: 600 }, (_, index) => ({ id: String(index).padStart(64, "0") }));
    const large = [
      `ghcr.io/z/z@${DIGEST}`,
      new Map([[keyed.uid, { ...record, authorities: { k: { signatures: ids } } }]]),
    ] as const;
    const both = sealed({ records: new Map([small, large]) });
    const fitted = fitRecords(both, 0)?.sealed;
    expect([...(fitted?.records.keys() ?? [])]).to.deep.equal([small[0]]);
    expect(Buffer.byteLength(writeRecords(fitted ?? both))).to.be.lessThan(32 * 1024);
    expect(fitRecords(both, 230 * 1024)).to.equal(undefined);
    expect(fitRecords(sealed(), 0)).to.deep.equal({ sealed: sealed(), text: writeRecords(sealed()) });
  });
});
