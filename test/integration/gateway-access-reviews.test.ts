import { expect } from "chai";
import type { KubeClient, KubeObject } from "../../adapters/kube/types.ts";
import { accessPolicy } from "../../core/gateway/policy.ts";
import { TokenReviews } from "../../gateway/token-reviews.ts";

const POLICY = accessPolicy({
  metadata: { name: "main" },
  spec: { inCluster: { clients: { serviceAccounts: {} } } },
});
const NOW = new Date("2030-01-01T00:00:00Z");

function token(claims: object, signature = "s".repeat(43)): string {
  return `aGVhZA.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.${signature}`;
}

/** An API server as a script: counts what it is asked. What the real one says is in gateway-access-tokens.test.ts. */
class ScriptedServer {
  asked = 0;
  answer: () => Promise<unknown> = async () => await Promise.resolve(this.good);
  readonly good = {
    authenticated: true,
    audiences: ["entrepot-cache"],
    user: { username: "system:serviceaccount:team:app" },
  };
  readonly client = {
    create: async (_resource: unknown, object: KubeObject) => {
      this.asked++;
      return { ...object, status: await this.answer() };
    },
  } as unknown as Pick<KubeClient, "create">;
  readonly reviews = new TokenReviews(this.client, { now: () => NOW });
}

describe("What the gateway remembers of tokens", () => {
  const good = token({ aud: ["entrepot-cache"], exp: NOW.getTime() / 1000 + 3600 });

  it("is asked once for all who show the same token, at once and after", async () => {
    const server = new ScriptedServer();
    const verdicts = await Promise.all(Array.from({ length: 100 }, () => server.reviews.clientOf(good, POLICY)));
    expect(verdicts.every(({ kind }) => kind === "client")).to.equal(true);
    await server.reviews.clientOf(good, POLICY);
    expect(server.asked).to.equal(1);
    await server.reviews.clientOf(token({ aud: ["entrepot-cache"] }), POLICY);
    expect(server.asked, "another token is another question").to.equal(2);
  });

  it("is that of a token that was refused, too", async () => {
    const server = new ScriptedServer();
    server.answer = async () => await Promise.resolve({ authenticated: false });
    for (let count = 0; count < 5; count++)
      expect((await server.reviews.clientOf(good, POLICY)).kind).to.equal("refused");
    expect(server.asked).to.equal(1);
  });

  it("lasts no longer than the token is good", async () => {
    const server = new ScriptedServer();
    const ends = token({ aud: ["entrepot-cache"], exp: NOW.getTime() / 1000 });
    await server.reviews.clientOf(ends, POLICY);
    await server.reviews.clientOf(ends, POLICY);
    expect(server.asked).to.equal(2);
  });

  it("is never a failure to ask", async () => {
    const server = new ScriptedServer();
    server.answer = async () => await Promise.reject(new Error("connection refused"));
    const first = await server.reviews.clientOf(good, POLICY).catch((thrown: unknown) => String(thrown));
    expect(first).to.include("connection refused");
    server.answer = async () => await Promise.resolve(server.good);
    expect((await server.reviews.clientOf(good, POLICY)).kind).to.equal("client");
  });

  it("is not asked for what is no token of ours by its own word", async () => {
    const server = new ScriptedServer();
    for (const text of ["password", token({ aud: "api" }), token({}), "x".repeat(100_000)])
      expect((await server.reviews.clientOf(text, POLICY)).kind).to.equal("refused");
    expect(server.asked).to.equal(0);
  });

  it("is bounded: a flood of tokens is sent away, and the API server sees eight at once", async () => {
    const server = new ScriptedServer();
    let [now, most] = [0, 0];
    server.answer = async () => {
      most = Math.max(most, ++now);
      await new Promise((resolve) => setTimeout(resolve, 20));
      now--;
      return { authenticated: false };
    };
    const flood = Array.from({ length: 1_000 }, (_, index) =>
      server.reviews.clientOf(token({ aud: "entrepot-cache", jti: index }), POLICY).then(
        ({ kind }) => kind,
        (thrown: { code?: string }) => thrown.code,
      ),
    );
    const outcomes = await Promise.all(flood);
    expect(most).to.equal(8);
    expect(outcomes.filter((one) => one === "BUSY")).to.have.length(1_000 - 8 - 256);
    expect(outcomes).to.not.include("client");
  });
});
