import { X509Certificate } from "node:crypto";
import { expect } from "chai";
import { decideCertificates } from "../../core/certificates/decide.ts";
import { issueAuthority } from "../../core/certificates/issue.ts";
import {
  CA_CERT,
  CA_KEY,
  type CertificateFiles,
  readMaterial,
  SERVER_CERT,
  SERVER_KEY,
  trustBundle,
} from "../../core/certificates/material.ts";
import { renewCertificates } from "../../core/certificates/renew.ts";

const DAY = 86_400_000;
const RULE = { authoritySeconds: 90 * 86_400, servingSeconds: 9 * 86_400 };
const NAME = "webhook.cosign-system.svc";
const NAMES = [NAME, "webhook"];
const START = new Date("2030-01-01T00:00:00Z");

function at(days: number): Date {
  return new Date(START.getTime() + days * DAY);
}

function step(files: CertificateFiles, trusted: boolean, now: Date, name = NAME, rule = RULE) {
  const material = readMaterial(files);
  const decision = decideCertificates(material, name, trusted, now);
  return { decision, files: renewCertificates(material, decision, NAMES, rule, now) ?? files };
}

/** What a client that trusts `bundle` says of the serving certificate. */
function isAccepted(files: CertificateFiles, bundle: string, now: Date): boolean {
  const serving = new X509Certificate(files[SERVER_CERT] ?? "");
  const isValid = (one: X509Certificate) =>
    Date.parse(one.validFrom) <= now.getTime() && now.getTime() < Date.parse(one.validTo);
  const authorities = bundle.split(/(?<=-----END CERTIFICATE-----\n)/).map((pem) => new X509Certificate(pem));
  return (
    isValid(serving) &&
    authorities.some((ca) => isValid(ca) && ca.ca && serving.checkIssued(ca) && serving.verify(ca.publicKey))
  );
}

const fresh = step({}, false, START).files;

describe("webhook certificates", () => {
  it("begin with an authority and a serving certificate that fit each other", () => {
    const serving = new X509Certificate(fresh[SERVER_CERT] ?? "");
    expect(isAccepted(fresh, fresh[CA_CERT] ?? "", START)).to.equal(true);
    expect(serving.checkHost(NAME)).to.equal(NAME);
    expect(serving.ca).to.equal(false);
    expect(serving.publicKey.asymmetricKeyDetails?.namedCurve).to.equal("prime256v1");
    expect(decideCertificates(readMaterial(fresh), NAME, true, START).kind).to.equal("keep");
  });

  it("stay as they are until a third of their life is left", () => {
    const { decision } = step(fresh, true, at(5.9));
    expect(decision).to.have.property("kind", "keep");
    expect(step(fresh, true, at(6.1)).decision).to.have.property("kind", "issue-serving");
  });

  it("get a new authority that is trusted before anything by it is served", () => {
    const aged = step(fresh, true, at(61)); // authority due (60), serving expired long ago
    expect(aged.decision.kind).to.equal("add-authority");
    const [first] = (aged.files[CA_CERT] ?? "").split(/(?<=-----END CERTIFICATE-----\n)/);
    expect(first).to.not.equal(fresh[CA_CERT]);
    expect(aged.files[CA_CERT]).to.contain(fresh[CA_CERT]);
    expect(aged.files[SERVER_CERT]).to.equal(fresh[SERVER_CERT]);
  });

  it("wait for the API server to trust the new authority", () => {
    const at59 = step(fresh, true, at(59)).files; // serving renewed by the old authority
    const added = step(at59, true, at(60.5));
    expect(added.decision.kind).to.equal("add-authority");
    const waiting = step(added.files, false, at(60.5));
    expect(waiting.decision.kind).to.equal("await-trust");
    expect(waiting.files).to.equal(added.files);
    expect(step(added.files, true, at(60.5)).decision.kind).to.equal("issue-serving");
  });

  it("are accepted at every moment of many rotations, by a client that learns of new authorities late", () => {
    const rule = { authoritySeconds: 12 * 86_400, servingSeconds: 3 * 86_400 };
    let { files } = step({}, false, START, NAME, rule);
    let known = trustBundle(readMaterial(files)); // what the webhook configurations carry
    let rotations = 0;
    for (let day = 0; day < 60; day += 0.5) {
      const now = at(day);
      const authority = readMaterial(files).authority?.pem ?? "";
      const { decision, files: next } = step(files, known.includes(authority.trim()), now, NAME, rule);
      if (decision.kind === "add-authority") rotations += 1;
      files = next;
      expect(isAccepted(files, known, now), `${decision.kind} at ${now.toISOString()}`).to.equal(true);
      if (day % 1 === 0) known = trustBundle(readMaterial(files)); // the lag: up to a day
    }
    expect(rotations).to.be.greaterThan(4);
    expect(readMaterial(files).retired.length).to.be.lessThan(3); // pruned
  });

  it("would not be accepted if trust were not waited for: the check above can fail", () => {
    const at59 = step(fresh, true, at(59)).files;
    const added = step(at59, true, at(60.5)).files;
    const hasty = step(added, true, at(60.5)).files;
    expect(isAccepted(hasty, at59[CA_CERT] ?? "", at(60.5))).to.equal(false);
    expect(isAccepted(hasty, hasty[CA_CERT] ?? "", at(60.5))).to.equal(true);
  });

  const other = issueAuthority(86_400, START);
  const spoilt: readonly { name: string; files: CertificateFiles; kind: string }[] = [
    { name: "an empty Secret", files: {}, kind: "bootstrap" },
    {
      name: "garbage",
      files: {
        [CA_CERT]: "x",
        [CA_KEY]: "y",
        [SERVER_CERT]: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        [SERVER_KEY]: "",
      },
      kind: "bootstrap",
    },
    { name: "a lost authority key", files: { ...fresh, [CA_KEY]: "" }, kind: "add-authority" },
    { name: "an authority key of another", files: { ...fresh, [CA_KEY]: other.key }, kind: "add-authority" },
    { name: "a lost serving certificate", files: { ...fresh, [SERVER_CERT]: "" }, kind: "issue-serving" },
    { name: "a serving key of another", files: { ...fresh, [SERVER_KEY]: other.key }, kind: "issue-serving" },
    {
      name: "an authority that did not sign",
      files: { ...fresh, [CA_CERT]: other.certificate, [CA_KEY]: other.key },
      kind: "issue-serving",
    },
  ];
  for (const { name, files, kind } of spoilt) {
    it(`recover from ${name} by ${kind}`, () => {
      const now = new Date(START.getTime() + 1000);
      expect(step(files, false, now).decision.kind).to.equal(kind);
      let state = files;
      for (let turn = 0; turn < 4; turn += 1) state = step(state, true, now).files;
      expect(isAccepted(state, state[CA_CERT] ?? "", now)).to.equal(true);
      expect(step(state, true, now).decision.kind).to.equal("keep");
    });
  }

  it("begin anew when the authority has expired, even if the serving certificate by it has not", () => {
    const rule = { authoritySeconds: 86_400, servingSeconds: 9 * 86_400 };
    const { files } = step({}, false, START, NAME, rule);
    expect(step(files, true, at(1.5), NAME, rule).decision.kind).to.equal("bootstrap");
  });

  it("are renewed when they are for another Service", () => {
    expect(step(fresh, true, START, "webhook.elsewhere.svc").decision.kind).to.equal("issue-serving");
  });
});
