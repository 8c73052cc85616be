import { expect } from "chai";
import { TrustRootResolver } from "../../adapters/trust/resolve.ts";
import type { TrustRootSpec } from "../../crds/index.ts";
import { authorityPem, publicPem, trustedRootJson, urisOf } from "../support/trusted-root.ts";
import { TufMirror, TufRepositoryMaker } from "../support/tuf-repository.ts";

const UID = "5f0e7a0c-0000-4000-8000-000000000001";

describe("A TrustRoot of a TUF mirror", () => {
  const mirrors: TufMirror[] = [];
  const never = new AbortController().signal;

  afterEach(async () => {
    await Promise.all(mirrors.splice(0).map((mirror) => mirror.stop()));
  });

  async function serve(repository: TufRepositoryMaker, answer?: TufMirror["answer"]) {
    const mirror = new TufMirror(repository.files);
    mirror.answer = answer;
    mirrors.push(mirror);
    return { mirror, url: await mirror.start() };
  }

  function made(uri = "https://fulcio.example", options = {}): TufRepositoryMaker {
    const repository = new TufRepositoryMaker(options);
    repository.targets.set("trusted_root.json", { content: trustedRootJson(uri) });
    return repository.publish();
  }

  const remote = (url: string, root: string, change = {}): TrustRootSpec => ({
    remote: { mirror: url, root, ...change },
  });

  const resolver = () => new TrustRootResolver();
  const resolve = (url: string, root: string, of = resolver()) => of.resolve(UID, remote(url, root), never);

  async function refused(promise: Promise<unknown>): Promise<string> {
    return await promise.then(
      (value) => expect.fail(`it was taken: ${String(value)}`),
      (thrown: unknown) => (thrown as Error).message,
    );
  }

  for (const consistentSnapshot of [true, false]) {
    it(`is read, ${consistentSnapshot ? "with" : "without"} consistent snapshots`, async () => {
      const repository = made("https://a.example", { consistentSnapshot });
      const { url } = await serve(repository);
      expect(urisOf(await resolve(url, repository.root()))).to.eql(["https://a.example"]);
    });
  }

  it("has its targets in another folder, and under another name, if the TrustRoot says so", async () => {
    const repository = new TufRepositoryMaker();
    repository.targets.set("mine/root.json", { content: trustedRootJson("https://b.example") });
    repository.publish();
    for (const [path, bytes] of [...repository.files]) {
      if (!path.startsWith("targets/")) continue;
      repository.files.delete(path);
      repository.files.set(path.replace("targets/", "elsewhere/"), bytes);
    }
    const { url } = await serve(repository);
    const change = { targets: "elsewhere", trustedRootTarget: "mine/root.json" };
    expect(urisOf(await resolver().resolve(UID, remote(url, repository.root(), change), never))).to.eql([
      "https://b.example",
    ]);
    expect(await refused(resolve(url, repository.root()))).to.contain('no target "trusted_root.json"');
  });

  it("follows rotations of the root, however old the one that it begins with", async () => {
    const repository = made();
    const first = repository.root();
    repository.rotateRoot();
    repository.rotateRoot();
    repository.publish();
    const { url } = await serve(repository);
    expect(urisOf(await resolve(url, first))).to.eql(["https://fulcio.example"]);
  });

  it("is refused when a root in between is not signed by the one before", async () => {
    const repository = made();
    const first = repository.root();
    const stranger = made();
    stranger.rotateRoot();
    repository.files.set("2.root.json", Buffer.from(stranger.root(2), "base64"));
    const { url } = await serve(repository);
    expect(await refused(resolve(url, first))).to.equal("failed to update TUF client: root was signed by 0/1 keys");
  });

  for (const role of ["timestamp", "snapshot", "targets"] as const) {
    it(`is refused when ${role}.json is not signed by whom the root says`, async () => {
      const repository = made();
      repository.publish({ forged: role });
      const { url } = await serve(repository);
      expect(await refused(resolve(url, repository.root()))).to.contain(`${role} was signed by 0/1 keys`);
    });

    it(`is refused when ${role}.json has expired`, async () => {
      const repository = made();
      repository.publish({ expiresInMs: { [role]: -1000 } });
      const { url } = await serve(repository);
      expect(await refused(resolve(url, repository.root()))).to.contain(`${role}.json is expired`);
    });
  }

  it("is refused when the newest root has expired", async () => {
    const repository = made();
    const first = repository.root();
    repository.rotateRoot(-1000);
    repository.publish();
    const { url } = await serve(repository);
    expect(await refused(resolve(url, first))).to.contain("root.json is expired");
  });

  it("cannot go back to what it was: an older version is refused, a newer one taken", async () => {
    const repository = made("https://old.example");
    const old = new Map(repository.files);
    const { url } = await serve(repository);
    const reader = resolver();
    await resolve(url, repository.root(), reader);
    repository.targets.set("trusted_root.json", { content: trustedRootJson("https://new.example") });
    repository.publish();
    expect(urisOf(await resolve(url, repository.root(), reader))).to.eql(["https://new.example"]);
    const present = new Map(repository.files);
    for (const [path, bytes] of old) repository.files.set(path, bytes);
    expect(await refused(resolve(url, repository.root(), reader))).to.contain(
      "New timestamp version 1 is less than current version 2",
    );
    // The control: who has never seen the newer one knows no better.
    expect(urisOf(await resolve(url, repository.root()))).to.eql(["https://old.example"]);
    for (const [path, bytes] of present) repository.files.set(path, bytes);
    expect(urisOf(await resolve(url, repository.root(), reader))).to.eql(["https://new.example"]);
  });

  it("is refused when a target is not what the metadata says", async () => {
    const repository = made();
    const { url: honest } = await serve(repository);
    await resolve(honest, repository.root());
    for (const [path, bytes] of repository.files) {
      const last = bytes.length - 1;
      if (path.startsWith("targets/"))
        repository.files.set(path, Buffer.concat([bytes.subarray(0, last), Buffer.from(" ")]));
    }
    const { url } = await serve(repository);
    expect(await refused(resolve(url, repository.root()))).to.match(/^TUF target "trusted_root.json": Expected hash /);
  });

  it("is refused when the metadata says too little of a target, or it is too large for a ConfigMap", async () => {
    const of = async (content: Buffer, hashes?: readonly string[]) => {
      const repository = new TufRepositoryMaker();
      repository.targets.set("trusted_root.json", { content, ...(hashes && { hashes }) });
      const { url } = await serve(repository.publish());
      return resolve(url, repository.root());
    };
    const content = trustedRootJson("https://fulcio.example");
    expect(urisOf(await of(content, ["sha512"]))).to.eql(["https://fulcio.example"]);
    for (const hashes of [["md5"], ["sha1"]])
      expect(await refused(of(content, hashes))).to.contain("it has neither a sha256 nor a sha512 hash");
    const padded = Buffer.concat([content, Buffer.alloc(1024 * 1024, " ")]);
    expect(urisOf(await of(padded.subarray(0, 1024 * 1024)))).to.eql(["https://fulcio.example"]);
    expect(await refused(of(padded))).to.contain("bytes and may have 1048576");
  });

  it("is refused with a target whose path leads elsewhere", async () => {
    const repository = new TufRepositoryMaker();
    repository.targets.set("../root.json", { content: trustedRootJson("https://fulcio.example") });
    const { mirror, url } = await serve(repository.publish());
    const spec = remote(url, repository.root(), { trustedRootTarget: "../root.json" });
    expect(await refused(resolver().resolve(UID, spec, never))).to.contain("has a path that is not followed");
    expect(mirror.requests.at(-1)).to.equal("1.targets.json");
  });

  it("is found through delegations, and only in roles that are trusted with its path", async () => {
    const repository = new TufRepositoryMaker();
    const content = trustedRootJson("https://delegated.example");
    repository.delegations = [
      { name: "other", paths: ["other/*"], targets: { "trusted_root.json": trustedRootJson("https://no.example") } },
      { name: "sigstore", paths: ["trusted_*"], targets: { "trusted_root.json": content } },
    ];
    repository.publish();
    const { url } = await serve(repository);
    expect(urisOf(await resolve(url, repository.root()))).to.eql(["https://delegated.example"]);
    repository.delegations = repository.delegations.slice(0, 1);
    repository.publish();
    expect(await refused(resolve(url, repository.root()))).to.contain('no target "trusted_root.json"');
  });

  it("is put together from targets with custom metadata when there is no trusted root", async () => {
    const repository = new TufRepositoryMaker();
    const custom = (usage: string, uri: string) => ({ sigstore: { usage, uri, status: "Active" } });
    const add = (name: string, text: string, usage: string) =>
      repository.targets.set(name, { content: Buffer.from(text), custom: custom(usage, `https://${usage}.example`) });
    add("fulcio_v1.crt.pem", authorityPem(), "Fulcio");
    add("ctfe.pub", publicPem(), "CTFE");
    add("rekor.pub", publicPem(), "Rekor");
    add("tsa.pem", authorityPem(), "TSA");
    repository.targets.set("artifact.pub", { content: Buffer.from("not read"), custom: custom("Unknown", "") });
    repository.targets.set("plain.txt", { content: Buffer.from("not read") });
    repository.publish();
    const { mirror, url } = await serve(repository);
    const root = JSON.parse(await resolve(url, repository.root())) as Record<string, Record<string, string>[]>;
    expect(root["certificateAuthorities"]?.[0]?.["uri"]).to.equal("https://Fulcio.example");
    expect(root["timestampAuthorities"]?.[0]?.["uri"]).to.equal("https://TSA.example");
    expect(root["tlogs"]?.[0]?.["baseUrl"]).to.equal("https://Rekor.example");
    expect(root["ctlogs"]?.[0]?.["baseUrl"]).to.equal("https://CTFE.example");
    expect(mirror.requests.filter((path) => /artifact|plain/.test(path))).to.eql([]);
    repository.targets.delete("fulcio_v1.crt.pem");
    repository.targets.delete("tsa.pem");
    repository.publish();
    expect(await refused(resolve(url, repository.root()))).to.contain("no certificate authorities found");
  });

  it("is refused when the target is no trusted root that can be used", async () => {
    const cases: Readonly<Record<string, string>> = {
      "it is no JSON object": "[]",
      "it trusts nobody": "{}",
      "certificate that can't be read": JSON.stringify({
        certificateAuthorities: [{ uri: "u", certChain: { certificates: [{ rawBytes: "AAAA" }] } }],
      }),
      "its public key can't be read": JSON.stringify({
        tlogs: [{ baseUrl: "u", publicKey: { rawBytes: "AAAA" }, logId: { keyId: "AAAA" } }],
      }),
      "media type": JSON.stringify({ mediaType: "text/plain" }),
      "Unrecognized enum value": JSON.stringify({ tlogs: [{ publicKey: { keyDetails: "ROT13" } }] }),
      "a time that is none": JSON.stringify({
        certificate_authorities: [{ uri: "u", valid_for: { end: "tomorrow" } }],
      }),
    };
    for (const [why, text] of Object.entries(cases)) {
      const repository = new TufRepositoryMaker();
      repository.targets.set("trusted_root.json", { content: Buffer.from(text) });
      const { url } = await serve(repository.publish());
      expect(await refused(resolve(url, repository.root()))).to.contain(why);
    }
  });

  it("writes no file", async () => {
    const repository = made();
    const { url } = await serve(repository);
    const before = process.env["TMPDIR"];
    process.env["TMPDIR"] = "/nonexistent"; // where tuf-js would put what it downloads
    try {
      await resolve(url, repository.root());
    } finally {
      if (before === undefined) delete process.env["TMPDIR"];
      else process.env["TMPDIR"] = before;
    }
  });
});
