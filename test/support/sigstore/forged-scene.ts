import { createPublicKey, type KeyObject, sign } from "node:crypto";
import { dsse } from "@sigstore/core";
import { initializeTSA, type TSA } from "@sigstore/mock/dist/timestamp/tsa.js";
import type { Envelope, TransparencyLogEntry } from "@sigstore/protobuf-specs";
import { type Candidate, signatureId } from "../../../adapters/sigstore/candidate.ts";
import { utf8 } from "../../../core/certificates/der.ts";
import type { KeyAuthority, KeylessAuthority } from "../../../core/policy/types.ts";
import { generatePem } from "../keys.ts";
import { bodyOf, type EntryKind, type Logged } from "./forged-bodies.ts";
import {
  type CertificateOptions,
  CODE_SIGNING,
  email,
  type Forged,
  type ForgedCtLog,
  FULCIO,
  forgeCertificate,
  newKey,
  sha256,
  spki,
} from "./forged-certificates.ts";
import { type EntryOptions, ForgedLog } from "./forged-log.ts";

const MINUTE = 60_000;
const YEAR = 365 * 24 * 3_600_000;

/** When everything in these tests is signed; the verifier's clock is years later, so that only what was observed can help. */
export const SIGNED_AT = new Date(Math.floor(Date.now() / 1000) * 1000 + 120 * MINUTE);
export const LATER = new Date(SIGNED_AT.getTime() + 3 * YEAR);
export const minutesAfter = (minutes: number): Date => new Date(SIGNED_AT.getTime() + minutes * MINUTE);
export const yearsAfter = (years: number): Date => new Date(SIGNED_AT.getTime() + years * YEAR);

export const ALICE = "alice@example.com";
export const ISSUER = "https://accounts.example.com";
const STATEMENT = '{"_type":"https://in-toto.io/Statement/v1","predicateType":"https://example.com/p","subject":[]}';

type TsaKeys = Parameters<typeof initializeTSA>[0];

interface Window {
  readonly start?: Date | null;
  readonly end?: Date;
}

/** What a trusted root says; absent: what is right. */
export interface RootOptions {
  readonly authorities?: readonly (readonly Buffer[])[];
  readonly authorityWindow?: Window;
  readonly ctLogs?: readonly KeyObject[];
  readonly ctWindow?: Window;
  readonly logs?: readonly ForgedLog[];
  readonly logWindow?: Window;
  readonly logId?: (id: Buffer) => Buffer;
  readonly timestampAuthorities?: readonly (readonly Buffer[])[];
  readonly timestampWindow?: Window;
}

/** How a signature is made. */
export interface SigningOptions {
  readonly leaf?: Forged;
  /** The key signs without a certificate. */
  readonly bare?: KeyObject;
  readonly form?: "message" | "envelope";
  /** The message, or the envelope's payload. */
  readonly payload?: Buffer;
  readonly entries?: readonly EntryKind[];
  readonly entryOptions?: EntryOptions;
  /** What the entries are about; absent: this signature. */
  readonly logged?: Partial<Logged>;
  readonly timestamps?: readonly Date[];
  readonly stamped?: Buffer;
}

function range({ start = yearsAfter(-1), end }: Window = {}): object {
  return {
    ...(start !== null && { start: start.toISOString() }),
    ...(end !== undefined && { end: end.toISOString() }),
  };
}

const ends = (end: Date): { readonly notBefore: Date; readonly notAfter: Date } => ({
  notBefore: yearsAfter(-1),
  notAfter: end,
});

/** A certificate authority with an intermediate, logs and a timestamp authority, all in memory and at the test's will. */
export class ForgedScene {
  readonly root = forgeCertificate({ name: "root", ca: true, pathLength: 1, ...ends(yearsAfter(10)) });
  readonly intermediate = forgeCertificate({
    name: "intermediate",
    issuer: this.root,
    ca: true,
    pathLength: 0,
    purposes: [CODE_SIGNING],
    ...ends(yearsAfter(10)),
  });
  readonly ctLog: ForgedCtLog = { key: newKey(), at: SIGNED_AT };
  readonly log1 = new ForgedLog(1);
  readonly log2 = new ForgedLog(2);
  readonly tsaChain: readonly Buffer[];
  readonly #tsaKeys: TsaKeys;

  private constructor(tsa: TSA, keys: TsaKeys) {
    this.#tsaKeys = keys;
    this.tsaChain = [tsa.intCertificate, tsa.rootCertificate].map((der) => Buffer.from(der as Uint8Array));
  }

  /** The private key of the timestamp authority. */
  get tsaKey(): KeyObject {
    return this.#tsaKeys.privateKey;
  }

  static async open(): Promise<ForgedScene> {
    const privateKey = newKey();
    const keys = { privateKey, publicKey: createPublicKey(privateKey) };
    return new ForgedScene(await initializeTSA(keys), keys);
  }

  /** A certificate for signing code, as Fulcio's are, valid for ten minutes. */
  leaf(options: Partial<CertificateOptions> = {}): Forged {
    return forgeCertificate({
      name: "leaf",
      issuer: this.intermediate,
      notBefore: minutesAfter(-1),
      notAfter: minutesAfter(9),
      purposes: [CODE_SIGNING],
      subjects: [email(ALICE)],
      extensions: [[`${FULCIO}.8`, utf8(ISSUER)]],
      ctLog: this.ctLog,
      ...options,
    });
  }

  /** The trusted root in protobuf JSON. */
  trustedRoot(options: RootOptions = {}): string {
    const b64 = (bytes: Buffer): string => bytes.toString("base64");
    const authority = (chain: readonly Buffer[], window: Window | undefined): object => ({
      certChain: { certificates: chain.map((der) => ({ rawBytes: b64(der) })) },
      validFor: range(window),
    });
    const log = (key: KeyObject, id: Buffer, baseUrl: string, window: Window | undefined): object => ({
      baseUrl,
      hashAlgorithm: "SHA2_256",
      publicKey: { rawBytes: b64(spki(key)), keyDetails: "PKIX_ECDSA_P256_SHA_256", validFor: range(window) },
      logId: { keyId: b64(id) },
    });
    const { logs = [this.log1, this.log2], ctLogs = [this.ctLog.key], logId = (id) => id } = options;
    const { authorities = [[this.intermediate.der, this.root.der]], timestampAuthorities = [this.tsaChain] } = options;
    return JSON.stringify({
      mediaType: "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
      certificateAuthorities: authorities.map((chain) => authority(chain, options.authorityWindow)),
      timestampAuthorities: timestampAuthorities.map((chain) => authority(chain, options.timestampWindow)),
      tlogs: logs.map(({ key, id, origin }) => log(key, logId(id), `https://${origin}`, options.logWindow)),
      ctlogs: ctLogs.map((key) => log(key, logId(sha256(spki(key))), "https://ct.example.com", options.ctWindow)),
    });
  }

  /** A signature with everything that may come with it; the signer has a certificate unless it is `bare`. */
  async sign(options: SigningOptions = {}): Promise<Candidate> {
    const { bare, form = "message", entries = ["hashedrekord 0.0.1"], timestamps = [] } = options;
    const leaf = bare === undefined ? (options.leaf ?? this.leaf()) : undefined;
    const key = bare ?? leaf?.key ?? newKey();
    const payload = options.payload ?? Buffer.from(form === "envelope" ? STATEMENT : '{"critical":{}}');
    const payloadType = "application/vnd.in-toto+json";
    const signedBytes = form === "envelope" ? dsse.preAuthEncoding(payloadType, payload) : payload;
    const signature = sign("sha256", signedBytes, key);
    const envelope: Envelope = { payload, payloadType, signatures: [{ keyid: "", sig: signature }] };
    const made: Logged = {
      signature,
      signedBytes,
      verifier: leaf?.der ?? key,
      ...(form === "envelope" && { envelope }),
      ...options.logged,
    };
    return {
      kind: "signature",
      id: signatureId(signature, leaf?.der),
      where: "here",
      signedBytes,
      signature,
      objection: undefined,
      bundle: true,
      ...(form === "envelope" && { envelope }),
      material: {
        ...(leaf !== undefined && { certificate: leaf.der }),
        intermediates: [],
        logEntries: entries.map((kind) => this.#entry(kind, made, options.entryOptions)),
        timestamps: await Promise.all(timestamps.map((at) => this.timestamp(options.stamped ?? signature, at))),
      },
    };
  }

  #entry(kind: EntryKind, logged: Logged, options: EntryOptions = {}): TransparencyLogEntry {
    const log = kind === "hashedrekord 0.0.2" || kind === "dsse 0.0.2" ? this.log2 : this.log1;
    return log.entry(bodyOf(kind, logged), { at: SIGNED_AT, ...options });
  }

  /** An RFC 3161 response over some bytes by the scene's authority. */
  async timestamp(data: Buffer, at: Date, certificates = false): Promise<Buffer> {
    const tsa = await initializeTSA(this.#tsaKeys, at); // the same key and names: the same authority at another time
    const response = await tsa.timestamp({
      artifactHash: sha256(data),
      hashAlgorithmOID: "2.16.840.1.101.3.4.2.1",
      nonce: 1,
      policyOID: "1.2.3.4",
      certReq: certificates,
    });
    return Buffer.from(response as Uint8Array);
  }

  /** A keyless authority for alice that asks for nothing beside the certificate and its SCT. */
  keyless(more: Partial<KeylessAuthority> = {}): KeylessAuthority {
    const exact = (text: string) => ({ kind: "exact", text }) as const;
    return {
      kind: "keyless",
      name: "authority-0",
      index: 0,
      source: { pullSecrets: [] },
      bundlesOnly: false,
      attestations: [],
      log: { kind: "required", trustedRoot: this.trustedRoot() },
      issuers: { kind: "trusted-root", trustedRoot: this.trustedRoot() },
      identities: [{ issuer: exact(ISSUER), subject: exact(ALICE) }],
      ignoreSct: false,
      ...more,
    };
  }

  /** A key authority that wants an entry in the scene's logs. */
  keyed(keys: readonly string[] = [generatePem("P-256").publicKey], more: Partial<KeyAuthority> = {}): KeyAuthority {
    const { kind: _kind, issuers: _issuers, identities: _identities, ignoreSct: _ignoreSct, ...base } = this.keyless();
    return { ...base, kind: "key", keys, hashAlgorithm: "sha256", ...more };
  }
}

/** A candidate with its log entries changed. */
export function withEntries(
  candidate: Candidate,
  change: (entry: TransparencyLogEntry) => Partial<TransparencyLogEntry>,
): Candidate {
  const logEntries = candidate.material.logEntries.map((entry) => ({ ...entry, ...change(entry) }));
  return { ...candidate, material: { ...candidate.material, logEntries } };
}
