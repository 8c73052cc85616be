import { expect } from "chai";
import { parseCommand } from "../../cli/cache-arguments.ts";

const refused = (...args: readonly string[]): string => {
  try {
    parseCommand(["render", ...args]);
  } catch (thrown) {
    return (thrown as Error).message;
  }
  return "";
};

describe("the arguments of kubectl entrepot render", () => {
  it("are a tool and what it takes", () => {
    expect(parseCommand(["render", "containerd", "--output-dir", "certs.d", "--context", "c"])).to.deep.equal({
      kind: "render",
      target: { tool: "containerd", outputDir: "certs.d" },
      cluster: { context: "c" },
    });
    expect(parseCommand(["render", "kyverno", "--registry", "main"])).to.deep.equal({
      kind: "render",
      target: { tool: "kyverno" },
      registry: "main",
      cluster: {},
    });
    const { target } = parseCommand(["render", "helm-values", "--image", "a:1", "--image=b", "--images", "-"]) as {
      target: { images: readonly { asWritten: string }[]; imagesFile: string };
    };
    expect(target.images.map(({ asWritten }) => asWritten)).to.deep.equal(["a:1", "b"]);
    expect(target.imagesFile).to.equal("-");
  });

  it("are refused in words", () => {
    expect(refused()).to.equal("render containerd, helm-values or kyverno?");
    expect(refused("toml")).to.include('there is nothing to render for "toml"');
    expect(refused("kyverno", "containerd")).to.include("render takes one of");
    expect(refused("kyverno", "--image", "nginx")).to.equal("--image and --images are for render helm-values");
    expect(refused("containerd", "--images", "x")).to.equal("--image and --images are for render helm-values");
    expect(refused("helm-values", "--image", "Nginx")).to.include('invalid image reference "Nginx"');
    expect(refused("kyverno", "--output-dir", "x")).to.equal("--output-dir is for render containerd");
    expect(refused("containerd", "--output-dir", "")).to.include("needs a folder");
    expect(refused("containerd", "--registry", "")).to.include("--registry needs");
  });
});
