import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** What became of one specification of the suite. */
export interface Spec {
  readonly name: string;
  readonly status: string;
}

/** The executable of the specification's own conformance suite (v1.1.1), which its README says how to get; undefined when unset. */
export function ociConformanceSuite(): string | undefined {
  return process.env["OCI_CONFORMANCE"] || undefined;
}

/** The specifications of a JUnit report as Ginkgo writes it, without those that were skipped. */
export function parseJunit(report: string): readonly Spec[] {
  return [...report.matchAll(/<testcase name="([^"]*)"[^>]* status="([a-z]+)"/g)]
    .map(([, name = "", status = ""]) => ({
      name: name.replace("OCI Distribution Conformance Tests ", "").replaceAll("&#39;", "'"),
      status,
    }))
    .filter(({ name, status }) => status !== "skipped" && !name.startsWith("["));
}

/** Runs the suite with these variables; gives what it reports, whatever its exit status. */
export async function runOciConformance(suite: string, env: Record<string, string>): Promise<readonly Spec[]> {
  const dir = mkdtempSync(join(tmpdir(), "entrepot-conformance-"));
  try {
    const child = spawn(suite, [], {
      cwd: dir,
      env: { ...env, OCI_REPORT_DIR: dir },
      stdio: "ignore",
      timeout: 180_000,
    });
    await once(child, "exit");
    return parseJunit(readFileSync(join(dir, "junit.xml"), "utf8"));
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
