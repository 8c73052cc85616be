// The demo, run in the cluster's network (see main.ts).
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sharedCluster } from "../../test/support/cluster.ts";
import { cacheChapter } from "./cache.ts";
import { localProduct } from "./local.ts";
import { rewritingChapter } from "./rewriting.ts";
import { Terminal } from "./terminal.ts";
import { verificationChapter } from "./verification.ts";

const cluster = await sharedCluster();
const directory = mkdtempSync(join(tmpdir(), "entrepot-demo-"));
const cosign = await cluster.cosign();
const terminal = new Terminal(cluster, { COSIGN_PASSWORD: "", PATH: `${join(cosign, "..")}:${process.env["PATH"]}` });
const port = cluster.hasNode ? { port: 5001 } : {};
const upstream = await cluster.startRegistry({ name: "upstream", auth: true, ...port });
const stage = { cluster, terminal, upstream, directory };
const local = cluster.hasNode ? undefined : await localProduct(cluster, upstream, directory);
try {
  const pullHost = local?.pullHost ?? "localhost:30500";
  const whole = { ...stage, pullHost, ...(local !== undefined && { local }) };
  await cacheChapter(whole);
  await verificationChapter(whole);
  await rewritingChapter(whole);
} finally {
  await local?.stop();
  rmSync(directory, { recursive: true, force: true });
}
if (terminal.broken.length > 0) {
  console.error(
    `\nThe demo broke ${terminal.broken.length} promises:\n${terminal.broken.map((promise) => `- ${promise}`).join("\n")}`,
  );
  process.exit(1);
}
console.log("\nEverything came out as promised.");
process.exit(0);
