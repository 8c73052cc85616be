import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { systemClock } from "../adapters/clock.ts";
import { isMessageSignature, parseBundle, readBundle } from "../adapters/sigstore/bundle.ts";
import type { Candidate } from "../adapters/sigstore/candidate.ts";
import { readCertificate } from "../adapters/sigstore/certificate.ts";
import { contentOf, type SignedContent } from "../adapters/sigstore/content.ts";
import { contentOfDigest } from "../adapters/sigstore/digestcontent.ts";
import { type CandidateVerdict, createContentVerifier } from "../adapters/sigstore/verification.ts";
import { installedCopy } from "../adapters/trust/publicgood.ts";
import type { Digest } from "../core/image/reference.ts";
import type { SignedAuthority } from "../core/policy/types.ts";
import type { VerifyBundle } from "./arguments.ts";

interface Artifact {
  readonly digest: Digest;
  /** Absent where only the digest was given. */
  readonly bytes?: Buffer;
}

const LARGEST_BUNDLE = 16 * 1024 * 1024;
const LARGEST_ARTIFACT = 1024 * 1024 * 1024;
const DIGEST = /^sha256:[0-9a-f]{64}$/;

async function readUpTo(path: string, limit: number): Promise<Buffer> {
  const { size } = await stat(path);
  if (size > limit) throw new Error(`${path} is longer than ${limit} bytes`);
  return readFile(path);
}

async function readArtifact(argument: string): Promise<Artifact> {
  if (DIGEST.test(argument) && !existsSync(argument)) return { digest: argument as Digest };
  const bytes = await readUpTo(argument, LARGEST_ARTIFACT);
  return { digest: `sha256:${createHash("sha256").update(bytes).digest("hex")}`, bytes };
}

async function trustedRootOf({ trustedRoot, staging }: VerifyBundle): Promise<string> {
  if (trustedRoot !== undefined) return (await readUpTo(trustedRoot, LARGEST_BUNDLE)).toString("utf8");
  if (staging)
    throw new Error("there is no copy of the staging instance's trusted root here; give it with --trusted-root");
  return installedCopy().trustedRoot;
}

/** What sigstore's clients ask by default: an entry in a log, a time signed by a third party, an SCT. */
async function authorityOf(asked: VerifyBundle): Promise<SignedAuthority> {
  const trustedRoot = await trustedRootOf(asked);
  const base = {
    name: "conformance",
    index: 0,
    source: { pullSecrets: [] },
    bundlesOnly: true,
    attestations: [],
    log: { kind: "required", trustedRoot },
  } as const;
  if (asked.signer.kind === "key") {
    const pem = (await readUpTo(asked.signer.path, LARGEST_BUNDLE)).toString("utf8");
    return { ...base, kind: "key", keys: [pem], hashAlgorithm: "sha256" };
  }
  const { issuer, subject } = asked.signer;
  const identity = { issuer: { kind: "exact", text: issuer }, subject: { kind: "exact", text: subject } } as const;
  return {
    ...base,
    kind: "keyless",
    issuers: { kind: "trusted-root", trustedRoot },
    identities: [identity],
    ignoreSct: false,
  };
}

async function candidateOf(path: string, { digest, bytes }: Artifact): Promise<[Candidate, SignedContent]> {
  const bundle = parseBundle(await readUpTo(path, LARGEST_BUNDLE));
  if (bundle === undefined) throw new Error(`${path} is no Sigstore bundle of version 0.1, 0.2 or 0.3`);
  const read = readBundle(bundle, { where: path, image: digest, blob: digest }, bytes ?? Buffer.alloc(0));
  if (read.kind !== "candidates") throw new Error(read.kind === "garbage" ? read.reason : "the envelope is not signed");
  const [candidate, ...more] = read.candidates;
  if (candidate === undefined || more.length > 0) throw new Error("a bundle must have exactly one signature");
  if (candidate.material.intermediates.some((der) => readCertificate(der).selfIssued))
    throw new Error("the bundle holds a root certificate, which only a trusted root may");
  const digestOnly = isMessageSignature(bundle) && bytes === undefined;
  const hash = Buffer.from(digest.slice("sha256:".length), "hex");
  return [candidate, digestOnly ? contentOfDigest(hash, candidate.signature) : contentOf(candidate)];
}

/** Verifies a bundle as the protocol asks. Rejects when something needed cannot be read. */
export async function verifyBundle(asked: VerifyBundle, signal: AbortSignal): Promise<CandidateVerdict> {
  const authority = await authorityOf(asked);
  const [candidate, content] = await candidateOf(asked.bundle, await readArtifact(asked.artifact));
  return createContentVerifier({ clock: systemClock })(content, candidate, authority, signal);
}
