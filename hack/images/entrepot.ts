import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { BlobStore, Descriptor } from "../oci/store.ts";
import { file, tree } from "../oci/tree.ts";
import { ENGINE_FILE } from "../policy-engine.ts";
import { baseFiles, CA_BUNDLE, libraries, NONROOT } from "./debian.ts";

const APP = ["core", "crds", "adapters", "operator", "webhooks", "gateway"];
const NOT_SHIPPED =
  /\/(?:\.bin|\.package-lock\.json|test|tests|docs|benchmarks?|examples?)$|\.(?:map|md|markdown|d\.[cm]?ts|tsbuildinfo)$/;

const INSTALL_MS = 600_000;

/**
 * The image of the product: Debian's libraries, Node, the production dependencies and the app, from what changes least to what changes most.
 * `policyEngine`: the path of the built engine (`ensurePolicyEngine`).
 * No shell, no package manager, not root. Runs `main.ts` with the container's arguments. Linux only: it ships this machine's Node.
 */
export function entrepotImage(store: BlobStore, root: string, cache: string, policyEngine: string): Descriptor {
  if (process.platform !== "linux")
    throw new Error("this image ships this machine's Node, which must be Linux's: use the Dockerfile");
  const node = join(root, "node_modules/node/bin/node");
  const modules = join(productionModules(root, cache), "node_modules");
  const app = APP.filter((name) => existsSync(join(root, name)));
  const layers = [
    store.layer("debian files", [...baseFiles(), ...libraries(node)]),
    store.layer("node", [file("usr/local/bin/node", node, 0o755)]),
    store.layer(
      "node_modules",
      tree(modules, "app/node_modules", (path) => !NOT_SHIPPED.test(path)),
    ),
    store.layer("policy engine", [file(`app/${ENGINE_FILE}`, policyEngine)]),
    store.layer("app", [
      ...["package.json", "main.ts"]
        .filter((name) => existsSync(join(root, name)))
        .map((name) => file(`app/${name}`, join(root, name))),
      ...app.flatMap((name) => tree(join(root, name), `app/${name}`, (path) => !path.endsWith(".md"))),
    ]),
  ];
  return store.image(layers, {
    User: NONROOT,
    WorkingDir: "/app",
    Entrypoint: ["/usr/local/bin/node", "main.ts"],
    Env: ["PATH=/usr/local/bin", "NODE_ENV=production", `SSL_CERT_FILE=/${CA_BUNDLE}`],
    StopSignal: "SIGTERM",
    Labels: { "org.opencontainers.image.title": "entrepot", "org.opencontainers.image.licenses": "Apache-2.0" },
  });
}

/** A folder with the dependencies that production needs, by the lock file; installed once per lock file. No install script runs. */
export function productionModules(root: string, cache: string): string {
  const inputs = ["package.json", "package-lock.json", ".npmrc"].filter((name) => existsSync(join(root, name)));
  const hash = createHash("sha256");
  for (const name of inputs) hash.update(`\0${name}\0`).update(readFileSync(join(root, name)));
  const dir = join(cache, `node_modules-${hash.digest("hex").slice(0, 12)}`);
  if (existsSync(dir)) return dir;
  const unfinished = `${dir}.${process.pid}.tmp`;
  rmSync(unfinished, { recursive: true, force: true });
  mkdirSync(unfinished, { recursive: true });
  for (const name of inputs) copyFileSync(join(root, name), join(unfinished, name));
  try {
    const args = ["ci", "--omit=dev", "--ignore-scripts", "--no-progress", "--prefer-offline"];
    execFileSync("npm", args, { cwd: unfinished, stdio: ["ignore", "ignore", "inherit"], timeout: INSTALL_MS });
    if (!existsSync(dir)) renameSync(unfinished, dir);
  } finally {
    rmSync(unfinished, { recursive: true, force: true });
  }
  return dir;
}
