import { expect } from "chai";
import { dump } from "js-yaml";
import { parseCommand } from "../../cli/cache-arguments.ts";
import { samplesIn } from "../../cli/cache-input.ts";
import { render } from "../../cli/cache-text.ts";
import { CACHE_ANNOTATION } from "../../core/cache/record.ts";

const fails = (...args: string[]) => {
  try {
    return `no error: ${JSON.stringify(parseCommand(args))}`;
  } catch (thrown) {
    return thrown instanceof Error ? thrown.message : "";
  }
};

describe("the arguments of kubectl entrepot", () => {
  for (const text of ["deployment/app", "Deployment/app", "deployments/app", "deploy/app", "deployments.apps/app"])
    it(`know ${text}`, () => {
      expect(parseCommand(["cache", "show", text])).to.deep.include({ kind: "show", name: "app", output: "text" });
    });

  it("take a kind and a name apart, a namespace, a format and kubectl's flags", () => {
    const args = ["cache", "show", "po", "p", "-n", "team", "-o", "json", "--context", "c", "--system-namespace=s"];
    const command = parseCommand(args);
    expect(command).to.deep.include({ kind: "show", name: "p", namespace: "team", output: "json" });
    expect(command).to.have.nested.property("workload.kind", "Pod");
    expect(command).to.have.property("cluster").that.deep.equals({ context: "c", systemNamespace: "s" });
  });

  it("read standard input unless a file is named", () => {
    const verify = { kind: "verify", jwks: "k", output: "text" };
    expect(parseCommand(["cache", "verify", "--jwks", "k"])).to.deep.equal({ ...verify, file: "-" });
    expect(parseCommand(["cache", "verify", "f", "--jwks", "k"])).to.deep.equal({ ...verify, file: "f" });
  });

  it("are refused with what is wrong and what would do", () => {
    expect(fails("cache", "show")).to.include("KIND/NAME");
    expect(fails("cache", "show", "service/a"))
      .to.include('"service"')
      .and.include("deployment");
    expect(fails("cache", "show", "deploy/a/b")).to.include("KIND/NAME");
    expect(fails("cache", "show", "deploy/a", "-o", "xml")).to.include("yaml or json");
    expect(fails("cache", "verify")).to.include("--jwks").and.include("entrepot-seal-keys-public");
    expect(fails("cache", "verify", "--jwks", "-")).to.include("standard input");
    expect(fails("cache", "flush", "now")).to.include("now");
    expect(fails("cache", "drop")).to.include("drop");
    expect(fails("prune")).to.include("prune");
  });

  it("ask for help in every way", () => {
    for (const args of [[], ["--help"], ["help"], ["cache", "show", "-h"]])
      expect(parseCommand(args)).to.deep.equal({ kind: "help" });
  });
});

describe("what stands in a file to verify", () => {
  const annotation = "records: {}\nsignature: x..y\n";
  const object = (name: string, annotations: object = { [CACHE_ANNOTATION]: annotation }) => ({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "team", annotations },
  });

  it("is an annotation alone, with or without its last newline", () => {
    expect(samplesIn(annotation)).to.deep.equal([{ name: "annotation", annotation }]);
    expect(samplesIn(annotation.trimEnd())).to.have.length(1);
  });

  it("is an object in YAML or JSON, several, or Lists of them", () => {
    const one = { name: "Pod team/a", annotation };
    const none = { name: "Pod team/b", annotation: undefined };
    expect(samplesIn(JSON.stringify(object("a")))).to.deep.equal([one]);
    expect(samplesIn(`${dump(object("a"))}---\n${dump(object("b", {}))}`)).to.deep.equal([one, none]);
    const list = { apiVersion: "v1", kind: "List", items: [object("a"), object("b", {})] };
    expect(samplesIn(dump(list))).to.deep.equal([one, none]);
  });

  it("is taken for an annotation, which will not open, when it is nothing of that", () => {
    for (const text of ["", "records: {}\n", "{", "a: [", "just text"])
      expect(samplesIn(text)).to.deep.equal([{ name: "annotation", annotation: text }]);
  });

  it("explodes for nobody", () => {
    const bomb = `kind: Pod\na: &a [x,x,x,x,x,x,x,x,x]\n${["b", "c", "d", "e"]
      .map((name, n) => `${name}: &${name} [${"abcd".charAt(n).replace(/./, "*$&,").repeat(9)}]`)
      .join("\n")}\n`;
    expect(samplesIn(bomb)).to.deep.equal([{ name: "annotation", annotation: bomb }]);
  });
});

describe("the text of a report", () => {
  it("says first what does not hold", () => {
    const seal = { holds: false, reason: "signature", why: "it was changed", claimedKid: "k1" } as const;
    const text = render([{ object: "Pod team/a", seal, notes: ["ignored"] }], "text");
    expect(text.split("\n")).to.deep.equal([
      "Pod team/a",
      "Seal        DOES NOT HOLD (signature): it was changed",
      "Claims      key k1",
      "Note        ignored",
    ]);
  });

  it("names image, policy, validity and every fact under its authority", () => {
    const record = {
      image: "ghcr.io/team/app@sha256:0",
      policy: { name: "signed", uid: "u", resourceVersion: "1" },
      policyHash: "h",
      issued: "2026-01-01T00:00:00Z",
      expires: "2026-01-02T00:00:00Z",
      expiresIn: "-1m 30s",
      authorities: {
        team: { signatures: [{ id: "ab".repeat(32), subject: "s", issuer: "i" }] },
        build: { static: true, attestations: { sbom: [{ id: "cd".repeat(32), predicateType: "spdx" }] } },
      },
      config: false,
      valid: false,
      reasons: ["expired"],
      hints: ["it was written since"],
    };
    const seal = { holds: true, kid: "k", made: "m", retired: "r" } as const;
    const text = render(
      [{ object: "Pod p", notes: [], seal, cluster: "c", epoch: "0", pins: {}, records: [record] }],
      "text",
    );
    expect(text.split("\n").slice(1)).to.deep.equal([
      "Seal        holds",
      "Sealed by   key k (made m, retired r)",
      "Cluster     c",
      "Epoch       0",
      "",
      "Image       ghcr.io/team/app@sha256:0",
      "  Policy      signed (uid u, resourceVersion 1)",
      "  Valid       NO: expired",
      "  Perhaps not it was written since",
      "  Issued      2026-01-01T00:00:00Z",
      "  Expires     2026-01-02T00:00:00Z (1m 30s ago)",
      "  Found       authority team: signature by s (i), id abababababababab",
      "              authority build: static: pass",
      "              authority build: attestation sbom (spdx) id cdcdcdcdcdcdcdcd",
    ]);
  });

  it("is an object for one report and a list for more, in JSON and YAML", () => {
    const report = { object: "Pod team/a", notes: [] };
    expect(JSON.parse(render([report], "json"))).to.deep.equal(report);
    expect(JSON.parse(render([report, report], "json"))).to.have.length(2);
    expect(render([report], "yaml")).to.include("object: Pod team/a");
  });
});
