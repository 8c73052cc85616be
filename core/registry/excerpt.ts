import { fieldsOf, parseJson } from "../json.ts";

// Control and format characters, line and paragraph separators, lone surrogates: nothing that could rewrite a terminal or a log line.
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]+/gu;

/** Foreign text made fit for a message: one line, printable, at most `limit` characters. */
export function excerpt(text: string, limit: number): string {
  const clean = [
    ...text
      .slice(0, limit * 4)
      .replace(UNPRINTABLE, " ")
      .trim(),
  ];
  return clean.length > limit ? `${clean.slice(0, limit).join("")}…` : clean.join("");
}

/** An error as registries report it (OCI distribution specification 1.1, "Error Codes"). */
export interface OciError {
  readonly code: string;
  readonly message: string;
}

const MESSAGE_LIMIT = 160;
const CODE = /^[A-Z][A-Z_]{0,39}$/;

/** The first error of a registry's error body, its message cleaned and shortened; undefined for any other body. */
export function parseOciError(body: string): OciError | undefined {
  const errors = fieldsOf(parseJson(body))?.["errors"];
  const { code, message } = fieldsOf(Array.isArray(errors) ? errors[0] : undefined) ?? {};
  if (typeof code !== "string" || !CODE.test(code)) return undefined;
  return { code, message: typeof message === "string" ? excerpt(message, MESSAGE_LIMIT) : "" };
}
