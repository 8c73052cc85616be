import { expect } from "chai";
import { type Contract, readContract } from "../support/artifactregistry/contract.ts";
import { PARENT } from "../support/artifactregistry/stage.ts";

const PATH = `/v1/${PARENT}/repositories`;
const NUMBERS = "$alt=json%3Benum-encoding=int";

/** Negative controls: what holds the other tests' requests and answers against the contract does find what is wrong. */
describe("The contract of Artifact Registry that the fake is held to (the vendor's discovery document)", function () {
  this.timeout(120_000);
  let contract: Contract;

  before(async function () {
    const read = await readContract();
    if (read === undefined) {
      console.log("      skipped: the discovery document (google-api-python-client 2.202.0) can't be had");
      return this.skip();
    }
    contract = read;
  });

  const understood = (verb: string, target: string, body?: unknown) =>
    contract.understand(verb, target, body === undefined ? "" : JSON.stringify(body));

  it("takes a good request, and knows the SDK's enum numbers by their names", () => {
    const body = { format: 1, mode: 3, remoteRepositoryConfig: { dockerRepository: { publicRepository: 1 } } };
    const create = understood("POST", `${PATH}?repositoryId=hub&${NUMBERS}`, body);
    expect(create?.deviations).to.deep.equal([]);
    expect(create?.body).to.deep.equal({
      format: "DOCKER",
      mode: "REMOTE_REPOSITORY",
      remoteRepositoryConfig: { dockerRepository: { publicRepository: "DOCKER_HUB" } },
    });
    expect(understood("PATCH", `${PATH}/hub?updateMask=labels%2Cdescription`, {})?.deviations).to.deep.equal([]);
  });

  const broken: readonly (readonly [string, string, string, unknown?])[] = [
    ["an unknown field", "POST", `${PATH}?repositoryId=hub`, { formats: "DOCKER" }],
    ["an unknown enum name", "POST", `${PATH}?repositoryId=hub`, { format: "docker" }],
    ["an unknown enum number", "POST", `${PATH}?repositoryId=hub`, { format: 99 }],
    ["a label that is no text", "POST", `${PATH}?repositoryId=hub`, { labels: { a: 1 } }],
    ["a duration of another form", "POST", PATH, { cleanupPolicies: { a: { condition: { olderThan: "720h" } } } }],
    ["an unknown parameter", "GET", `${PATH}/hub?repositoryId=hub`],
    ["a page size that is no number", "GET", `${PATH}?pageSize=one`],
    ["a mask in another case", "PATCH", `${PATH}/hub?updateMask=cleanup_policies`, {}],
    ["a body where none is taken", "DELETE", `${PATH}/hub`, { name: "hub" }],
    ["no body where one is needed", "POST", `${PATH}?repositoryId=hub`],
  ];
  for (const [what, verb, target, body] of broken)
    it(`finds ${what}`, () => expect(understood(verb, target, body)?.deviations).to.not.deep.equal([]));

  it("has no method for another path or verb", () => {
    expect(understood("PUT", `${PATH}/hub`, {})).to.equal(undefined);
    expect(understood("GET", `/v1/${PARENT}/repository/hub`)).to.equal(undefined);
  });

  it("finds a broken answer", () => {
    const get = understood("GET", `${PATH}/hub?${NUMBERS}`);
    if (get === undefined) throw new Error("it is a method");
    const deviations = (answer: unknown) => contract.answerDeviations(get.method, answer);
    const good = { name: "hub", createTime: "2026-01-01T00:00:00.123456Z", sizeBytes: "0", format: "DOCKER" };
    expect(deviations(good)).to.deep.equal([]);
    expect(contract.encode(get.method, get.query, good)).to.deep.include({ format: 1 });
    for (const bad of [
      { ...good, sizeBytes: 0 },
      { ...good, createTime: "yesterday" },
      { ...good, mode: "remote" },
      { state: "READY" },
      [],
    ])
      expect(deviations(bad), JSON.stringify(bad)).to.not.deep.equal([]);
  });
});
