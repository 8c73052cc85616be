import { Readable } from "node:stream";
import type { KMSClient } from "@aws-sdk/client-kms";
import { KmsError } from "./errors.ts";

const RESPONSE_LIMIT = 64 * 1024; // a public key and its description are below 4 KiB

/** Makes an AWS client give up an answer that is longer than any public key: its SDK has no limit of its own. */
export function limitResponses(stack: KMSClient["middlewareStack"]): void {
  stack.add(
    (next) => async (args) => {
      const result = await next(args);
      const response = result.response as { body?: unknown } | undefined;
      if (response?.body instanceof Readable) response.body = Readable.from(limited(response.body));
      return result;
    },
    { step: "deserialize", priority: "low", name: "limitResponses" },
  );
}

async function* limited(body: Readable): AsyncIterable<Buffer> {
  let size = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > RESPONSE_LIMIT) throw new KmsError("KMS_FAILED", `the answer is longer than ${RESPONSE_LIMIT} bytes`);
    yield chunk;
  }
}
