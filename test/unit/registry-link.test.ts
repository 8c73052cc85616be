import { expect } from "chai";
import fc from "fast-check";
import { nextLink } from "../../core/registry/link.ts";
import { cpuMs } from "../support/cpu-time.ts";

describe("Link", () => {
  const cases: readonly [string, string | undefined][] = [
    ['</v2/a/referrers/sha256:0?n=1&last=x>; rel="next"', "/v2/a/referrers/sha256:0?n=1&last=x"],
    ["<https://r.example.com/v2/>;rel=next", "https://r.example.com/v2/"],
    ['<a>; rel="prev", <b>; title="x, <c>; rel=next"; rel="last next"', "b"],
    ['<a>; rel="first"; rel="next"', undefined],
    ['<a>; title="; rel=next"', undefined],
    ["<a>; rel=nextish", undefined],
    ["<a", undefined],
    ['<a>; rel="next', undefined],
    ["<>; rel=next", undefined],
    ["", undefined],
    [`<${"a".repeat(9000)}>; rel=next`, undefined],
  ];
  for (const [header, want] of cases) {
    it(`${JSON.stringify(header.slice(0, 60))} leads to ${want?.slice(0, 40) ?? "nothing"}`, () =>
      expect(nextLink(header)).to.equal(want));
  }

  it("finds the next page among other links", () => {
    const target = fc.stringMatching(/^[a-zA-Z0-9/:?&=%.-]{1,40}$/);
    fc.assert(
      fc.property(fc.array(target, { maxLength: 5 }), target, (others, next) => {
        const header = [...others.map((one) => `<${one}>; rel="prev"; n=1`), `<${next}>; rel="next"`].join(", ");
        expect(nextLink(header)).to.equal(next);
      }),
    );
  });

  it("survives any header in linear time", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom(...'<>;,="\\ arelnxt'), maxLength: 400 }),
        (text) => void nextLink(text),
      ),
    );
    for (const evil of ["<a>,", "; a", ' ;a="', "\\", "<a>;rel"]) {
      const header = `<a>${evil.repeat(8000 / evil.length)}`;
      expect(
        cpuMs(() => void nextLink(header)),
        evil,
      ).to.be.below(200);
    }
  });
});
