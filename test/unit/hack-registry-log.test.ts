import { expect } from "chai";
import { parseAccessLog } from "../../hack/testcluster/registry.ts";

describe("a registry's access log", () => {
  const line = (request: string, status: number, agent: string) =>
    `10.244.0.1 - test [21/Nov/2026:21:52:10 +0000] "${request}" ${status} 0 "" "${agent}"`;

  it("is read line by line", () => {
    const text = [
      line("HEAD /v2/team/app/manifests/v1 HTTP/1.1", 200, "containerd/1.6.20"),
      line("GET /v2/ HTTP/1.1", 401, ""),
    ].join("\n");
    expect(parseAccessLog(text)).to.deep.equal([
      { method: "HEAD", path: "/v2/team/app/manifests/v1", status: 200, userAgent: "containerd/1.6.20" },
      { method: "GET", path: "/v2/", status: 401, userAgent: "" },
    ]);
  });

  it("leaves out lines that are half written or none of its own", () => {
    const whole = line("GET /v2/ HTTP/1.1", 200, "x");
    expect(parseAccessLog(`${whole.slice(0, -3)}\ntime="2026" level=info msg=x\n\n`)).to.deep.equal([]);
    expect(parseAccessLog(`${whole}\n`)).to.have.length(1);
  });
});
