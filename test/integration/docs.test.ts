import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { expect } from "chai";

const ROOT = join(import.meta.dirname, "../..");

function filesBelow(folder: string): readonly string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" }).map((name) => join(folder, name));
}

const DOCS = ["README.md", ...filesBelow("docs").filter((name) => name.endsWith(".md"))];
const TESTS = new Map(
  filesBelow("test")
    .filter((name) => name.endsWith(".test.ts"))
    .map((name) => [name.slice(name.lastIndexOf("/") + 1), readFileSync(join(ROOT, name), "utf8")]),
);

/** What a document says that can be looked up: problems with it, in words. */
function problemsIn(name: string, text: string): readonly string[] {
  const tests = [...text.matchAll(/`([a-z0-9-]+\.test\.ts)`(?: "([^"]+)")?/g)].flatMap(([, file = "", title]) => {
    const source = TESTS.get(file);
    if (source === undefined) return [`${name}: there is no ${file}`];
    return title === undefined || source.includes(title) ? [] : [`${name}: ${file} has no "${title}"`];
  });
  const links = [...text.matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)].flatMap(([, target = ""]) => {
    const path = relative(ROOT, join(ROOT, dirname(name), target));
    return EXISTING.has(path) ? [] : [`${name}: nothing at ${target}`];
  });
  return [...tests, ...links];
}

const TOP = readdirSync(ROOT).filter((name) => !["node_modules", ".git", "out"].includes(name));
const EXISTING = new Set([
  ...TOP,
  ...["docs", "examples", "test", "hack", "deploy", "crds", "policy-engine", "bench"].flatMap(filesBelow),
]);

describe("the documents", () => {
  for (const name of DOCS)
    it(`${name} names only tests and files that there are`, () =>
      expect(problemsIn(name, readFileSync(join(ROOT, name), "utf8"))).to.deep.equal([]));

  it("are checked: a test, a title or a file that is not there is found", () => {
    const text =
      '`nowhere.test.ts`, `docs.test.ts` "titled so", [there](adr/none.md), `seal.test.ts`, [here](cache.md)';
    // The title is this very line's, so it is found; the other two are not there.
    expect(problemsIn("docs/x.md", text)).to.deep.equal([
      "docs/x.md: there is no nowhere.test.ts",
      "docs/x.md: nothing at adr/none.md",
    ]);
    expect(problemsIn("docs/x.md", '`seal.test.ts` "no such title"')).to.have.lengthOf(1);
  });
});
