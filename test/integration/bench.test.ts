import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect } from "chai";
import type { Results, RoundCell } from "../../bench/results.ts";

const MAIN = join(import.meta.dirname, "../../bench/main.ts");
const TINY = ["--rounds", "1", "--seconds", "0", "--samples", "12", "--fresh", "4", "--delays", "20"];
const HITS = ["warm-tag", "warm-digest", "bare-digest", "restart"];

describe("make bench", () => {
  const out = mkdtempSync(join(tmpdir(), "entrepot-bench-"));
  let printed = "";
  let results: Results;

  before(async function () {
    this.timeout(0); // the first time on a machine it builds Kubernetes
    const args = [MAIN, "--only", "none,noop,entrepot", "--concurrency", "1,4", ...TINY, "--out", out];
    printed = (await promisify(execFile)(process.execPath, args)).stdout;
    results = JSON.parse(readFileSync(join(out, "results.json"), "utf8")) as Results;
  });
  after(() => rmSync(out, { recursive: true, force: true }));

  const of = (contestant: string, ...scenarios: readonly string[]): readonly RoundCell[] => {
    const found = results.rounds.filter((one) => one.contestant === contestant && scenarios.includes(one.scenario));
    expect(found, `${contestant} ${scenarios}`).to.not.be.empty;
    return found;
  };

  it("measures every contestant in every scenario and at every concurrency, and all Pods are admitted", () => {
    const each = 5 * 2 + 2; // five scenarios at two concurrencies, two at their own
    const counts = Object.groupBy(results.cells, ({ contestant }) => contestant);
    expect(counts["none"]?.length).to.equal(each);
    expect(counts["noop"]?.length).to.equal(each);
    expect(counts["entrepot"]?.length).to.equal(each);
    for (const cell of results.rounds) {
      expect(cell.failures, JSON.stringify(cell)).to.equal(0);
      expect(cell.samples).to.be.at.least(1);
      expect(cell.p50).to.be.above(0).and.at.most(cell.p90);
      expect(cell.p90).to.be.at.most(cell.p99);
    }
  });

  it("counts no registry request for a hit, and three for a new image, shared by 200 Pods at once and by a Deployment of 20", () => {
    for (const { registryRequests } of of("entrepot", ...HITS)) expect(registryRequests).to.equal(0);
    for (const { registryPerAdmission } of of("entrepot", "cold")) expect(registryPerAdmission).to.equal(3);
    for (const { registryRequests } of of("entrepot", "burst", "deployment")) expect(registryRequests).to.equal(3);
    for (const { samples } of of("entrepot", "burst")) expect(samples).to.equal(200);
    for (const { registryRequests } of of("noop", "cold", "burst", "deployment")) expect(registryRequests).to.equal(0);
  });

  it("measures annotation hits, not memory's, after a restart: each owner is read from the API server", () => {
    for (const { kubePerAdmission } of of("entrepot", "restart")) expect(kubePerAdmission).to.be.within(1, 2);
    for (const { kubePerAdmission } of of("entrepot", "warm-tag")) expect(kubePerAdmission).to.be.below(1);
  });

  it("obeys the delay: a new image waits for it at least twice", () => {
    for (const { delayMs, p50 } of of("entrepot", "cold")) expect(p50).to.be.at.least(2 * delayMs);
  });

  it("reads CPU and memory of the contestant's processes", () => {
    for (const { peakMiB } of of("entrepot", "cold")) expect(peakMiB).to.be.within(100, 2_000);
    for (const { peakMiB } of of("noop", "cold")) expect(peakMiB).to.be.within(30, 300);
    for (const cell of of("none", "cold")) expect([cell.peakMiB, cell.cpuMsPerAdmission]).to.deep.equal([0, 0]);
    const cpu = of("entrepot", "restart").map(({ cpuMsPerAdmission }) => cpuMsPerAdmission);
    expect(Math.min(...cpu)).to.be.above(0);
  });

  it("says the machine and the versions, in results.json", () => {
    expect(results.machine.cores).to.equal(cpus().length);
    expect(results.machine.node).to.equal(process.versions.node);
    for (const name of ["noop", "entrepot", "kubernetes", "registry", "cosign"])
      expect(results.versions[name], name).to.match(/\d+\.\d+\.\d+/);
    expect(results.troubles).to.deep.equal([]);
  });

  it("prints the table and the promises, and plots", () => {
    expect(printed).to.match(/^scenario .* p50\/noop .* p50 ms/m);
    expect(printed).to.match(/^held {4}registry requests of a hit in memory: at most 0; it is 0/m);
    expect(printed).to.match(/^held {4}registry requests for a new image/m);
    expect(printed).to.match(/^\? {7}median of a new image, ahead of policy-controller's.*not measured/m);
    expect(readFileSync(join(out, "latency.svg"), "utf8")).to.contain("Concurrency 4, registry delay 20 ms");
  });
});
