/** What a client showed. */
export type Shown =
  | { readonly kind: "nothing" }
  | { readonly kind: "basic"; readonly username: string; readonly password: string }
  | { readonly kind: "bearer"; readonly token: string }
  | { readonly kind: "unreadable" };

const HEADER_LIMIT = 12 * 1024;
const SCHEME = /^([A-Za-z]{1,16}) +([A-Za-z0-9._~+/-]+=*)$/; // RFC 9110 section 11.4: token68, which basic and bearer both are
const UNREADABLE: Shown = { kind: "unreadable" };

function basic(token: string): Shown {
  const bytes = Buffer.from(token, "base64");
  const text = bytes.toString("utf8");
  const colon = text.indexOf(":");
  if (colon < 0 || text.includes("\ufffd") || /\p{Cc}/u.test(text)) return UNREADABLE;
  const [username, password] = [text.slice(0, colon), text.slice(colon + 1)];
  // What CRI-O and skopeo send when they have no credentials and `/v2/` asks for some.
  if (username === "" && password === "") return { kind: "nothing" };
  return { kind: "basic", username, password };
}

/** Reads an Authorization header (RFC 7617, RFC 6750). */
export function readAuthorization(header: string | undefined): Shown {
  if (header === undefined || header === "") return { kind: "nothing" };
  const match = header.length > HEADER_LIMIT ? null : SCHEME.exec(header.trim());
  const [, scheme = "", token = ""] = match ?? [];
  switch (scheme.toLowerCase()) {
    case "basic":
      return basic(token);
    case "bearer":
      return { kind: "bearer", token };
    default:
      return UNREADABLE;
  }
}
