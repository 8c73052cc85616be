import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { DaemonSpec } from "./processes.ts";

/** The one user of registries that ask for a password: known to everybody, good for tests alone. */
export const TEST_USER = { username: "test", password: "test-only-password" } as const;
const TEST_USER_HTPASSWD = "test:$2y$05$entrepotentrepotentre.1jNQN2eb8Ehf9EMv004T5VlMlGxf3t.\n";

export interface RegistryOptions {
  readonly name: string;
  /** What it listens on: `host:port`. */
  readonly listen: string;
  /** Asks for `TEST_USER`'s password for everything. */
  readonly auth?: boolean;
  /** Serves another registry's images (pull-through) instead of its own. */
  readonly proxy?: {
    readonly remoteurl: string;
    readonly username?: string;
    readonly password?: string;
    readonly ttl?: string;
  };
}

/** A request that a registry answered. */
export interface AccessLogEntry {
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly userAgent: string;
}

/** Writes a registry's configuration and says how to start it. Its images live in the state folder. */
export function registryDaemon(dir: string, binary: string, options: RegistryOptions): DaemonSpec {
  const component = registryComponent(options.name);
  const htpasswd = join(dir, "conf/htpasswd");
  if (options.auth) writeFileSync(htpasswd, TEST_USER_HTPASSWD);
  const config = {
    version: 0.1,
    log: { level: "info" },
    storage: {
      filesystem: { rootdirectory: join(dir, "data", component) },
      delete: { enabled: options.proxy === undefined },
      redirect: { disable: true },
    },
    http: { addr: options.listen },
    ...(options.auth && { auth: { htpasswd: { realm: "test", path: htpasswd } } }),
    ...(options.proxy && { proxy: options.proxy }),
  };
  const file = join(dir, `conf/${component}.yml`);
  writeFileSync(file, `${JSON.stringify(config, null, 2)}\n`);
  return {
    name: component,
    argv: [binary, "serve", file],
    env: { OTEL_TRACES_EXPORTER: "none" },
    log: join(dir, `logs/${component}.log`),
    stdout: accessLogPath(dir, options.name),
  };
}

/** The component name of a registry: the plain one is just `registry`. */
export function registryComponent(name: string): string {
  return name === "registry" ? name : `registry-${name}`;
}

/** Where a registry writes one line per request. */
export function accessLogPath(dir: string, name: string): string {
  return join(dir, `logs/${registryComponent(name)}.access.log`);
}

// Apache's combined log format, as distribution writes it.
const LINE =
  /^\S+ \S+ \S+ \[[^\]]*\] "(?<method>[A-Z]+) (?<path>\S+) [^"]*" (?<status>\d{3}) \S+ "[^"]*" "(?<userAgent>[^"]*)"$/;

/** Reads access log lines; what is none (a line half written) is left out. */
export function parseAccessLog(text: string): AccessLogEntry[] {
  return text.split("\n").flatMap((line) => {
    const { method, path, status, userAgent } = LINE.exec(line)?.groups ?? {};
    if (method === undefined || path === undefined || userAgent === undefined) return [];
    return [{ method, path, status: Number(status), userAgent }];
  });
}

/** Every request that a registry has answered since it was first started, oldest first. */
export function readAccessLog(dir: string, name: string): AccessLogEntry[] {
  const path = accessLogPath(dir, name);
  return existsSync(path) ? parseAccessLog(readFileSync(path, "utf8")) : [];
}
