import { messageOf } from "../errors.ts";
import { compileGlob } from "../image/glob.ts";
import { CURRENT_FIELD, type FieldErrors, invalidValue } from "./fielderror.ts";

/** What is wrong with a glob; the path is that of the value itself. */
export function globErrors(glob: string): FieldErrors {
  if (!isShellPattern(glob)) return invalidValue(glob, CURRENT_FIELD, "glob is invalid: syntax error in pattern");
  try {
    compileGlob(glob);
    return [];
  } catch (thrown) {
    return invalidValue(glob, CURRENT_FIELD, `glob is invalid: ${messageOf(thrown)}`);
  }
}

/**
 * Whether Go's filepath.Match(glob, "") is content: up to the second run of stars it reads `\c`, `[^lo-hi…]` and any
 * other character. The rest it does not look at, and no more does this, for the sake of the message: `compileGlob`
 * refuses it all.
 */
function isShellPattern(glob: string): boolean {
  const piece = /^(?:\\.|\[\^?(?:(?:\\.|[^\]\\-])(?:-(?:\\.|[^\]\\-]))?)+\]|[^\\[*])*(?:\*|$)/su;
  return piece.test(glob.replace(/^\*+/, ""));
}
