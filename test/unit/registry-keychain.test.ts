import { expect } from "chai";
import fc from "fast-check";
import { parsePullSecret } from "../../core/registry/docker-config.ts";
import { createKeychain, joinKeychains, labelMatches } from "../../core/registry/keychain.ts";
import { cpuMs } from "../support/cpu-time.ts";

const base64 = (text: string): string => Buffer.from(text).toString("base64");

function dockerConfig(auths: Readonly<Record<string, unknown>>): { type: string; data: Record<string, string> } {
  return { type: "kubernetes.io/dockerconfigjson", data: { ".dockerconfigjson": base64(JSON.stringify({ auths })) } };
}

/** The user names that a pull of `registry/repository` would try, in order, for entries named after their user. */
function users(keys: readonly string[], registry: string, repository: string): readonly string[] {
  const auths = Object.fromEntries(keys.map((key) => [key, { auth: base64(`${key.replaceAll(":", "_")}:p`) }]));
  const keychain = createKeychain(parsePullSecret(dockerConfig(auths)).entries);
  return keychain.forRepository(registry, repository).map(({ username }) => username.replaceAll("_", ":"));
}

describe("an image pull Secret", () => {
  it("gives credentials from auth, or from username and password; auth wins", () => {
    const entries = (entry: object) =>
      parsePullSecret(dockerConfig({ "r.example.com": entry })).entries.map(({ credentials }) => credentials);
    expect(entries({ auth: base64("u:p:with:colons") })).to.deep.equal([{ username: "u", password: "p:with:colons" }]);
    expect(entries({ username: "u", password: "p" })).to.deep.equal([{ username: "u", password: "p" }]);
    expect(entries({ username: "x", password: "y", auth: base64("u:p") })).to.deep.equal([
      { username: "u", password: "p" },
    ]);
    expect(entries({ auth: base64("no colon") })).to.deep.equal([]);
    expect(entries({ email: "a@b" })).to.deep.equal([]);
  });

  it("may have the older form, without `auths`", () => {
    const secret = {
      type: "kubernetes.io/dockercfg",
      data: { ".dockercfg": base64(JSON.stringify({ "r.example.com": { auth: base64("u:p") } })) },
    };
    expect(parsePullSecret(secret).entries).to.have.length(1);
  });

  it("that is spoilt says why, and never with its content", () => {
    const secret = "s3cr3t";
    const problems = [
      parsePullSecret({ type: "Opaque", data: { ".dockerconfigjson": base64(secret) } }),
      parsePullSecret({ type: "kubernetes.io/dockerconfigjson" }),
      parsePullSecret({ type: "kubernetes.io/dockerconfigjson", data: { ".dockerconfigjson": base64(secret) } }),
      parsePullSecret({ type: "kubernetes.io/dockerconfigjson", data: { ".dockerconfigjson": "A".repeat(300_000) } }),
      parsePullSecret(
        dockerConfig({ "bad host": { auth: base64(`u:${secret}`) }, good: { auth: base64(`u:${secret}`) } }),
      ),
    ].map(({ problem }) => problem);
    expect(problems[0]).to.contain("its type is neither");
    expect(problems[1]).to.contain("it has no .dockerconfigjson");
    expect(problems[2]).to.contain("is no JSON object");
    expect(problems[3]).to.contain("larger than");
    expect(problems[4]).to.equal("1 of 2 registry entries have no usable host, user name and password");
    expect(problems.join()).not.to.contain(secret);
  });

  it("never throws", () => {
    const anything = fc.anything({ withBigInt: false }).map((value) => base64(JSON.stringify(value) ?? ""));
    fc.assert(
      fc.property(fc.oneof(anything, fc.string()), fc.constantFrom(".dockerconfigjson", ".dockercfg"), (data, key) => {
        expect(parsePullSecret({ type: `kubernetes.io/${key.slice(1)}`, data: { [key]: data } }).entries).to.be.an(
          "array",
        );
      }),
    );
  });
});

describe("the keychain", () => {
  const cases: readonly [keys: readonly string[], registry: string, repository: string, want: readonly string[]][] = [
    [["https://index.docker.io/v1/"], "index.docker.io", "library/nginx", ["https://index.docker.io/v1/"]],
    [["docker.io"], "index.docker.io", "library/nginx", ["docker.io"]],
    [["https://index.docker.io/v1"], "index.docker.io", "a/b", ["https://index.docker.io/v1"]],
    [["http://r.example.com/v2/"], "r.example.com", "a", ["http://r.example.com/v2/"]],
    [["R.Example.COM"], "r.example.com", "a", ["R.Example.COM"]],
    [["*.example.com"], "r.example.com", "a", ["*.example.com"]],
    [["*.example.com"], "a.b.example.com", "a", []],
    [["*.example.com"], "example.com", "a", []],
    [["r*.example.com", "*1.example.com"], "r1.example.com", "a", ["r*.example.com", "*1.example.com"]],
    [["r.example.com"], "r.example.com:5000", "a", []],
    [["r.example.com:5000"], "r.example.com:5000", "a", ["r.example.com:5000"]],
    [
      ["r.example.com", "r.example.com/team", "r.example.com/team/app"],
      "r.example.com",
      "team/app",
      ["r.example.com/team/app", "r.example.com/team", "r.example.com"],
    ],
    [["r.example.com/team"], "r.example.com", "other", []],
    [["r.example.com/v1beta/x"], "r.example.com", "v1beta/x", ["r.example.com/v1beta/x"]],
    [["evil.com", "r.example.com.evil.com"], "r.example.com", "a", []],
  ];
  for (const [keys, registry, repository, want] of cases) {
    it(`for ${registry}/${repository} has ${want.join(", ") || "nothing"} of ${keys.join(", ")}`, () => {
      expect(users(keys, registry, repository)).to.deep.equal(want);
    });
  }

  it("keeps the order of Secrets for the same host, and no credentials twice", () => {
    const entries = ["b", "a", "b"].flatMap(
      (user) => parsePullSecret(dockerConfig({ "r.example.com": { auth: base64(`${user}:p`) } })).entries,
    );
    const usernames = (keychain: ReturnType<typeof createKeychain>) =>
      keychain.forRepository("r.example.com", "x").map(({ username }) => username);
    expect(usernames(createKeychain(entries))).to.deep.equal(["b", "a"]);
    expect(usernames(joinKeychains(createKeychain(entries.slice(1)), createKeychain(entries)))).to.deep.equal([
      "a",
      "b",
    ]);
  });

  it("never hands credentials to a host of another port or depth", () => {
    const label = fc.stringMatching(/^[a-z*]{1,3}$/);
    const host = fc.tuple(fc.array(label, { minLength: 1, maxLength: 4 }), fc.constantFrom("", ":80", ":443"));
    fc.assert(
      fc.property(host, host, ([globs, globPort], [labels, port]) => {
        const found = users([globs.join(".") + globPort], labels.join(".") + port, "a");
        if (globs.length !== labels.length || globPort !== port) expect(found).to.deep.equal([]);
      }),
    );
  });

  it("matches labels as a regular expression would, in little time", () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[ab*]{0,8}$/), fc.stringMatching(/^[ab]{0,8}$/), (glob, text) => {
        const want = new RegExp(`^${glob.replaceAll("*", ".*")}$`).test(text);
        expect(labelMatches(glob, text)).to.equal(want);
      }),
      { numRuns: 200 },
    );
    const evil = () => labelMatches(`${"*a".repeat(30)}b`, "a".repeat(250));
    expect(evil()).to.equal(false);
    expect(cpuMs(evil)).to.be.below(100);
  });
});
