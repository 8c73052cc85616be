import { isFields, stringField } from "../../core/json.ts";
import { errorFromStatus, KubeError } from "./errors.ts";
import { adopt } from "./objects.ts";
import type { KubeObject, Resource, WatchEvent } from "./types.ts";

const NEWLINE = 0x0a;

/**
 * Cuts a byte stream into lines, without their newline; a last line without newline is dropped, because a cut connection left it
 * unfinished. Throws TOO_LARGE for a line over `maxBytes`: memory is bounded by the line limit and one chunk.
 */
export async function* lines(
  chunks: AsyncIterable<Buffer>,
  maxBytes: number,
  subject: string,
): AsyncGenerator<Buffer, void, undefined> {
  let parts: Buffer[] = [];
  let size = 0;
  for await (const chunk of chunks) {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
      const line = Buffer.concat([...parts, chunk.subarray(start, end)]);
      if (line.length > maxBytes) throw tooLong(subject, maxBytes);
      parts = [];
      size = 0;
      start = end + 1;
      if (line.length > 0) yield line;
    }
    const rest = chunk.subarray(start);
    size += rest.length;
    if (size > maxBytes) throw tooLong(subject, maxBytes);
    if (rest.length > 0) parts.push(rest);
  }
}

function tooLong(subject: string, maxBytes: number): KubeError {
  return new KubeError("TOO_LARGE", `${subject}: one event is longer than ${maxBytes} bytes`);
}

/** One line of a watch as an event. Throws the server's error for an ERROR event (410 is GONE), MALFORMED for what is no event. */
export function decodeEvent<T extends KubeObject>(line: Buffer, resource: Resource, subject: string): WatchEvent<T> {
  let event: unknown;
  try {
    event = JSON.parse(line.toString("utf8"));
  } catch {
    throw new KubeError("MALFORMED", `${subject}: an event is not JSON`);
  }
  const object = isFields(event) ? event["object"] : undefined;
  const type = stringField(event, "type");
  switch (type) {
    case "ADDED":
    case "MODIFIED":
    case "DELETED":
      return { type, object: adopt<T>(object, resource, subject) };
    case "BOOKMARK": {
      const resourceVersion = stringField(isFields(object) ? object["metadata"] : undefined, "resourceVersion");
      if (resourceVersion === undefined)
        throw new KubeError("MALFORMED", `${subject}: a bookmark without resourceVersion`);
      return { type, resourceVersion };
    }
    case "ERROR": {
      const code = isFields(object) ? object["code"] : undefined;
      throw errorFromStatus(subject, typeof code === "number" ? code : 500, object);
    }
    default:
      throw new KubeError("MALFORMED", `${subject}: an event of no known type`);
  }
}
