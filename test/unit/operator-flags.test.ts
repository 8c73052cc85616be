import { expect } from "chai";
import { parseOperatorFlags } from "../../operator/flags.ts";

const HOUR_MS = 3_600_000;
const DEFAULTS = { disableTuf: false, policyResyncMs: 10 * HOUR_MS, trustRootResyncMs: 24 * HOUR_MS };

function why(argv: readonly string[]): string {
  try {
    return `taken: ${JSON.stringify(parseOperatorFlags(argv))}`;
  } catch (thrown) {
    expect(thrown).to.include({ code: "CONFIG_INVALID", terminal: true });
    return (thrown as Error).message;
  }
}

describe("The operator's flags", () => {
  const cases: readonly (readonly [readonly string[], object])[] = [
    [[], {}],
    [["--disable-tuf"], { disableTuf: true }],
    [["-disable-tuf"], { disableTuf: true }],
    [["--disable-tuf=true"], { disableTuf: true }],
    [["-disable-tuf=0"], {}],
    [["--disable-tuf", "-disable-tuf=false"], {}],
    [["--tuf-mirror", "https://tuf.example"], { tufMirror: "https://tuf.example" }],
    [["-tuf-mirror=http://tuf.example/a=b"], { tufMirror: "http://tuf.example/a=b" }],
    [["--tuf-mirror=", "--tuf-root="], {}],
    [["-tuf-root", "/etc/tuf/root.json"], { tufRoot: "/etc/tuf/root.json" }],
    [["--policy-resync-period=1h30m"], { policyResyncMs: 1.5 * HOUR_MS }],
    [["-trustroot-resync-period", "24h0m0s"], {}],
    [["--trustroot-resync-period=90s"], { trustRootResyncMs: 90_000 }],
    [["--trustroot-resync-period=9999h"], { trustRootResyncMs: 20 * 24 * HOUR_MS }],
  ];
  for (const [argv, expected] of cases) {
    it(`take ${argv.join(" ") || "nothing"}`, () =>
      expect(parseOperatorFlags(argv)).to.eql({ ...DEFAULTS, ...expected }));
  }

  const refused: readonly (readonly [readonly string[], string])[] = [
    [["--tuf"], "Unknown option '--tuf'"],
    [["--secure-port=8443"], "the flags are --disable-tuf, --tuf-mirror"],
    [["serve"], "Unexpected argument 'serve'"],
    [["--disable-tuf=perhaps"], "'--disable-tuf' does not take an argument"],
    [["--tuf-mirror"], "'--tuf-mirror <value>' argument missing"],
    [["--tuf-mirror=file:///tmp"], '--tuf-mirror="file:///tmp" is no http or https URL'],
    [["--tuf-mirror=tuf.example"], "is no http or https URL"],
    [["--policy-resync-period=0s"], '--policy-resync-period="0s" is no duration of at least 1s'],
    [["--trustroot-resync-period=soon"], '--trustroot-resync-period="soon" is no duration'],
  ];
  for (const [argv, expected] of refused) {
    it(`refuse ${argv.join(" ")}`, () => expect(why(argv)).to.contain(expected).and.not.contain("\n"));
  }

  it("are refused all at once", () => {
    const message = why(["--tuf-mirror=x", "--policy-resync-period=y"]);
    expect(message).to.contain("--tuf-mirror").and.contain("--policy-resync-period");
  });
});
