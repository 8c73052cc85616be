import { expect } from "chai";
import fc from "fast-check";
import { readCredentials } from "../../core/cacheregistry/credentials.ts";

describe("an upstream's credentials", () => {
  const b64 = (text: string) => Buffer.from(text).toString("base64");
  const basic = (username: string, password: string) => ({
    metadata: { name: "s" },
    type: "kubernetes.io/basic-auth",
    data: { username: b64(username), password: b64(password) },
  });
  const docker = (config: unknown) => ({
    metadata: { name: "s" },
    type: "kubernetes.io/dockerconfigjson",
    data: { ".dockerconfigjson": b64(typeof config === "string" ? config : JSON.stringify(config)) },
  });

  it("are read from basic-auth", () => {
    expect(readCredentials(basic("u", "p:w"), "ghcr.io")).to.deep.equal({
      kind: "credentials",
      credentials: { username: "u", password: "p:w" },
    });
  });

  for (const key of ["https://index.docker.io/v1/", "docker.io", "registry-1.docker.io"]) {
    it(`are found in dockerconfigjson for Docker Hub under ${key}`, () => {
      const read = readCredentials(
        docker({ auths: { "ghcr.io": { auth: b64("x:y") }, [key]: { auth: b64("u:p:w") } } }),
        "index.docker.io",
      );
      expect(read).to.deep.equal({ kind: "credentials", credentials: { username: "u", password: "p:w" } });
    });
  }

  const bad: readonly { name: string; secret: Parameters<typeof readCredentials>[0]; message: RegExp }[] = [
    { name: "another type", secret: { ...basic("u", "p"), type: "Opaque" }, message: /has type "Opaque"/ },
    { name: "no type", secret: { metadata: { name: "s" } }, message: /has type "Opaque"/ },
    { name: "no password", secret: basic("u", ""), message: /empty username or password/ },
    { name: "a newline at the end", secret: basic("u", "p\n"), message: /control character/ },
    { name: "a colon in the username", secret: basic("a:b", "p"), message: /colon/ },
    { name: "no JSON", secret: docker("{nope"), message: /not JSON/ },
    { name: "JSON of another shape", secret: docker("[1]"), message: /no entry for ghcr.io/ },
    {
      name: "another host's entry",
      secret: docker({ auths: { "quay.io": { auth: b64("u:p") } } }),
      message: /no entry for ghcr.io/,
    },
    { name: "an entry without credentials", secret: docker({ auths: { "ghcr.io": {} } }), message: /neither/ },
    {
      name: "an auth without a colon",
      secret: docker({ auths: { "ghcr.io": { auth: b64("up") } } }),
      message: /username:password/,
    },
    { name: "too many bytes", secret: basic("u", "p".repeat(80_000)), message: /larger than/ },
  ];
  for (const { name, secret, message } of bad) {
    it(`are refused with a reason for ${name}`, () => {
      const read = readCredentials(secret, "ghcr.io");
      expect(read.kind).to.equal("problem");
      expect(read.kind === "problem" && read.message).to.match(message);
    });
  }

  it("are never quoted in what is said about them", () => {
    fc.assert(
      fc.property(
        fc.string({ minLength: 6, unit: "binary-ascii" }),
        fc.string({ minLength: 6, unit: "binary-ascii" }),
        (username, password) => {
          for (const secret of [
            basic(username, password),
            docker(`${username}${password}`),
            docker({ auths: { "ghcr.io": { auth: password } } }),
          ]) {
            const read = readCredentials(secret, "ghcr.io");
            if (read.kind === "problem") expect(read.message).to.not.contain(password).and.not.contain(username);
          }
        },
      ),
    );
  });
});
