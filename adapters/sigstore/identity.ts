import { ASN1Obj } from "@sigstore/core";
import { RE2JS } from "re2js";
import type { CertificateIdentity, SignatureFact, TextMatcher } from "../../core/policy/types.ts";
import { excerpt } from "../../core/registry/excerpt.ts";
import { type Certificate, OID } from "./certificate.ts";
import { Refusal, reading } from "./refusal.ts";

/** What a certificate says of who signed, by the names that policies see. */
export interface SignerIdentity {
  /** Subject alternative names, in the order of cosign's `GetSubjectAlternateNames`. */
  readonly subjects: readonly string[];
  /** Of the token that the certificate was issued for; empty where the certificate does not say. */
  readonly issuer: string;
  readonly workflow: Pick<
    SignatureFact,
    "githubWorkflowTrigger" | "githubWorkflowSha" | "githubWorkflowName" | "githubWorkflowRepo" | "githubWorkflowRef"
  >;
}

// https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md
const FULCIO = "1.3.6.1.4.1.57264.1";
const ISSUER = `${FULCIO}.8`;
const LEGACY_ISSUER = `${FULCIO}.1`;
const USER_NAME = `${FULCIO}.7`;
const WORKFLOW = {
  githubWorkflowTrigger: `${FULCIO}.2`,
  githubWorkflowSha: `${FULCIO}.3`,
  githubWorkflowName: `${FULCIO}.4`,
  githubWorkflowRepo: `${FULCIO}.5`,
  githubWorkflowRef: `${FULCIO}.6`,
} as const;

// Context-specific tags of RFC 5280's GeneralName, in cosign's order.
const DNS_NAME = 2;
const EMAIL = 1;
const IP_ADDRESS = 7;
const URI = 6;
const OTHER_NAME = 0;

const UTF8_STRING = 0x0c;
const UTF8 = new TextDecoder("utf-8", { fatal: true });
const NAME_IN_MESSAGE = 200;
const NAMES_IN_MESSAGE = 8;

/** An IA5String. Refuses what is none: read as another encoding, a foreign byte could turn into the letter that is looked for. */
function ascii({ value }: ASN1Obj): string {
  if (value.some((byte) => byte > 0x7f || byte === 0)) throw new Refusal("a name of the certificate is not ASCII");
  return value.toString("latin1");
}

function ipAddress({ value }: ASN1Obj): string {
  if (value.length === 4) return [...value].join(".");
  if (value.length !== 16) throw new Refusal("an IP address of the certificate is malformed");
  const groups = Array.from({ length: 8 }, (_, at) => value.readUInt16BE(at * 2).toString(16));
  return new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1); // as RFC 5952 writes it
}

function utf8String(der: Buffer): string {
  const text = ASN1Obj.parseBuffer(Buffer.from(der));
  if (text.tag.toDER() !== UTF8_STRING) throw new Refusal("an extension of the certificate is no UTF8String");
  return UTF8.decode(text.value);
}

/** Fulcio's user names: `OtherName { type-id 1.3.6.1.4.1.57264.1.7, value [0] EXPLICIT UTF8String }`. */
function otherName({ subs: [type, value] }: ASN1Obj): string[] {
  const text = value?.subs[0];
  return type?.toOID() === USER_NAME && text !== undefined ? [utf8String(text.toDER())] : [];
}

function subjectsOf({ parsed }: Certificate): string[] {
  const names = parsed.extension(OID.subjectAltName)?.valueObj.subs[0]?.subs ?? [];
  const of = (tag: number): ASN1Obj[] => names.filter((name) => name.tag.isContextSpecific(tag));
  return [
    ...of(DNS_NAME).map(ascii),
    ...of(EMAIL).map(ascii),
    ...of(IP_ADDRESS).map(ipAddress),
    ...of(URI).map(ascii),
    ...of(OTHER_NAME).flatMap(otherName),
  ];
}

/** `.1.8` is a UTF8String in DER; `.1.1` to `.1.6` are bare text. */
function issuerOf({ parsed }: Certificate): string {
  const issuer = parsed.extension(ISSUER);
  if (issuer !== undefined) return utf8String(issuer.value);
  const legacy = parsed.extension(LEGACY_ISSUER);
  return legacy === undefined ? "" : UTF8.decode(legacy.value);
}

function workflowOf({ parsed }: Certificate): SignerIdentity["workflow"] {
  const said = Object.entries(WORKFLOW).flatMap(([name, oid]) => {
    const value = parsed.extension(oid)?.value;
    return value === undefined || value.length === 0 ? [] : [[name, UTF8.decode(value)] as const];
  });
  return Object.fromEntries(said);
}

/** Who signed, by the certificate. Throws `Refusal` where the certificate says it in a way that is none. */
export function identityOf(certificate: Certificate): SignerIdentity {
  return reading("the certificate's identity", () => ({
    subjects: subjectsOf(certificate),
    issuer: issuerOf(certificate),
    workflow: workflowOf(certificate),
  }));
}

function matches(matcher: TextMatcher, text: string): boolean {
  return matcher.kind === "exact" ? matcher.text === text : RE2JS.compile(matcher.text).matcher(text).find();
}

/**
 * Checks that one of the expected identities is the signer's: its issuer, and one of its subjects; patterns are unanchored, as Go's
 * `regexp.MatchString`. Throws `Refusal` in cosign's words.
 */
export function checkIdentity({ subjects, issuer }: SignerIdentity, expected: readonly CertificateIdentity[]): void {
  const known = expected.some(
    (identity) => matches(identity.issuer, issuer) && subjects.some((subject) => matches(identity.subject, subject)),
  );
  if (known) return;
  const names = subjects.slice(0, NAMES_IN_MESSAGE).map((subject) => excerpt(subject, NAME_IN_MESSAGE));
  throw new Refusal(
    `none of the expected identities matched what was in the certificate, got subjects [${names.join(", ")}] with issuer ${excerpt(issuer, NAME_IN_MESSAGE)}`,
  );
}

/** What a record keeps of the signer: policy-controller's names, empty ones left out. */
export function identityFact({ subjects: [subject], issuer, workflow }: SignerIdentity): Omit<SignatureFact, "id"> {
  return { ...(subject !== undefined && { subject }), ...(issuer !== "" && { issuer }), ...workflow };
}
