import { createHash, generateKeyPairSync, sign, X509Certificate } from "node:crypto";
import { ASN1Obj } from "@sigstore/core";
import { context, sequence } from "../../../core/certificates/der.ts";
import { serveLoopback } from "./loopback.ts";

/** A log of certificates that promises (RFC 6962, section 3.2) and keeps nothing: promises are all that verifiers of signatures look at. */
export interface CtLog {
  readonly url: string;
  /** PEM. */
  readonly publicKey: string;
  stop(): Promise<void>;
}

const POISON = "1.3.6.1.4.1.11129.2.4.3"; // RFC 6962, section 3.1

export async function startCtLog(): Promise<CtLog> {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const id = createHash("sha256")
    .update(publicKey.export({ type: "spki", format: "der" }))
    .digest();
  const server = await serveLoopback((method, path, body) => {
    if (method !== "POST" || path !== "/ct/v1/add-pre-chain") return undefined;
    const { chain } = JSON.parse(body.toString()) as { chain: readonly [string, string] };
    const [precertificate, issuer] = chain.slice(0, 2).map((der) => Buffer.from(der, "base64"));
    if (precertificate === undefined || issuer === undefined) return { status: 400, body: "{}" };
    const timestamp = Date.now();
    const signature = sign("sha256", promise(precertificate, issuer, timestamp), privateKey);
    return {
      body: JSON.stringify({
        sct_version: 0,
        id: id.toString("base64"),
        timestamp,
        extensions: "",
        signature: digitallySigned(signature).toString("base64"),
      }),
    };
  });
  return {
    url: server.origin,
    publicKey: publicKey.export({ type: "spki", format: "pem" }).toString(),
    stop: () => server.stop(),
  };
}

/** What a promise for a certificate signs: RFC 6962, section 3.2. */
function promise(precertificate: Buffer, issuer: Buffer, timestamp: number): Buffer {
  const key = new X509Certificate(issuer).publicKey.export({ type: "spki", format: "der" });
  const body = withoutPoison(precertificate);
  const head = Buffer.alloc(12); // version v1, certificate_timestamp, then the time and precert_entry
  head.writeBigUInt64BE(BigInt(timestamp), 2);
  head.writeUInt16BE(1, 10);
  const length = Buffer.alloc(3);
  length.writeUIntBE(body.length, 0, 3);
  return Buffer.concat([head, createHash("sha256").update(key).digest(), length, body, Buffer.alloc(2)]);
}

/** The certificate as it will be issued, but for the promises in it. */
function withoutPoison(precertificate: Buffer): Buffer {
  const parts = ASN1Obj.parseBuffer(Buffer.from(precertificate)).subs[0]?.subs ?? [];
  const extensions = parts.at(-1)?.subs[0]?.subs ?? [];
  const kept = extensions.filter(({ subs: [id] }) => id?.toOID() !== POISON);
  if (kept.length !== extensions.length - 1) throw new Error("not a precertificate");
  return sequence(...parts.slice(0, -1).map(toDer), context(3, sequence(...kept.map(toDer)), true));
}

const toDer = (element: ASN1Obj): Buffer => element.toDER();

/** RFC 5246, section 4.7: SHA-256 with ECDSA. */
function digitallySigned(signature: Buffer): Buffer {
  const head = Buffer.from([4, 3, 0, 0]);
  head.writeUInt16BE(signature.length, 2);
  return Buffer.concat([head, signature]);
}
