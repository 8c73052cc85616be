import { expect } from "chai";
import type { AzureClient } from "../../adapters/products/azure.ts";
import { ACTS, type Body, bodyOf, lasting, methodOf, pathOf } from "../support/azure/acts.ts";
import { AzureContract } from "../support/azure/contract.ts";
import { FakeAzure } from "../support/azure/fake.ts";
import { SWAGGER } from "../support/azure/harness.ts";
import { json, REGISTRY_ID, tokenReply } from "../support/azure/replies.ts";
import { clientAt, examples, isPoll, type Recorded, recordedExchanges } from "../support/azure/samples.ts";
import { type AzureReply, type AzureRequestSeen, TrustedServer } from "../support/azure/server.ts";
import { specFile } from "../support/specs.ts";

const { signal } = new AbortController();
const contractFile = specFile(SWAGGER);

function lower(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(headers).map(([key, value]) => [key.toLowerCase(), value]));
}

describe("Azure's description of its API, and the fake and Entrepot's client beside it (never run against Azure)", function () {
  this.timeout(120_000);
  const samples = examples();
  const recorded = recordedExchanges();
  /** A server that answers what it is told, beside the token endpoint. */
  let next: AzureReply = { status: 500 };
  let asked: AzureRequestSeen[] = [];
  const script = new TrustedServer((request) => {
    if (!request.path.startsWith("/subscriptions/")) return tokenReply(request, script.url);
    asked.push(request);
    return next;
  });
  let client: AzureClient;
  let fake: FakeAzure;
  let contract: AzureContract;

  before(async function () {
    if (contractFile === undefined || samples.length === 0 || recorded.length === 0) {
      console.log(
        `skipped: ${SWAGGER}, azure-examples or azure-recorded-exchanges.json is missing; set ENTREPOT_SPECS`,
      );
      return this.skip();
    }
    contract = new AzureContract(contractFile);
    fake = new FakeAzure(contractFile, script.identity);
    await script.start();
    await fake.start();
    client = await clientAt(script.url);
  });
  beforeEach(() => {
    asked = [];
  });
  after(async () => {
    await fake?.stop();
    await script.stop();
  });

  async function ask(
    method: string,
    path: string,
    body: unknown,
  ): Promise<{ status: number; headers: Headers; text: string }> {
    const answer = await fetch(`${fake.url}${path}`, {
      method,
      headers: { authorization: "Bearer token-of-a-test", "content-type": "application/json" },
      ...(body !== null && body !== undefined && { body: JSON.stringify(body) }),
    });
    return { status: answer.status, headers: answer.headers, text: await answer.text() };
  }

  /** Has the client do it, and gives what it sent. */
  async function done(operation: string, path: string, body: unknown, reply: AzureReply): Promise<unknown> {
    next = reply;
    const name = /\/(?:cacheRules|credentialSets)\/([^/?]+)/.exec(path)?.[1] ?? "";
    const act = ACTS[operation];
    if (act === undefined) throw new Error(`nothing does ${operation}`);
    const result = await act(client, name, body as Body | undefined);
    expect(asked.map(({ path: each }) => each)).to.deep.equal([path]);
    expect(asked[0]?.text === "" ? undefined : JSON.parse(asked[0]?.text ?? "")).to.deep.equal(body ?? undefined);
    return result;
  }

  it("has ten examples and 21 recorded exchanges", () => {
    expect([samples.length, recorded.length]).to.deep.equal([10, 21]);
  });

  for (const example of samples) {
    const path = pathOf(example);
    const method = methodOf(example);
    const body = bodyOf(example);

    it(`holds for the example ${example.title}, and the fake answers so`, async () => {
      for (const [status, { headers = {}, body: answer }] of Object.entries(example.responses)) {
        const exchange = {
          method,
          path,
          requestBody: body,
          status: Number(status),
          headers: lower(headers),
          body: answer,
        };
        expect(contract.deviations(exchange)).to.deep.equal([]);
      }
      fake.reset();
      const kind = path.includes("/cacheRules") ? "cacheRules" : "credentialSets";
      const shown = example.responses["200"]?.body as
        | { readonly properties: object; readonly value: readonly { readonly properties: object }[] }
        | undefined;
      if (method !== "PUT")
        fake.put(
          kind,
          path.includes("cacheRules") ? "myCacheRule" : "myCredentialSet",
          shown?.properties ?? shown?.value[0]?.properties ?? {},
        );
      const answer = await ask(method, path, body);
      const expected = example.responses[String(answer.status)];
      expect(expected, `status ${answer.status}`).to.not.equal(undefined);
      // Identities are spelt as recorded, not as in the examples.
      const text = JSON.stringify(lasting(JSON.parse(answer.text === "" ? "null" : answer.text))).replace(
        '"systemAssigned"',
        '"SystemAssigned"',
      );
      expect(JSON.parse(text)).to.deep.equal(withSystemData(lasting(expected?.body)));
      expect(fake.deviations).to.deep.equal([]);
    });

    it(`holds for what the client sends for the example ${example.title}, and the client takes every answer of it`, async () => {
      for (const [status, { headers = {}, body: answer }] of Object.entries(example.responses)) {
        asked = [];
        const text = answer === undefined ? {} : { text: JSON.stringify(answer) };
        const reply = { status: Number(status), headers: { "content-type": "application/json", ...headers }, ...text };
        const result = await done(example.operationId, path, body, reply);
        if (method === "GET") expect(JSON.stringify(result)).to.contain("docker.io");
      }
    });
  }

  describe("replaying what the real service was recorded to answer", () => {
    /** Where the fake's own operations stand, for the recording's polls. */
    const polls: string[] = [];
    before(() => fake.reset());

    for (const [at, exchange] of recorded.entries()) {
      const { method, path, query, requestBody, status, responseHeaders } = exchange;
      const title = `${at}: ${method} ${path.split("/registries/")[1]?.split("/").slice(1, 3).join("/") ?? "operationResults"} ${status}`;

      it(`the fake answers exchange ${title}`, async () => {
        const sent = isPoll(path)
          ? new URL(polls.at(-1) ?? "")
          : new URL(`${path}?${new URLSearchParams(query)}`, fake.url);
        const answer = await ask(method, `${sent.pathname}${sent.search}`, requestBody);
        expect(answer.status).to.equal(status);
        const follow = ["azure-asyncoperation", "location"].filter((name) => responseHeaders[name] !== undefined);
        expect(["azure-asyncoperation", "location"].filter((name) => answer.headers.has(name))).to.deep.equal(follow);
        polls.push(...follow.map((name) => answer.headers.get(name) ?? ""));
        if (!("responseBody" in exchange)) expect(answer.text).to.equal("");
        else expect(lasting(JSON.parse(answer.text))).to.deep.equal(lasting(exchange.responseBody));
        expect(fake.deviations).to.deep.equal([]);
      });

      it(`the client ${isPoll(path) ? "has no need of" : "does, and understands,"} exchange ${title}`, async () => {
        if (isPoll(path)) {
          expect(contract.operationOf(method, path)).to.equal(undefined);
          return;
        }
        const operation = contract.operationOf(method, path) ?? "";
        const text = "responseBody" in exchange ? { text: JSON.stringify(exchange.responseBody) } : {};
        const ours = `${path}?api-version=2025-11-01`;
        const result = await done(operation, ours, requestBody, { status, headers: responseHeaders, ...text });
        expectRead(exchange, result);
      });
    }
  });

  it("finds fault with broken requests and broken answers", async () => {
    const good = {
      method: "PATCH",
      path: `${REGISTRY_ID}/cacheRules/my-rule?api-version=2025-11-01`,
      status: 200,
      headers: {},
    };
    const answer = {
      id: `${REGISTRY_ID}/cacheRules/my-rule`,
      name: "my-rule",
      properties: { provisioningState: "Succeeded" },
    };
    const requestBody = { properties: { credentialSetResourceId: "x" } };
    const judged = (change: object) => contract.deviations({ ...good, requestBody, body: answer, ...change });
    expect(judged({})).to.deep.equal([]);
    for (const [broken, why] of [
      [{ requestBody: { properties: { targetRepository: "x" } } }, "unevaluated properties"],
      [{ requestBody: { properties: { credentialSetResourceId: 1 } } }, "must be string"],
      [{ method: "PUT", requestBody: { properties: { provisioningState: "Succeeded" } } }, "boolean schema is false"],
      [{ method: "PUT", requestBody: undefined }, "must be object"],
      [{ path: `${REGISTRY_ID}/cacheRules/my.rule?api-version=2025-11-01` }, 'cacheRuleName is "my.rule"'],
      [{ path: `${REGISTRY_ID}/cacheRules/my?api-version=2025-11-01` }, 'cacheRuleName is "my"'],
      [{ path: `${REGISTRY_ID}/cacheRules/my-rule` }, "no query api-version"],
      [{ path: `${REGISTRY_ID}/cachedRules/my-rule?api-version=1` }, "no such operation"],
      [{ status: 204 }, "status 204"],
      [{ status: 201 }, "no Azure-AsyncOperation"],
      [{ body: { ...answer, id: "my-rule" } }, "/id must match format"],
      [{ body: { ...answer, properties: { provisioningState: "Done" } } }, "must be equal to one of"],
      [{ body: { ...answer, properties: { creationDate: "yesterday" } } }, "must match format"],
      [{ body: { ...answer, sourceRepository: "x" } }, "unevaluated properties"],
      [{ status: 500, body: { error: "no" } }, "/error must be object"],
    ] as const)
      expect(judged(broken).join("; "), why).to.contain(why);
  });

  it("finds fault with the fake's own traffic, while a test runs", async () => {
    fake.reset();
    await ask("PUT", `${REGISTRY_ID}/cacheRules/my-rule?api-version=2025-11-01`, { properties: { colour: "x" } });
    expect(fake.deviations.join()).to.contain("unevaluated properties");
    fake.reset();
    fake.put("cacheRules", "my-rule", { sourceRepository: 1 });
    await ask("GET", `${REGISTRY_ID}/cacheRules/my-rule?api-version=2025-11-01`, undefined);
    expect(fake.deviations.join()).to.contain("/properties/sourceRepository must be string");
    fake.reset();
  });

  it("is asked for by its version, with nothing but what it describes", async () => {
    next = json(200, { value: [] });
    await client.rules(signal);
    expect(new URL(asked[0]?.path ?? "", script.url).searchParams.get("api-version")).to.equal("2025-11-01");
    expect(asked[0]?.headers["if-none-match"]).to.equal(undefined);
  });
});

/** The examples leave out what the service adds. */
function withSystemData(body: unknown): unknown {
  const add = (one: object): object => ("id" in one ? { ...one, systemData: "*" } : one);
  if (typeof body !== "object" || body === null) return body;
  const { value } = body as { readonly value?: readonly object[] };
  return value === undefined ? add(body) : { ...body, value: value.map(add) };
}

/** What the client made of a recorded answer. */
function expectRead({ method, path, responseBody }: Recorded, result: unknown): void {
  if (method !== "GET") return;
  const list = Array.isArray(result) ? (result as unknown[]) : [result];
  expect(list).to.have.length(1);
  const shown = responseBody as { readonly value?: readonly unknown[] };
  const { properties } = (shown.value?.[0] ?? shown) as { readonly properties: Readonly<Record<string, string>> };
  if (path.includes("/cacheRules")) {
    const { credentialSetResourceId } = properties;
    expect(list[0]).to.deep.include({ name: "test1", source: "docker.io/library/ubuntu", target: "ubuntu" });
    expect(list[0]).to.include({ createdAt: "2023-03-13T08:58:56.877Z", provisioningState: "Succeeded" });
    expect((list[0] as { credentialSetId?: string }).credentialSetId).to.equal(credentialSetResourceId);
    return;
  }
  expect(list[0]).to.include({
    name: "test1",
    loginServer: "docker.io",
    health: "Unhealthy",
    healthCode: "unauthorized_client",
    principalId: "aa71adbf-c0b9-4fe7-bb87-53313a182f2f",
    usernameSecretId: "https://cliimportkv73021.vault.azure.net/secrets/SPusername",
  });
}
