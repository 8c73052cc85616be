import { type Fields, fieldsOf } from "../json.ts";

// The fields of ggcr's `v1.ConfigFile`: policy-controller decodes a configuration into that type and shows policies what Go encodes again.
const OPTIONAL = ["author", "container", "docker_version", "os.version", "variant", "os.features"] as const;
const HISTORY = ["author", "created_by", "comment", "empty_layer"] as const;
const HEALTHCHECK = ["Test", "Interval", "Timeout", "StartPeriod", "Retries"] as const;
const CONFIG = [
  "AttachStderr",
  "AttachStdin",
  "AttachStdout",
  "Cmd",
  "Domainname",
  "Entrypoint",
  "Env",
  "Hostname",
  "Image",
  "Labels",
  "OnBuild",
  "OpenStdin",
  "StdinOnce",
  "Tty",
  "User",
  "Volumes",
  "WorkingDir",
  "ExposedPorts",
  "ArgsEscaped",
  "NetworkDisabled",
  "MacAddress",
  "StopSignal",
  "Shell",
] as const;
const NO_TIME = "0001-01-01T00:00:00Z"; // how Go encodes a time that is not set

/** What Go's `omitempty` leaves out. */
function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null || value === "" || value === false || value === 0) return true;
  return typeof value === "object" && Object.keys(value).length === 0;
}

function pick(from: Fields, names: readonly string[]): Fields {
  return Object.fromEntries(names.flatMap((name) => (isEmpty(from[name]) ? [] : [[name, from[name]]])));
}

function historyOf(history: unknown): readonly Fields[] {
  const entries = Array.isArray(history) ? history.map((entry: unknown) => fieldsOf(entry) ?? {}) : [];
  return entries.map((entry) => ({ ...pick(entry, HISTORY), created: entry["created"] ?? NO_TIME }));
}

function runConfigOf(config: Fields): Fields {
  const healthcheck = fieldsOf(config["Healthcheck"]);
  return { ...pick(config, CONFIG), ...(healthcheck !== undefined && { Healthcheck: pick(healthcheck, HEALTHCHECK) }) };
}

/**
 * An image's configuration (OCI image specification 1.1, "Image Configuration") as policy-controller shows it to policies: known fields
 * only, empty ones left out, so that Docker's `"User": ""` is the same as no user.
 */
export function shownConfig(config: Fields): Fields {
  const history = historyOf(config["history"]);
  const rootfs = fieldsOf(config["rootfs"]) ?? {};
  return {
    architecture: config["architecture"] ?? "",
    ...pick(config, OPTIONAL),
    created: config["created"] ?? NO_TIME,
    ...(history.length > 0 && { history }),
    os: config["os"] ?? "",
    rootfs: { type: rootfs["type"] ?? "", diff_ids: rootfs["diff_ids"] ?? null },
    config: runConfigOf(fieldsOf(config["config"]) ?? {}),
  };
}

function text(fields: Fields, name: string): string {
  const value = fields[name];
  return typeof value === "string" ? value : "";
}

/** `OS/architecture[/variant][:os.version]`, as ggcr's `Platform.String` spells it, of a configuration or of a descriptor's platform. */
export function platformName(platform: Fields): string {
  const os = text(platform, "os");
  if (os === "") return "";
  const parts = [os, text(platform, "architecture"), text(platform, "variant")].filter((part) => part !== "");
  const version = text(platform, "os.version");
  return `${parts.join("/")}${version === "" ? "" : `:${version}`}`;
}
