import { createReadStream } from "node:fs";
import { inspectSeal } from "../core/cache/inspect.ts";
import { readPublicJwks } from "../core/cache/publicjwks.ts";
import { viewOf } from "../core/cache/view.ts";
import { messageOf } from "../core/errors.ts";
import { samplesIn } from "./cache-input.ts";
import type { Report } from "./cache-text.ts";

const INPUT_LIMIT = 32 * 1024 * 1024;

const OFFLINE = "no cluster was asked: of what the webhook compares, only the seal and the times are judged here";

/** The text of a file, or of standard input for `-`, up to 32 MiB. Throws, with its name, when it is longer or cannot be read. */
export async function readText(file: string, stdin: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of file === "-" ? stdin : (createReadStream(file) as AsyncIterable<Buffer>)) {
      size += chunk.length;
      if (size > INPUT_LIMIT) throw new Error(`longer than ${INPUT_LIMIT} bytes`);
      chunks.push(chunk);
    }
  } catch (thrown) {
    throw new Error(`${file === "-" ? "standard input" : file} cannot be read: ${messageOf(thrown)}`, {
      cause: thrown,
    });
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** What came of a verification: every object that carries an annotation, and whether all their seals hold. */
export interface Verification {
  readonly holds: boolean;
  readonly reports: readonly Report[];
}

/**
 * Holds what stands in `text` against a public JWK set, without a cluster. It holds when there is a sealed annotation at all and every
 * one opens; expiry is told, but does not decide. Throws KEYRING_INVALID.
 */
export async function verifyCache(text: string, jwks: string, now: Date): Promise<Verification> {
  const keyring = readPublicJwks(jwks);
  const reports: Report[] = [];
  let sealed = 0;
  let broken = 0;
  for (const { name, annotation } of samplesIn(text)) {
    if (annotation === undefined) {
      reports.push({ object: name, notes: ["no records are sealed on it"] });
      continue;
    }
    const report = await inspectSeal(annotation, keyring);
    if (report.holds) sealed++;
    else broken++;
    reports.push({ object: name, ...viewOf(report, { now }), notes: report.holds ? [OFFLINE] : [] });
  }
  return { holds: sealed > 0 && broken === 0, reports };
}
