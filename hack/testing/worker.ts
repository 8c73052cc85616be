// A process that runs one test file after the other, as it is told over its channel. Its control plane stays up between them.
import { messageOf } from "../../core/errors.ts";
import { noResults, runFiles } from "./count.ts";

process.on("message", ({ level, file }: { level: string; file: string }) => {
  void runFiles(level, [file])
    .catch((thrown: unknown) => noResults(`${level}: ${file} cannot be loaded: ${messageOf(thrown)}`))
    .then((count) => process.send?.(count));
});
process.once("disconnect", () => process.exit()); // an orderly exit, which ends the control plane
