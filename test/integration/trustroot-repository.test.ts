import { gunzipSync, gzipSync } from "node:zlib";
import { expect } from "chai";
import { checkRepository } from "../../adapters/trust/check.ts";
import { TrustRootResolver } from "../../adapters/trust/resolve.ts";
import type { TrustRootSpec } from "../../crds/index.ts";
import { trustedRootJson, urisOf } from "../support/trusted-root.ts";
import { TufRepositoryMaker, tar } from "../support/tuf-repository.ts";

const UID = "5f0e7a0c-0000-4000-8000-000000000003";
const WRONG = "invalid value: failed to construct a TUF client: spec.repository.mirrorFS\n";

describe("A TrustRoot that holds a TUF repository", () => {
  function made(options = {}): TufRepositoryMaker {
    const repository = new TufRepositoryMaker(options);
    repository.targets.set("trusted_root.json", { content: trustedRootJson("https://inline.example") });
    return repository.publish();
  }

  const spec = (repository: TufRepositoryMaker, mirrorFS = repository.archive()): TrustRootSpec => ({
    repository: { root: repository.root(), mirrorFS },
  });
  const resolve = (of: TrustRootSpec) => new TrustRootResolver().resolve(UID, of, new AbortController().signal);
  const packed = (files: ReadonlyMap<string, Buffer>, prefix: string, long?: "gnu") =>
    gzipSync(
      tar(
        [...files].map(([path, content]) => ({ path: `${prefix}${path}`, content })),
        long,
      ),
    ).toString("base64");

  for (const consistentSnapshot of [true, false]) {
    it(`is taken at admission and read, ${consistentSnapshot ? "with" : "without"} consistent snapshots`, async () => {
      const good = spec(made({ consistentSnapshot }));
      expect(await checkRepository(good)).to.equal(undefined);
      expect(urisOf(await resolve(good))).to.eql(["https://inline.example"]);
    });
  }

  it("may be packed with or without the folder's name, by Go or by GNU tar", async () => {
    const repository = made();
    for (const prefix of ["", "./", "/repository/", "repository/"]) {
      for (const long of [undefined, "gnu"] as const) {
        const good = spec(repository, packed(repository.files, prefix, long));
        expect(await checkRepository(good), prefix).to.equal(undefined);
        expect(urisOf(await resolve(good))).to.eql(["https://inline.example"]);
      }
    }
  });

  it("says nothing of other TrustRoots", async () => {
    expect(await checkRepository({ remote: { mirror: "https://tuf.example", root: "e30=" } })).to.equal(undefined);
  });

  async function refused(of: TrustRootSpec, why: string): Promise<void> {
    expect(await checkRepository(of)).to.equal(`${WRONG}${why}`);
    const message = await resolve(of).then(
      (value) => `it was read: ${value}`,
      (thrown: unknown) => (thrown as Error).message,
    );
    expect(message).to.equal(why);
  }

  for (const role of ["timestamp", "snapshot", "targets"] as const) {
    it(`is refused when its ${role}.json has expired, or is signed by somebody else`, async () => {
      const expired = made();
      expired.publish({ expiresInMs: { [role]: -1000 } });
      expect(await checkRepository(spec(expired))).to.match(new RegExp(`^${WRONG}.*${role}\\.json is expired`));
      const forged = made();
      forged.publish({ forged: role });
      expect(await checkRepository(spec(forged))).to.match(new RegExp(`^${WRONG}.*${role} was signed by 0/1 keys`));
    });
  }

  it("is refused with a root that is not its own, or none", async () => {
    const repository = made();
    const change = (root: string): TrustRootSpec => ({ repository: { root, mirrorFS: repository.archive() } });
    const strange = change(made().root());
    expect(await checkRepository(strange)).to.contain("failed to update TUF client: timestamp was signed by 0/1 keys");
    const nothing = change(Buffer.from('{"signatures":[]}').toString("base64"));
    expect(await checkRepository(nothing)).to.contain(`${WRONG}failed to init TUF client: signed is not defined`);
  });

  it("is refused when a file is not there, or when it has no targets", async () => {
    const repository = made();
    repository.files.delete("timestamp.json");
    await refused(spec(repository), "failed to update TUF client: timestamp.json is not in the repository");
    const empty = spec(new TufRepositoryMaker().publish());
    expect(await checkRepository(empty)).to.equal(`${WRONG}there are no valid targetfiles in TUF repo`);
  });

  it("may have the trusted root in a delegated role alone", async () => {
    const repository = new TufRepositoryMaker();
    const content = trustedRootJson("https://delegated.example");
    repository.delegations = [{ name: "a/b", paths: ["trusted_*"], targets: { "trusted_root.json": content } }];
    const delegated = spec(repository.publish());
    expect(await checkRepository(delegated)).to.equal(undefined);
    expect(urisOf(await resolve(delegated))).to.eql(["https://delegated.example"]);
  });

  it("is refused when it does not unpack: no gzip, cut off, no tar, a link, a path that leads out", async () => {
    const repository = made();
    const archive = Buffer.from(repository.archive(), "base64");
    const of = (bytes: Buffer) => spec(repository, bytes.toString("base64"));
    await refused(of(archive.subarray(0, 200)), "failed to uncompress: unexpected end of file");
    await refused(of(gzipSync(Buffer.alloc(600, "a"))), "failed to uncompress: a header has no valid number");
    await refused(of(gzipSync(gunzipSync(archive).subarray(0, 1500))), "failed to uncompress: unexpected EOF");
    await refused(
      of(gzipSync(tar([{ path: "repository/root.json", type: "2" }]))),
      'failed to uncompress: "repository/root.json" is neither a file nor a folder',
    );
    await refused(
      of(gzipSync(tar([{ path: "repository/../../x", content: Buffer.from("x") }]))),
      'failed to uncompress: content filepath is tainted: "repository/../../x"',
    );
  });

  it("is not unpacked beyond what it may have", async () => {
    const repository = made();
    const bomb = gzipSync(Buffer.alloc(48 * 1024 * 1024), { level: 1 });
    expect(bomb.length).to.be.below(1024 * 1024);
    const why = `failed to uncompress: it has more than ${40 * 1024 * 1024} bytes`;
    await refused(spec(repository, bomb.toString("base64")), why);
  });

  it("goes back when its object does: which repository holds, the object says", async () => {
    const repository = made();
    const old = spec(repository);
    repository.publish();
    const resolver = new TrustRootResolver();
    const { signal } = new AbortController();
    await resolver.resolve(UID, spec(repository), signal);
    expect(urisOf(await resolver.resolve(UID, old, signal))).to.eql(["https://inline.example"]);
  });
});
