// What an attacker who can write annotations, but holds no key of the ring, may do to them.
import { createHmac, generateKeyPairSync, sign } from "node:crypto";
import type { SealKey } from "../../core/cache/keyring.ts";

/** What mutations draw from. */
export interface Dice {
  /** A number from 0 to below `sides`. */
  roll(sides: number): number;
}

export interface Material {
  readonly text: string;
  /** Another annotation of ours. */
  readonly other: string;
  readonly dice: Dice;
  /** The public halves of our keys. */
  readonly keys: readonly SealKey[];
}

type Mutation = (material: Material) => string;

const LINE = "\nsignature: ";
const ATTACKER = generateKeyPairSync("ed25519");
const ATTACKER_JWK = ATTACKER.publicKey.export({ format: "jwk" });
const ORDER = 2n ** 252n + 27742317777372353535851937790883648493n; // of Ed25519's group, RFC 8032

const pick = <T>(from: readonly [T, ...T[]], dice: Dice): T => from[dice.roll(from.length)] ?? from[0];
const base64 = (text: string): string => Buffer.from(text).toString("base64url");

interface Parts {
  readonly body: string;
  readonly header: string;
  readonly signature: string;
}

function take(text: string): Parts {
  const at = text.lastIndexOf(LINE);
  const [header = "", , signature = ""] = text
    .slice(at + LINE.length)
    .trimEnd()
    .split(".");
  return { body: text.slice(0, at + 1), header, signature };
}

const put = ({ body, header, signature }: Parts): string => `${body}signature: ${header}..${signature}\n`;

/** A signature by the attacker, over what would be signed. */
function forged({ body, header }: Parts, dice: Dice, secret: string): string {
  const input = Buffer.from(`${header}.${body}`);
  const hmac = () => createHmac("sha512", secret).update(input).digest();
  const signature = pick(
    [
      () => sign(null, input, ATTACKER.privateKey),
      hmac,
      () => Buffer.alloc(64),
      () => Buffer.alloc(64, dice.roll(256)),
    ],
    dice,
  )();
  return signature.toString("base64url");
}

const JUNK = [
  "\u0000",
  "\ufeff",
  "\r\n",
  "\ud800",
  "\ufffd",
  "\u2028",
  "a",
  "A",
  " ",
  "\t",
  ":",
  "&",
  "é",
  "0",
] as const;

const bytes: Mutation = ({ text, dice }) => {
  let changed = text;
  for (let left = 1 + dice.roll(3); left > 0; left -= 1) {
    const at = dice.roll(changed.length + 1);
    const junk = pick(JUNK, dice);
    const cut = dice.roll(3);
    changed = changed.slice(0, at) + (dice.roll(4) === 0 ? "" : junk) + changed.slice(at + cut);
  }
  return changed;
};

const FIELDS: readonly [[RegExp, string], ...[RegExp, string][]] = [
  [/a{64}/g, "b".repeat(64)],
  [/expires: .*/, 'expires: "2999-01-01T00:00:00Z"'],
  [/issued: .*/, 'issued: "2000-01-01T00:00:00Z"'],
  [/policy: .*/, `policy: ${"0".repeat(64)}`],
  [/cluster: .*/, "cluster: c1"],
  [/epoch: .*/, 'epoch: "0"'],
  [/version: .*/, 'version: "1"'],
  [/scope: .*\n */, ""],
  [/p1:/, "o0:"],
  [/o0:/, "p1:"],
  [/ghcr\.io\/team\/other/g, "ghcr.io/team/app"],
  [/id: .*/, "id: s2"],
  [/\ufffd/, "\ud800"],
  [/pins:[\s\S]*?\nrecords/, "records"],
];

const fields: Mutation = ({ text, dice }) => {
  const [pattern, replacement] = pick(FIELDS, dice);
  return text.replace(pattern, replacement);
};

const truncate: Mutation = ({ text, dice }) => {
  const at = dice.roll(text.length);
  return pick([text.slice(0, at), text.slice(at), `${text.slice(0, at)}${put(take(text)).slice(-200)}`], dice);
};

const nest: Mutation = ({ text, other, dice }) => {
  const indented = text.replaceAll("\n", "\n  ");
  return pick(
    [
      text + text,
      text + other,
      other + text,
      `records: |\n  ${indented}\n`,
      `"${text}"`,
      JSON.stringify(text),
      `${text}\n`,
    ],
    dice,
  );
};

const inflate: Mutation = ({ text, dice }) => {
  const { body, ...seal } = take(text);
  const filler = pick(["\n", "#", "x: y\n", "[", "{", "- ", "&a ", '"'], dice).repeat(1 + dice.roll(70_000));
  return pick([put({ ...seal, body: body + filler }), filler + text, text + filler], dice);
};

function plusOrder(signature: string): string {
  const raw = Buffer.from(signature, "base64url");
  const scalar = BigInt(`0x${Buffer.from(raw.subarray(32)).reverse().toString("hex")}`) + ORDER;
  const tail = Buffer.from(scalar.toString(16).padStart(64, "0"), "hex").reverse();
  return Buffer.concat([raw.subarray(0, 32), tail]).toString("base64url");
}

const recode: Mutation = ({ text, dice }) => {
  const parts = take(text);
  const { signature, header } = parts;
  const raw = Buffer.from(signature, "base64url");
  const spare = String.fromCharCode((signature.charCodeAt(85) || 65) + 1);
  return pick(
    [
      put({ ...parts, signature: raw.toString("base64") }),
      put({ ...parts, signature: raw.toString("base64").replace(/=+$/, "") }),
      put({ ...parts, signature: `${signature}==` }),
      put({ ...parts, signature: signature.slice(0, 85) + spare }),
      put({ ...parts, signature: raw.toString("hex") }),
      put({ ...parts, signature: plusOrder(signature) }),
      put({ ...parts, signature: "" }),
      put({ ...parts, header: `${header}=` }),
      put({ ...parts, header: header + pick(["A", "AA", "Ig", "fQ"], dice) }),
      text.replace("..", `.${base64(parts.body)}.`),
      text.replace("signature: ", pick(["Signature: ", "signature:  ", "signature:", 'signature: "'], dice)),
    ],
    dice,
  );
};

/** The header's members, and how a parser may be led astray by their spelling. */
function headers({ keys, dice }: Material): string {
  const kid = keys[dice.roll(keys.length)]?.kid ?? "";
  const ours = { alg: "EdDSA", b64: false, crit: ["b64"], kid, typ: "entrepot-cache+jws" };
  const change = pick<object>(
    [
      {},
      { alg: pick(["none", "None", "", "HS256", "HS512", "ES256", "RS256", "Ed25519", "EdDSA"], dice) },
      { kid: pick(["foreign", "", "__proto__", "constructor", "../../etc/passwd", `${kid}\u0000`], dice) },
      { crit: pick<unknown>([[], ["b64", "exp"], ["alg"], "b64", undefined], dice) },
      { b64: pick<unknown>([true, undefined, "false", 0, null], dice) },
      { jku: "https://attacker.example/jwks.json", kid: "attacker" },
      { jwk: ATTACKER_JWK },
      { x5u: "https://attacker.example/x", x5c: ["MIIB"] },
      { typ: pick(["JWT", undefined, "ENTREPOT-CACHE+JWS"], dice) },
      { zip: "DEF", enc: "A256GCM" },
    ],
    dice,
  );
  const json = JSON.stringify({ ...ours, ...change });
  return pick(
    [json, json.replace("{", '{"alg":"none",'), json.replace("}", ',"alg":"none"}'), ` ${json}\n`, `[${json}]`, "null"],
    dice,
  );
}

const header: Mutation = (material) => {
  const { text, dice, keys } = material;
  const parts = { ...take(text), header: base64(headers(material)) };
  const body = dice.roll(2) === 0 ? parts.body : fields({ ...material, text: parts.body });
  const secret = keys[dice.roll(keys.length)]?.x ?? "";
  return dice.roll(3) === 0 ? put(parts) : put({ ...parts, body, signature: forged({ ...parts, body }, dice, secret) });
};

const swap: Mutation = ({ text, other, dice }) => {
  const [mine, theirs] = [take(text), take(other)];
  return pick(
    [
      put({ ...mine, signature: theirs.signature }),
      put({ ...mine, header: theirs.header, signature: theirs.signature }),
      put({ ...theirs, body: mine.body + theirs.body }),
      `${put(mine)}${put(theirs).slice(theirs.body.length)}`,
      put(mine).slice(mine.body.length) + mine.body,
      put(mine).slice(mine.body.length) + put(theirs),
    ],
    dice,
  );
};

/** Lines of one annotation among those of another. */
const splice: Mutation = ({ text, other, dice }) => {
  const [mine, theirs] = [text.split("\n"), other.split("\n")];
  const from = dice.roll(theirs.length);
  mine.splice(dice.roll(mine.length), dice.roll(4), ...theirs.slice(from, from + 1 + dice.roll(8)));
  return mine.join("\n");
};

const TRICKS = [
  (body: string) => `a: &a {x: y}\nb: *a\n${body}`,
  (body: string) => body.replace("records:", "records: &r"),
  (body: string) => `${body}records: {}\n`,
  (body: string) => `entrepot: {cluster: c1, epoch: "0", version: "2"}\n${body}`,
  (body: string) => `${body}<<: {records: {}}\n`,
  (body: string) => body.replace(/^ {4}p1:/m, "    <<: &p\n    p1:"),
  (body: string) => body.replace("records:", "records: !!map"),
  (body: string) => body.replace('version: "2"', "version: !!int 2"),
  (body: string) => `%YAML 1.1\n---\n${body}`,
  (body: string) => `---\n${body}...\n---\n${body}`,
  (body: string) => `? ${"[".repeat(2_000)}\n${body}`,
  (body: string) => body.replaceAll("  ", "\t"),
  (body: string) => `&a [${"*a,".repeat(500)}]\n${body}`,
  (body: string) => `__proto__: {records: {}}\n${body}`,
  (body: string) => `# comment\n${body}`,
] as const;

const yaml: Mutation = ({ text, dice, keys }) => {
  const parts = take(text);
  const changed = { ...parts, body: pick(TRICKS, dice)(parts.body) };
  if (dice.roll(2) === 0) return put(changed);
  return put({ ...changed, signature: forged(changed, dice, keys[0]?.x ?? "") });
};

/** By name; `none` leaves the annotation whole, so that only what is asked of it is wrong. */
export const MUTATIONS = {
  none: ({ text }: Material) => text,
  bytes,
  fields,
  truncate,
  nest,
  inflate,
  recode,
  header,
  swap,
  splice,
  yaml,
} as const satisfies Readonly<Record<string, Mutation>>;
