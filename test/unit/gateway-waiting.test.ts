import { expect } from "chai";
import type { Check } from "../../adapters/http/status.ts";
import type { Log } from "../../adapters/telemetry/log.ts";
import {
  certificateAwaited,
  clientsAwaited,
  type MountSeen,
  registryAwaited,
  rulesAwaited,
} from "../../core/gateway/waiting.ts";
import { tellWaiting } from "../../gateway/waiting.ts";
import { FakeClock } from "../support/fake-clock.ts";

const SECOND_MS = 1_000;

class Stage {
  readonly clock = new FakeClock();
  readonly end = new AbortController();
  readonly lines: unknown[] = [];
  readonly reasons = new Map<string, string>();

  start(): Promise<void> {
    const tell = (message: string, fields: object = {}): void => void this.lines.push([message, fields]);
    const log: Log = { debug: tell, info: tell, warn: tell, error: tell, child: () => log };
    const checks = new Map<string, Check>(
      ["rules", "listening"].map((name) => [name, () => this.reasons.get(name)] as const),
    );
    return tellWaiting({ checks, clock: this.clock, log, signal: this.end.signal });
  }
}

const waiting = (check: string, reason: string): unknown => ["gateway not ready, waiting", { check, reason }];
const READY = ["gateway ready", {}];

describe("a gateway that is not ready", () => {
  it("says nothing of what it waits for while it starts as it should", async () => {
    const stage = new Stage();
    stage.reasons.set("rules", "no rules");
    const told = stage.start();
    await stage.clock.advance(4 * SECOND_MS);
    stage.reasons.clear();
    await stage.clock.advance(SECOND_MS);
    await told;
    expect(stage.lines).to.deep.equal([READY]);
  });

  it("says once what it waits for, and that it waits no more", async () => {
    const stage = new Stage();
    stage.reasons.set("rules", "no rules").set("listening", "no certificate");
    const told = stage.start();
    await stage.clock.advance(60 * SECOND_MS);
    const first = [waiting("rules", "no rules"), waiting("listening", "no certificate")];
    expect(stage.lines).to.deep.equal(first);
    stage.reasons.set("listening", "no usable certificate");
    await stage.clock.advance(60 * SECOND_MS);
    const second = [...first, waiting("listening", "no usable certificate")];
    expect(stage.lines, "another reason is told, too").to.deep.equal(second);
    stage.reasons.clear();
    await stage.clock.advance(SECOND_MS);
    await told;
    expect(stage.lines).to.deep.equal([...second, READY]);
    expect(stage.clock.pending).to.equal(0);
  });

  it("ends with the process, waiting or not", async () => {
    const stage = new Stage();
    stage.reasons.set("rules", "no rules");
    const told = stage.start();
    stage.end.abort();
    await told;
    expect([stage.lines, stage.clock.pending]).to.deep.equal([[], 0]);
  });

  it("names what is missing, and the next step", () => {
    const seen: MountSeen = { registry: "main", directory: "/etc/entrepot-gateway", unusable: false };
    expect(rulesAwaited()).to.equal(
      `the CacheRules are not loaded yet: the Kubernetes API has not given the gateway its cacherules; why is in the gateway's log ("informer lost contact"): the API must be reachable, and let the gateway's ServiceAccount list and watch cacherules`,
    );
    expect(registryAwaited("main")).to.include('CacheRegistry "main" is not loaded yet').and.include("cacheregistries");
    expect(clientsAwaited(seen)).to.include("/etc/entrepot-gateway has no access.json; the operator writes");
    expect(certificateAwaited(seen)).to.equal(
      "there is no certificate to serve with yet (spec.inCluster.tls): /etc/entrepot-gateway has no tls.crt and tls.key; the operator writes there, and where it cannot, as while a Secret is missing, kubectl describe cacheregistry main says why",
    );
    expect(certificateAwaited({ ...seen, unusable: true })).to.include("that can be used, the gateway's log says why");
  });
});
