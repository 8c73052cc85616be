import { expect } from "chai";
import fc from "fast-check";
import { readAuthorization } from "../../core/gateway/authorization.ts";
import { clientKey } from "../../core/gateway/client-address.ts";
import { accessPolicy, asksFor, OWN_AUDIENCE, ownUsers, pingAsks } from "../../core/gateway/policy.ts";
import { audienceOf, judgeReview, objectionTo, readClaims } from "../../core/gateway/tokens.ts";

const header = (username: string, password: string): string =>
  `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;

function registry(inCluster: object, upstreams: readonly { host: string; credentials?: object }[] = []) {
  return accessPolicy({ metadata: { name: "main", generation: 3 }, spec: { inCluster, upstreams } });
}

describe("what a client shows", () => {
  it("is read back for every user name and password that RFC 7617 can carry", () => {
    const text = fc.string({ unit: "grapheme", maxLength: 60 }).filter((one) => !/\p{Cc}|\ufffd|\p{Cs}/u.test(one));
    fc.assert(
      fc.property(text, text, (username, password) => {
        fc.pre(!username.includes(":") && username + password !== "");
        const shown = readAuthorization(header(username, password));
        return shown.kind === "basic" && shown.username === username && shown.password === password;
      }),
    );
  });

  for (const [what, value, kind] of [
    ["no header", undefined, "nothing"],
    ["an empty one", "", "nothing"],
    ["an empty user and password", header("", ""), "nothing"],
    ["a lower-case scheme", header("a", "b").replace("Basic", "basic"), "basic"],
    ["a bearer token", "Bearer a.b.c", "bearer"],
    ["a list of parameters", 'Digest username="x"', "unreadable"],
    ["two tokens", "Basic YTpi YTpi", "unreadable"],
    ["no UTF-8", `Basic ${Buffer.from([0x61, 0x3a, 0xff]).toString("base64")}`, "unreadable"],
    ["a newline in the password", header("a", "b\n"), "unreadable"],
    ["too much", `Basic ${"a".repeat(20_000)}`, "unreadable"],
  ] as const)
    it(`is ${kind} for ${what}`, () => expect(readAuthorization(value).kind).to.equal(kind));

  it("never makes the reader throw", () => {
    fc.assert(fc.property(fc.string(), (value) => readAuthorization(value).kind.length > 0));
  });
});

describe("what a CacheRegistry says of access", () => {
  const upstreams = [{ host: "docker.io", credentials: { secretRef: { name: "x" } } }, { host: "quay.io" }];

  it("asks for what comes from an upstream with credentials, and for that alone", () => {
    const policy = registry({}, upstreams);
    expect(asksFor(policy, "index.docker.io"), "by its canonical name").to.equal(true);
    expect(asksFor(policy, "quay.io")).to.equal(false);
    expect(pingAsks(policy)).to.equal(true);
    expect(pingAsks(registry({}, [{ host: "quay.io" }]))).to.equal(false);
  });

  it("asks for nothing where it says anonymous: true, and only there", () => {
    expect(asksFor(registry({ anonymous: true }, upstreams), "index.docker.io")).to.equal(false);
    expect(asksFor(registry({ anonymous: false }, upstreams), "index.docker.io")).to.equal(true);
  });

  it("lets ServiceAccounts in only where it names them", () => {
    expect(registry({}).serviceAccounts).to.equal(undefined);
    expect(registry({ clients: { serviceAccounts: {} } }).serviceAccounts).to.deep.equal({
      audience: "entrepot-cache",
    });
  });
});

describe("the API server's verdict on a token", () => {
  const policy = registry({ clients: { serviceAccounts: { namespaces: ["team"] } } });
  const good = {
    authenticated: true,
    audiences: ["entrepot-cache"],
    user: { username: "system:serviceaccount:team:app" },
  };
  const verdict = (status: unknown, by = policy, audience = "entrepot-cache"): string => {
    const judged = judgeReview(status, audience, by);
    return judged.kind === "client" ? judged.name : `${judged.refusal.error.status} ${judged.refusal.error.code}`;
  };

  for (const [what, status, expected] of [
    ["a ServiceAccount of the namespace", good, "system:serviceaccount:team:app"],
    ["not authenticated", { ...good, authenticated: false }, "401 UNAUTHORIZED"],
    ["authenticated in a word", { ...good, authenticated: "true" }, "401 UNAUTHORIZED"],
    ["no audiences: the server does not know of them", { ...good, audiences: undefined }, "401 UNAUTHORIZED"],
    ["another audience", { ...good, audiences: ["api"] }, "401 UNAUTHORIZED"],
    ["another namespace", { ...good, user: { username: "system:serviceaccount:x:app" } }, "403 DENIED"],
    ["a person", { ...good, user: { username: "alice" } }, "401 UNAUTHORIZED"],
    ["a look-alike", { ...good, user: { username: "system:serviceaccount:team:a:b" } }, "401 UNAUTHORIZED"],
    ["nothing", undefined, "401 UNAUTHORIZED"],
    ["another kind", "yes", "401 UNAUTHORIZED"],
  ] as const)
    it(`${what}: ${expected}`, () => expect(verdict(status)).to.equal(expected));

  it("lets our own processes in by their own audience alone, and nobody else by that", () => {
    const own = accessPolicy({ metadata: { name: "main" }, spec: { inCluster: {} } }, ownUsers("cosign-system"));
    const review = (username: string, audience = OWN_AUDIENCE) => ({
      authenticated: true,
      audiences: [audience],
      user: { username },
    });
    for (const account of ["operator", "webhook"]) {
      const user = `system:serviceaccount:cosign-system:${account}`;
      expect(verdict(review(user), own, OWN_AUDIENCE)).to.equal(user);
      const elsewhere = `system:serviceaccount:team:${account}`;
      expect(verdict(review(elsewhere), own, OWN_AUDIENCE)).to.equal("401 UNAUTHORIZED");
      expect(verdict(review(user, "entrepot-cache"), own, OWN_AUDIENCE)).to.equal("401 UNAUTHORIZED");
      expect(verdict(review(user, "entrepot-cache"), own)).to.equal("401 UNAUTHORIZED");
    }
    const gateway = "system:serviceaccount:cosign-system:gateway";
    expect(verdict(review(gateway), own, OWN_AUDIENCE)).to.equal("401 UNAUTHORIZED");
    expect(audienceOf({ audiences: [OWN_AUDIENCE] }, own)).to.equal(OWN_AUDIENCE);
    expect(audienceOf({ audiences: [OWN_AUDIENCE] }, policy)).to.equal("entrepot-cache");
    expect(audienceOf({ audiences: ["entrepot-cache"] }, own)).to.equal(undefined);
  });

  it("is no pass where no ServiceAccount may pull", () => {
    expect(verdict(good, registry({}))).to.equal("401 UNAUTHORIZED");
  });

  it("is not asked for what is no token, or for somebody else by its own word", () => {
    const token = (claims: unknown): string =>
      `aGVhZA.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.${"s".repeat(43)}`;
    for (const text of ["password", "a.b.c", "", token("text"), token([])])
      expect(readClaims(text), text).to.equal(undefined);
    const claims = readClaims(token({ aud: ["entrepot-cache"], exp: 5 }));
    expect(claims).to.deep.equal({ audiences: ["entrepot-cache"], expires: 5 });
    expect(claims && objectionTo(claims, "entrepot-cache", policy)).to.equal(undefined);
    for (const aud of ["api", ["api"], undefined, 7]) {
      const foreign = readClaims(token({ aud }));
      expect(foreign && objectionTo(foreign, "entrepot-cache", policy)?.error.status, String(aud)).to.equal(401);
    }
  });
});

describe("one client", () => {
  for (const [address, key] of [
    ["10.0.0.1", "10.0.0.1"],
    ["::ffff:10.0.0.1", "10.0.0.1"],
    ["2001:db8:0:1::5", "2001:db8:0:1::/64"],
    ["2001:db8:0:1:ffff::1", "2001:db8:0:1::/64"],
    ["2001:db8::1", "2001:db8:0:0::/64"],
    ["fe80::1%eth0", "fe80:0:0:0::/64"],
    ["::1", "0:0:0:0::/64"],
    [undefined, ""],
  ] as const)
    it(`is ${key} for ${address}`, () => expect(clientKey(address)).to.equal(key));
});
