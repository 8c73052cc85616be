import { createHash } from "node:crypto";
import { dump } from "js-yaml";
import { PRIVATE_HEADER } from "../gatewayaccess/names.ts";
import { visibility } from "./names.ts";
import type { Upstream } from "./types.ts";
import { upstreamUrl } from "./upstream.ts";

/** Where the proxy listens, and where it reports metrics. */
export const DISTRIBUTION_PORT = 5000;
export const DISTRIBUTION_METRICS_PORT = 5001;
/** Where the proxy finds its configuration and keeps what it cached. */
export const CONFIG_DIRECTORY = "/etc/distribution";
export const DATA_DIRECTORY = "/var/lib/registry";

/**
 * The folder on the volume. What was read with credentials is in another than what was not: a proxy gives what it has without asking
 * its upstream, so the same folder without the credentials would show it to anybody. A claim for each does not suffice: a container
 * that starts anew in a Pod which is yet to be replaced reads the new configuration and has the old volume. Never the root of the
 * volume: versions before kept both there.
 */
function dataDirectory(upstream: Upstream): string {
  return `${DATA_DIRECTORY}/${visibility(upstream)}`;
}

/** Escapes what is not printable ASCII: YAML libraries differ in what they take for a line break inside quotes (U+0085, U+2028, U+2029). */
function asciiOnly(yaml: string): string {
  return yaml.replace(/[^\n\x20-\x7e]/gu, (character) => {
    const code = character.codePointAt(0) ?? 0;
    return code > 0xffff ? `\\U${code.toString(16).padStart(8, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
  });
}

/** What else decides about a proxy's configuration. */
export interface ProxyOptions {
  /** A Go duration; `0s` keeps content for ever, none is distribution's seven days. */
  readonly ttl?: string;
  /** A storage driver with its parameters, its folder not shared by what is read with credentials and what is not; none is files on the mounted volume. */
  readonly driver?: object;
  /** Whether several Pods share the storage. */
  readonly shared?: boolean;
}

/**
 * The `config.yml` of a CNCF distribution v3.1 registry that proxies one upstream (configuration reference: "proxy", "storage",
 * "health"). Every string is double-quoted and ASCII, so no credential can be read as YAML. Deterministic: equal input, equal bytes.
 * There is no `http.secret`: it signs uploads, and a proxy takes none (registry/handlers/app.go), so replicas need not agree on one.
 */
export function distributionConfig(upstream: Upstream, { ttl, driver, shared = false }: ProxyOptions = {}): string {
  const config = {
    version: "0.1",
    log: { level: "info", formatter: "json", accesslog: { disabled: false } },
    storage: {
      ...(driver ?? { filesystem: { rootdirectory: dataDirectory(upstream) } }),
      delete: { enabled: true }, // expiry deletes, and is refused without it
      redirect: { disable: true }, // nodes reach the gateway only, never the storage
      // In memory a Pod would go on believing in a blob that another one let expire, and answer for it with an error.
      ...(!shared && { cache: { blobdescriptor: "inmemory" } }),
    },
    http: {
      addr: `:${DISTRIBUTION_PORT}`,
      draintimeout: "20s",
      ...(upstream.credentials && { headers: { [PRIVATE_HEADER]: ["true"] } }),
      debug: { addr: `:${DISTRIBUTION_METRICS_PORT}`, prometheus: { enabled: true, path: "/metrics" } },
    },
    health: { storagedriver: { enabled: true, interval: driver === undefined ? "10s" : "30s", threshold: 3 } },
    proxy: {
      remoteurl: upstreamUrl(upstream),
      ...(upstream.credentials && { username: upstream.credentials.username, password: upstream.credentials.password }),
      ...(ttl !== undefined && { ttl }),
    },
  };
  return asciiOnly(dump(config, { forceQuotes: true, quoteStyle: "double", lineWidth: -1 }));
}

/** A short name for the content of files: a Pod template that carries it rolls when the content changes. The content can't be got back from it. */
export function contentHash(files: Readonly<Record<string, string>>): string {
  const hash = createHash("sha256");
  for (const name of Object.keys(files).sort()) hash.update(JSON.stringify([name, files[name]]));
  return hash.digest("hex").slice(0, 32);
}
