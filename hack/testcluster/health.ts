import { existsSync, readFileSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { setTimeout as delay } from "node:timers/promises";
import { apiCertificate } from "./pki.ts";
import { type DaemonSpec, findDaemon } from "./processes.ts";

const POLL_MS = 100;
const PROBE_MS = 5_000;

/** Waits until `check` holds. Throws with the end of the log when one of `daemons` ends first, or after `deadlineMs`. */
export async function waitUntil(
  what: string,
  check: () => Promise<boolean>,
  watch: { readonly dir: string; readonly daemons: readonly DaemonSpec[] },
  deadlineMs = 120_000,
): Promise<void> {
  const end = performance.now() + deadlineMs;
  let missing: readonly DaemonSpec[] = [];
  while (!(await check())) {
    const before = missing; // one that is only being executed has no environment yet, by which it is found
    missing = watch.daemons.filter((spec) => findDaemon(watch.dir, spec) === undefined);
    const gone = missing.find((spec) => before.includes(spec));
    if (gone !== undefined) throw new Error(ended(gone));
    if (performance.now() > end) {
      throw new Error(
        `${what} not reached in ${deadlineMs / 1000} s\n${watch.daemons.map((spec) => tail(spec.log, 5)).join("\n")}`,
      );
    }
    await delay(POLL_MS);
  }
}

function ended(spec: DaemonSpec): string {
  return `${spec.name} ended; the end of ${spec.log}:\n${tail(spec.log, 15)}`;
}

function tail(path: string, lines: number): string {
  if (!existsSync(path)) return "";
  const end = readFileSync(path, "utf8").trimEnd().split("\n").slice(-lines);
  return end.map((line) => (line.length > 240 ? `${line.slice(0, 240)}…` : line)).join("\n");
}

/** Whether the API server at `server` is ready and is the one whose certificate lies in `dir`. */
export function apiReady(dir: string, server: string): Promise<boolean> {
  return apiAnswers(dir, `${server}/readyz`, [200]);
}

/** Whether the API server at `server` answers at all: enough for those who try again, seconds before it is ready. */
export function apiServing(dir: string, server: string): Promise<boolean> {
  return apiAnswers(dir, `${server}/version`, [200, 403]); // 403: the roles that let anybody ask are not made yet
}

function apiAnswers(dir: string, url: string, good: readonly number[]): Promise<boolean> {
  const path = apiCertificate(dir);
  if (!existsSync(path)) return Promise.resolve(false);
  return answers(httpsRequest(url, { ca: readFileSync(path), timeout: PROBE_MS, agent: false }), good);
}

/** Whether a registry answers at `address`: 401 will do. */
export function registryReady(address: string): Promise<boolean> {
  return answers(httpRequest(`http://${address}/v2/`, { timeout: PROBE_MS, agent: false }), [200, 401]);
}

function answers(request: ReturnType<typeof httpRequest>, good: readonly number[]): Promise<boolean> {
  return new Promise((done) => {
    request
      .once("response", (response) => {
        response.resume();
        done(good.includes(response.statusCode ?? 0));
      })
      .once("timeout", () => request.destroy())
      .once("error", () => done(false))
      .once("close", () => done(false))
      .end();
  });
}
