import { expect } from "chai";
import { platformName, shownConfig } from "../../core/image/configfile.ts";

describe("an image's configuration, as policies see it", () => {
  it("has what Go always encodes, whatever is missing", () => {
    expect(shownConfig({})).to.deep.equal({
      architecture: "",
      created: "0001-01-01T00:00:00Z",
      os: "",
      rootfs: { type: "", diff_ids: null },
      config: {},
    });
  });

  it("has no empty fields, as Docker writes them, and none that Go does not know", () => {
    const config = { User: "", Cmd: [], Labels: {}, Tty: false, Env: null, Hostname: "h", Mystery: 1 };
    expect(shownConfig({ author: "", mystery: 1, config })["config"]).to.deep.equal({ Hostname: "h" });
  });

  it("keeps a health check, without its empty fields", () => {
    const config = { Healthcheck: { Test: ["CMD", "true"], Interval: 5_000_000_000, Retries: 0 } };
    expect(shownConfig({ config })["config"]).to.deep.equal({
      Healthcheck: { Test: ["CMD", "true"], Interval: 5_000_000_000 },
    });
  });

  it("keeps the history, each entry with a time", () => {
    const history = [
      { created_by: "COPY", empty_layer: false },
      { created: "2024-01-02T03:04:05Z", empty_layer: true },
    ];
    expect(shownConfig({ history })["history"]).to.deep.equal([
      { created_by: "COPY", created: "0001-01-01T00:00:00Z" },
      { created: "2024-01-02T03:04:05Z", empty_layer: true },
    ]);
  });

  for (const [platform, name] of [
    [{ os: "linux", architecture: "amd64" }, "linux/amd64"],
    [{ os: "linux", architecture: "arm", variant: "v7" }, "linux/arm/v7"],
    [{ os: "windows", architecture: "amd64", "os.version": "10.0.1" }, "windows/amd64:10.0.1"],
    [{ os: "linux" }, "linux"],
    [{ architecture: "amd64" }, ""],
    [{ os: 5, architecture: "amd64" }, ""],
  ] as const) {
    it(`of ${JSON.stringify(platform)} is for "${name}"`, () => {
      expect(platformName(platform)).to.equal(name);
    });
  }
});
