// What texts cost that no name of Kubernetes is as long as: a forged review has them where it likes, and an author of Pods where the API server looks
// only after the mutating webhooks, or never (ownerReferences).
import type { IncomingMessage, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { expect } from "chai";
import { Registry } from "prom-client";
import type { EventNote } from "../../adapters/kube/events.ts";
import type { KubeClient } from "../../adapters/kube/types.ts";
import { type Log, silentLog } from "../../adapters/telemetry/log.ts";
import { type AdmissionRequest, decodeReview } from "../../core/admission/request.ts";
import { DomainError } from "../../core/errors.ts";
import { Denials } from "../../webhooks/denials.ts";
import { Memory } from "../../webhooks/memory.ts";
import { WebhookMetrics } from "../../webhooks/metrics.ts";
import { Owners } from "../../webhooks/owners.ts";
import { PullSecrets } from "../../webhooks/pullsecrets.ts";
import { admissionHandler } from "../../webhooks/server.ts";
import { request } from "../support/admission.ts";
import { FakeClock } from "../support/fake-clock.ts";

const GIANT = "x".repeat(1_000_000);
const POD = { group: "", version: "v1", kind: "Pod" };

function decoded(fields: object): AdmissionRequest {
  const whole = { uid: "r", operation: "CREATE", kind: POD, namespace: "team", object: {}, ...fields };
  return decodeReview({ apiVersion: "admission.k8s.io/v1", kind: "AdmissionReview", request: whole });
}

/** A log that keeps its lines. */
function logOf(lines: string[]): Log {
  const keep = (message: string, fields?: object) => void lines.push(JSON.stringify({ message, ...fields }));
  return { ...silentLog, info: keep, warn: keep, error: keep };
}

describe("a review with texts that the API server never sends", () => {
  const label = "x".repeat(64);
  for (const [what, field, fields] of [
    ["a namespace of megabytes", "namespace", { namespace: GIANT }],
    ...["A", "a/b", "-a", "a-", "a.b", "a\nb", " ", "../team", label].map(
      (namespace) => [`the namespace ${JSON.stringify(namespace)}`, "namespace", { namespace }] as const,
    ),
    ["a long uid", "uid", { uid: GIANT }],
    ["a long group", "group", { kind: { ...POD, group: "x".repeat(254) } }],
    ["a long version", "version", { kind: { ...POD, version: label } }],
    ["a long kind", "kind", { kind: { ...POD, kind: label } }],
    ["a long resource", "resource", { resource: { resource: label } }],
    ["a long subresource", "subResource", { subResource: label }],
  ] as const)
    it(`is none: ${what}; the reason says which field and quotes nothing`, () => {
      expect(() => decoded(fields))
        .to.throw(DomainError, `its ${field} `)
        .that.satisfies(({ code, message }: DomainError) => code === "REVIEW_INVALID" && message.length < 200);
    });

  it("is one with any names that there can be", () => {
    const longest = { group: "g".repeat(253), version: "v".repeat(63), kind: "K".repeat(63) };
    for (const namespace of ["", "a", "0-a", "kube-system", "n".repeat(63)])
      expect(decoded({ namespace }).namespace).to.equal(namespace);
    expect(decoded({ namespace: undefined, kind: longest })).to.include({ namespace: "", ...longest });
    expect(decoded({ subResource: "ephemeralcontainers" }).subResource).to.equal("ephemeralcontainers");
    expect(decoded({ uid: "705ab4f5-6393-11e8-b7cc-42010a800002" }).name).to.equal("");
    expect(decoded({ name: "n".repeat(253) }).name).to.equal("n".repeat(253));
  });

  it("is one with a name of any length, as authors write it: the API server's own words are about it. Of the name a part is kept", () => {
    expect(decoded({ name: GIANT }).name).to.equal(`${"x".repeat(253)}…`);
  });
});

describe("the log of a request that cannot be decided", () => {
  it("has no more of the object's name than a name is long", async () => {
    const lines: string[] = [];
    const answer = () => Promise.reject(new DomainError("NOT_READY", "not yet"));
    const endpoints = new Map([["/mutations", { name: "mutate", budgetMs: 1_000, answer } as const]]);
    const handler = admissionHandler(endpoints, new WebhookMetrics(new Registry()), logOf(lines));
    const asked = { uid: "r", operation: "CREATE", kind: POD, namespace: "team", name: GIANT, object: {} };
    const body = JSON.stringify({ apiVersion: "admission.k8s.io/v1", kind: "AdmissionReview", request: asked });
    const message = Object.assign(Readable.from([Buffer.from(body)]), {
      method: "POST",
      url: "/mutations",
      headers: {},
    }) as unknown as IncomingMessage;
    let said = "";
    const response = {
      writeHead: () => response,
      end: (text: string) => {
        said = text;
      },
    };
    await handler(message, response as unknown as ServerResponse);
    expect(said).to.include("entrepot could not decide: not yet");
    expect(lines).to.have.length(1);
    expect(lines[0]).to.include('"kind":"Pod"').and.have.property("length").lessThan(600);
  });
});

describe("an Event on a denial", () => {
  let notes: EventNote[];
  let denials: Denials;
  beforeEach(() => {
    notes = [];
    const events = { record: (note: EventNote) => void notes.push(note) };
    denials = new Denials({ events, clock: new FakeClock(), log: silentLog });
  });
  const OWNER = { apiVersion: "apps/v1", kind: "ReplicaSet", name: "web-1", uid: "u", controller: true };
  const refuse = (metadata: object, more: Partial<AdmissionRequest> = {}) =>
    denials.report(request({ metadata }, more), [], { errors: "no", warnings: [] });
  const about = () => notes.map(({ regarding: { kind, metadata } }) => `${kind} ${metadata.name}`);

  for (const [what, field] of [
    ["name is longer than any", { name: "n".repeat(254) }],
    ["name is none", { name: "Web 1" }],
    ["kind is longer than any", { kind: "K".repeat(64) }],
    ["kind is none", { kind: "Replica\nSet" }],
    ["apiVersion is longer than any", { apiVersion: `${"g".repeat(254)}/v1` }],
    ["apiVersion is none", { apiVersion: "apps/v1/x" }],
    ["uid is longer than any", { uid: GIANT }],
  ] as const)
    it(`is not about a controller whose ${what}, but about the object`, () => {
      refuse({ name: "web-1-x", ownerReferences: [{ ...OWNER, ...field }] });
      expect(about()).to.deep.equal(["Pod web-1-x"]);
    });

  it("is about a controller with the longest names that there are", () => {
    const name = "n".repeat(253);
    const kind = "K".repeat(63);
    refuse({ ownerReferences: [{ ...OWNER, name, kind, apiVersion: `${"g".repeat(253)}/${"v".repeat(63)}` }] });
    expect(about()).to.deep.equal([`${kind} ${name}`]);
  });

  it("is not made of an object that cannot be called so, or be there", () => {
    refuse({ name: GIANT });
    refuse({ name: "a", uid: GIANT });
    refuse({ generateName: `aaaaaaaaaaaaaaaa${"-".repeat(1_000_000)}` }, { name: "" });
    refuse({}, { name: `${"x".repeat(253)}…` });
    refuse({ name: "a" }, { namespace: "" });
    expect(notes).to.deep.equal([]);
    refuse({ generateName: "web-" }, { name: "" });
    expect(about()).to.deep.equal(["Pod web"]);
  });
});

describe("a question for an object that cannot exist", () => {
  const never = new AbortController().signal;
  let asked: number;
  let lines: string[];
  const client = {
    getMetadata: async (_resource: unknown, name: string) => {
      asked += 1;
      throw new DomainError("UNAVAILABLE", `get ${name}: no`);
    },
  } as unknown as KubeClient;
  beforeEach(() => {
    asked = 0;
    lines = [];
  });

  for (const [what, namespace, name] of [
    ["a pull Secret of a giant name", "team", GIANT],
    ["a pull Secret of a name that is none", "team", "../pull"],
    ["a pull Secret in a giant namespace", GIANT, "pull"],
    ["a pull Secret in no namespace", "", "pull"],
  ] as const)
    it(`is not asked: ${what} is absent`, async () => {
      const secrets = new PullSecrets({ client, log: logOf(lines), clock: new FakeClock() });
      expect(await secrets.look(namespace, name, never)).to.equal("absent");
      expect([asked, lines.length]).to.deep.equal([0, 0]);
    });

  it("is not asked: an owner of a giant name has no records, and no line in the log is as long", async () => {
    const owners = new Owners(client, new Memory(new FakeClock()), new WebhookMetrics(new Registry()), logOf(lines));
    const owner = { apiVersion: "apps/v1", group: "apps", kind: "ReplicaSet", uid: "u" };
    for (const [name, uid] of [
      [GIANT, "u"],
      ["web", GIANT],
    ] as const)
      for await (const found of owners.annotations({ ...owner, name, uid }, undefined, "team", never))
        expect.fail(found);
    expect([asked, lines.length]).to.deep.equal([0, 0]);
    for await (const found of owners.annotations({ ...owner, name: "web" }, undefined, "team", never))
      expect.fail(found);
    expect(asked).to.equal(1);
    expect(lines.join()).to.include('"name":"web"');
  });
});
