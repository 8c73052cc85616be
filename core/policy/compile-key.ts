import type { KeyRef } from "../../crds/index.ts";
import { messageOf } from "../errors.ts";
import { parsePublicKeys } from "./publickeys.ts";
import type { CompileSources, ResolvedPolicy } from "./sources.ts";
import type { HashAlgorithm } from "./types.ts";
import { uncompilable } from "./uncompilable.ts";

/** Where the text of a key comes from: the spec, a Secret, or what the operator fetched from a KMS. */
export interface KeyText {
  readonly text: string;
  /** How messages speak of it. */
  readonly where: string;
}

/** What a compilation looks things up in: the sources, and what was resolved for this very policy. */
export interface Lookups extends CompileSources {
  readonly own: ResolvedPolicy | undefined;
}

function secretText(name: string, { secrets }: Lookups): string {
  const secret = secrets(name);
  if (secret === undefined)
    throw uncompilable(`secret "${name}" is not in the system namespace: create it with the public key in it`);
  const entries = Object.values(secret);
  if (entries.length === 0) throw uncompilable(`secret "${name}" contains no data`);
  if (entries.length > 1) throw uncompilable(`secret "${name}" contains multiple data entries, only one is supported`);
  return Buffer.from(entries[0] ?? new Uint8Array()).toString("utf8");
}

function kmsText(uri: string, { own }: Lookups): string {
  const text = own?.keys[uri];
  if (text !== undefined) return text;
  const why = own?.problems[uri] ?? "the operator has not fetched it yet";
  throw uncompilable(`the public key of ${uri} is not there: ${why}`);
}

/** The text behind a reference to a key. Throws `POLICY_UNCOMPILABLE` when it is not there. */
export function keyText(key: KeyRef, field: string, lookups: Lookups): KeyText {
  if (key.data) return { text: key.data, where: field === "" ? "key.data" : `${field}.data` };
  if (key.kms) return { text: kmsText(key.kms, lookups), where: key.kms };
  const name = key.secretRef?.name ?? "";
  return { text: secretText(name, lookups), where: `secret "${name}"` };
}

/** The public keys in a text, each as PEM of its SubjectPublicKeyInfo. Throws `POLICY_UNCOMPILABLE`. */
export function publicKeyPems({ text, where }: KeyText): readonly string[] {
  try {
    return parsePublicKeys(text).map((key) => key.export({ type: "spki", format: "pem" }).toString());
  } catch (thrown) {
    throw uncompilable(`${where}: ${messageOf(thrown)}`);
  }
}

/** `key.hashAlgorithm`, sha256 if absent. Throws `POLICY_UNCOMPILABLE`. */
export function hashAlgorithmOf(text: string | undefined): HashAlgorithm {
  const name = (text ?? "").trim().toLowerCase() || "sha256";
  if (name === "sha224" || name === "sha256" || name === "sha384" || name === "sha512") return name;
  throw uncompilable(`hashAlgorithm "${text}" is none of sha224, sha256, sha384, sha512`);
}
