import { messageOf } from "../core/errors.ts";
import { parseVerifyBundle, USAGE } from "./arguments.ts";
import { verifyBundle } from "./verify-bundle.ts";

const DEADLINE_MS = 60_000;

/** The exit status: 0 verified, 1 not verified, 2 not understood or not supported. Why, on standard error. */
async function main([command, ...args]: readonly string[]): Promise<number> {
  if (command === "sign-bundle") {
    console.error("sign-bundle is not supported: this program verifies");
    return 2;
  }
  if (command !== "verify-bundle") {
    console.error(USAGE);
    return 2;
  }
  let asked: ReturnType<typeof parseVerifyBundle>;
  try {
    asked = parseVerifyBundle(args);
  } catch (thrown) {
    console.error(`${messageOf(thrown)}\n${USAGE}`);
    return 2;
  }
  const verdict = await verifyBundle(asked, AbortSignal.timeout(DEADLINE_MS));
  if (verdict.kind === "verified") return 0;
  console.error(`not verified: ${verdict.reason}`);
  return 1;
}

main(process.argv.slice(2)).then(
  (status) => {
    process.exitCode = status;
  },
  (thrown: unknown) => {
    console.error(`not verified: ${messageOf(thrown)}`);
    process.exitCode = 1;
  },
);
