import { expect } from "chai";
import { DomainError } from "../../core/errors.ts";
import { sha256sum } from "../../core/policy/resolved.ts";
import { fetchDue } from "../../operator/clusterimagepolicy/fetching.ts";
import { Schedule } from "../../operator/clusterimagepolicy/schedule.ts";
import { FakeClock } from "../support/fake-clock.ts";

const HOUR = 3_600_000;
const URI = "hashivault://a";
const DOCUMENT = { url: "https://policies.example/a", sha256sum: sha256sum("x: 1") };
const NEEDS = { kms: [URI], documents: [DOCUMENT] };
const { signal } = new AbortController();

function world() {
  const clock = new FakeClock();
  const schedule = new Schedule({ clock, resyncMs: 10 * HOUR, random: () => 0 });
  const asked: string[] = [];
  let failure: Error | undefined;
  const answer = async (name: string, value: string): Promise<string> => {
    asked.push(name);
    if (failure !== undefined) throw failure;
    return value;
  };
  const sources = {
    publicKey: (uri: string) => answer(uri, "pem"),
    documents: { fetch: () => answer(DOCUMENT.url, "x: 1") },
  };
  const fetchNow = (documents: Readonly<Record<string, string>> = {}) =>
    fetchDue(NEEDS, { generation: 1, keys: {}, documents, problems: {}, fetchedAt: {} }, schedule, sources, signal);
  const fail = (thrown: Error | undefined): void => {
    failure = thrown;
  };
  return { clock, schedule, asked, fetchNow, fail, next: () => schedule.nextInMs([URI, DOCUMENT.sha256sum]) };
}

describe("when a policy's needs are fetched", () => {
  it("is at once, and then a key at each resync and a document never", async () => {
    const { clock, asked, fetchNow, next } = world();
    const { keys, documents } = await fetchNow();
    expect(keys.get(URI)).to.deep.equal({ value: "pem" });
    expect(documents.get(DOCUMENT.sha256sum)).to.deep.equal({ value: "x: 1" });
    expect(next()).to.equal(10 * HOUR);
    await clock.advance(10 * HOUR - 1);
    await fetchNow();
    expect(asked).to.have.length(2);
    await clock.advance(1);
    await fetchNow();
    expect(asked).to.deep.equal([URI, DOCUMENT.url, URI]);
  });

  it("is not for a document that is held, by whoever fetched it", async () => {
    const { asked, fetchNow } = world();
    await fetchNow({ [DOCUMENT.sha256sum]: "x: 1" });
    expect(asked).to.deep.equal([URI]);
  });

  it("is again after failures with longer and longer pauses, never longer than five minutes", async () => {
    const { clock, asked, fetchNow, fail, next } = world();
    fail(new Error("no answer"));
    const pauses: (number | undefined)[] = [];
    for (let round = 0; round < 11; round++) {
      const { keys } = await fetchNow();
      expect(keys.get(URI)).to.deep.equal({ problem: "no answer" });
      pauses.push(next());
      await fetchNow();
      await clock.advance(next() ?? 0);
    }
    expect(pauses.slice(0, 4)).to.deep.equal([1_000, 2_000, 4_000, 8_000]);
    expect(pauses.at(-1)).to.equal(300_000);
    expect(asked).to.have.length(22);
    fail(undefined);
    await fetchNow();
    expect(next()).to.equal(10 * HOUR);
    fail(new Error("no answer"));
    await clock.advance(10 * HOUR);
    await fetchNow();
    expect(next(), "after a success the pauses begin anew").to.equal(1_000);
  });

  it("is not soon for a failure that only a change of the policy ends, and at once after one", async () => {
    const { asked, schedule, fetchNow, fail, next } = world();
    fail(new DomainError("KMS_URI_INVALID", "no URI", { terminal: true }));
    await fetchNow();
    expect(next()).to.equal(10 * HOUR);
    schedule.reset();
    await fetchNow();
    expect(asked).to.have.length(4);
  });

  it("is nobody's failure when the process ends", async () => {
    const { schedule } = world();
    const stop = new AbortController();
    const publicKey = async (): Promise<string> => {
      stop.abort(new Error("the process is ending"));
      throw new Error("aborted");
    };
    const sources = { publicKey, documents: { fetch: publicKey } };
    const needs = { kms: [URI], documents: [] };
    const thrown = await fetchDue(needs, undefined, schedule, sources, stop.signal).catch((error: unknown) => error);
    expect(thrown).to.equal(stop.signal.reason);
    expect(schedule.isDue(URI)).to.equal(true);
  });

  it("is some at a time", async () => {
    const { schedule } = world();
    let running = 0;
    let most = 0;
    const publicKey = async (): Promise<string> => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setImmediate(resolve));
      running--;
      return "pem";
    };
    const kms = Array.from({ length: 30 }, (_, index) => `hashivault://${index}`);
    const sources = { publicKey, documents: { fetch: publicKey } };
    const { keys } = await fetchDue({ kms, documents: [] }, undefined, schedule, sources, signal);
    expect(keys.size).to.equal(30);
    expect(most).to.equal(8);
  });
});
