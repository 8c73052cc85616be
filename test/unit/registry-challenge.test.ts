import { expect } from "chai";
import fc from "fast-check";
import { parseChallenges, usableChallenge } from "../../core/registry/challenge.ts";
import { cpuMs } from "../support/cpu-time.ts";

function parsed(header: string): unknown {
  return parseChallenges(header)?.map(({ scheme, params }) => [scheme, Object.fromEntries(params)]);
}

describe("WWW-Authenticate", () => {
  const good: readonly [string, unknown][] = [
    [
      'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull"',
      [
        [
          "bearer",
          { realm: "https://auth.docker.io/token", service: "registry.docker.io", scope: "repository:a/b:pull" },
        ],
      ],
    ],
    ["Basic", [["basic", {}]]],
    [
      'BASIC realm="a \\"quoted\\" \\\\ realm, with commas"',
      [["basic", { realm: 'a "quoted" \\ realm, with commas' }]],
    ],
    [
      'Basic realm=x, Bearer REALM="y" , service=z',
      [
        ["basic", { realm: "x" }],
        ["bearer", { realm: "y", service: "z" }],
      ],
    ],
    [
      "Negotiate dG9rZW4=, Basic",
      [
        ["negotiate", {}],
        ["basic", {}],
      ],
    ],
    [
      ', , Basic ,\tBearer realm = "r"',
      [
        ["basic", {}],
        ["bearer", { realm: "r" }],
      ],
    ],
    ["", []],
  ];
  for (const [header, want] of good) {
    it(`reads ${JSON.stringify(header)}`, () => expect(parsed(header)).to.deep.equal(want));
  }

  const bad: readonly string[] = [
    'Bearer realm="unterminated',
    'Bearer realm="a" service="b"',
    'Bearer realm="a",realm="b"',
    'Bearer realm="a"x',
    "Bearer realm=;",
    'realm="a"',
    "Bearer\u0000",
    'Bearer realm="a\nb"',
    `Bearer realm="${"x".repeat(9000)}"`,
    Array.from({ length: 20 }, (_, i) => `S${i}`).join(", "),
    `Bearer ${Array.from({ length: 20 }, (_, i) => `p${i}=v`).join(", ")}`,
  ];
  for (const header of bad) {
    it(`refuses ${JSON.stringify(header.slice(0, 60))} as a whole`, () => expect(parsed(header)).to.equal(undefined));
  }

  const token = fc.stringMatching(/^[a-z][a-z0-9!#$&'*+.^_`|~-]{0,12}$/);
  const value = fc.string({ unit: fc.constantFrom(...'ab \t"\\,=;:/é'), maxLength: 20 });
  const challenge = fc.record({
    scheme: token,
    params: fc.uniqueArray(fc.tuple(token, value), { maxLength: 6, selector: ([name]) => name }),
  });

  it("reads back whatever is written by the grammar", () => {
    fc.assert(
      fc.property(fc.array(challenge, { maxLength: 6 }), (challenges) => {
        const text = challenges.map(({ scheme, params }) =>
          `${scheme} ${params.map(([name, raw]) => `${name}="${raw.replace(/["\\]/g, "\\$&")}"`).join(", ")}`.trim(),
        );
        expect(parsed(text.join(", "))).to.deep.equal(
          challenges.map(({ scheme, params }) => [scheme, Object.fromEntries(params)]),
        );
      }),
    );
  });

  it("survives any header in linear time", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom(...'aB=",\\ \t/'), maxLength: 400 }),
        (text) => void parseChallenges(text),
      ),
    );
    for (const evil of ['"\\', "a=a,", "a ", ", ", "a="]) {
      const header = `Bearer a=${evil.repeat(8000 / evil.length)}`;
      expect(
        cpuMs(() => void parseChallenges(header)),
        evil,
      ).to.be.below(200);
    }
  });

  it("prefers Bearer to Basic, and a Bearer without a realm is of no use", () => {
    const usable = (header: string) => usableChallenge(parseChallenges(header) ?? []);
    expect(usable('Basic realm="b", Bearer realm="r",service="s"')).to.deep.equal({
      scheme: "bearer",
      realm: "r",
      service: "s",
    });
    expect(usable('Bearer service="s", Basic realm="b"')).to.deep.equal({ scheme: "basic" });
    expect(usable("Negotiate")).to.equal(undefined);
  });
});
