import { expect } from "chai";
import { type Observers, observersOf } from "../../core/policy/observers.ts";
import type { Authority } from "../../crds/types.ts";

const root = (...urls: readonly string[]) => JSON.stringify({ tlogs: urls.map((baseUrl) => ({ baseUrl })) });

const PUBLIC = root("https://rekor.sigstore.dev");
const ROOTS: Readonly<Record<string, string>> = {
  corp: root("https://rekor.old.example.com", "https://rekor.example.com"),
  bare: "{}",
  nameless: JSON.stringify({ tlogs: [{ logId: {} }] }),
  tsa: JSON.stringify({ timestampAuthorities: [{}] }),
  // No object of this project would write it, but a ConfigMap is only text.
  broken: "}",
};
const roots = (name: string | undefined) => (name === undefined ? PUBLIC : ROOTS[name]);
const textOf = (name: string) => ROOTS[name] ?? "";

const key = { key: { data: "PEM" } };
const keyless = (trustRootRef?: string) => ({ keyless: { identities: [], ...(trustRootRef && { trustRootRef }) } });
const ignored: Observers = { kind: "known", log: { kind: "ignored" } };
const required = (trustedRoot: string, url?: string): Observers => ({
  kind: "known",
  log: { kind: "required", trustedRoot, ...(url !== undefined && { url }) },
});
const stamped = (trustedRoot: string): Observers => ({
  kind: "known",
  log: { kind: "ignored" },
  timestamps: { trustedRoot },
});

const URL = "https://rekor.example.org";
const NO_PUBLIC =
  "the public-good trust root is not there: give the operator a TUF mirror, or name a TrustRoot in trustRootRef";

/** policy-controller's `checkOptsFromAuthority` and `rekorClientAndKeysFromAuthority`, row by row. */
const TABLE: readonly (readonly [name: string, authority: Authority, expected: Observers])[] = [
  ["key, nothing", key, ignored],
  ["key, url: the public keys, that log asked", { ...key, ctlog: { url: URL } }, required(PUBLIC, URL)],
  ["keyless on the public-good instance, nothing: an entry with the signature", keyless(), required(PUBLIC)],
  ["keyless on the public-good instance, url", { ...keyless(), ctlog: { url: URL } }, required(PUBLIC, URL)],
  ["keyless with a trust root, nothing", keyless("corp"), ignored],
  ["keyless with a trust root, url", { ...keyless("corp"), ctlog: { url: URL } }, required(PUBLIC, URL)],
  [
    "key, trust root: its last log is asked",
    { ...key, ctlog: { trustRootRef: "corp" } },
    required(textOf("corp"), "https://rekor.example.com"),
  ],
  [
    "keyless, trust root: likewise",
    { ...keyless(), ctlog: { trustRootRef: "corp" } },
    required(textOf("corp"), "https://rekor.example.com"),
  ],
  [
    "key, trust root and url: the root's log, not the url's",
    { ...key, ctlog: { trustRootRef: "corp", url: URL } },
    required(textOf("corp"), "https://rekor.example.com"),
  ],
  ["key, trust root without logs, url", { ...key, ctlog: { trustRootRef: "bare", url: URL } }, required("{}", URL)],
  ["key, trust root without logs", { ...key, ctlog: { trustRootRef: "bare" } }, required("{}")],
  ["key, a log without a URL", { ...key, ctlog: { trustRootRef: "nameless" } }, required(textOf("nameless"))],
  ["key, a root that is no JSON", { ...key, ctlog: { trustRootRef: "broken" } }, required("}")],
  ["key, empty ctlog", { ...key, ctlog: {} }, ignored],
  ["keyless, empty ctlog", { ...keyless(), ctlog: {} }, ignored],
  ["keyless, ctlog of empty texts", { ...keyless(), ctlog: { url: "", trustRootRef: "" } }, ignored],
  ["key, timestamps", { ...key, rfc3161timestamp: { trustRootRef: "tsa" } }, stamped(textOf("tsa"))],
  ["keyless, timestamps", { ...keyless(), rfc3161timestamp: { trustRootRef: "tsa" } }, stamped(textOf("tsa"))],
  [
    "key, timestamps and a log: the timestamp takes the log's place",
    { ...key, ctlog: { url: URL }, rfc3161timestamp: { trustRootRef: "tsa" } },
    stamped(textOf("tsa")),
  ],
  ["key, timestamps of the public-good instance", { ...key, rfc3161timestamp: {} }, stamped(PUBLIC)],
  [
    "a log of a trust root that is not there",
    { ...key, ctlog: { trustRootRef: "gone", url: URL } },
    { kind: "missing", reason: "trustRootRef gone not found" },
  ],
  [
    "timestamps of a trust root that is not there",
    { ...key, rfc3161timestamp: { trustRootRef: "gone" } },
    { kind: "missing", reason: "trustRootRef gone not found" },
  ],
];

describe("who must have seen a signature", () => {
  for (const [name, authority, expected] of TABLE) {
    it(name, () => expect(observersOf(authority, roots)).to.deep.equal(expected));
  }

  for (const [name, authority] of [
    ["keyless on the public-good instance", keyless()],
    ["a key and its log", { ...key, ctlog: { url: URL } }],
    ["timestamps of the public-good instance", { ...key, rfc3161timestamp: {} }],
  ] as const) {
    it(`${name}, without the public-good root: missing, never ignored`, () => {
      expect(observersOf(authority, () => undefined)).to.deep.equal({ kind: "missing", reason: NO_PUBLIC });
    });
  }

  it("asks for no root where nothing is required", () => {
    const asked: unknown[] = [];
    observersOf(key, (name) => void asked.push(name) as undefined);
    observersOf({ ...keyless(), ctlog: {} }, (name) => void asked.push(name) as undefined);
    expect(asked).to.deep.equal([]);
  });
});
