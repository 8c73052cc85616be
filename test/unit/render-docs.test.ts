// What docs/render.md says is printed is printed.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import type { KubeObject } from "../../adapters/kube/types.ts";
import { parseCommand } from "../../cli/cache-arguments.ts";
import { answerRender } from "../../cli/render.ts";
import type { RenderCommand } from "../../cli/render-arguments.ts";
import { CACHE_REGISTRIES } from "../../crds/index.ts";
import { MAIN_REGISTRY, namedRule } from "../support/named-rules.ts";

const PAGE = readFileSync(join(import.meta.dirname, "../../docs/render.md"), "utf8");

/** The rules of the page's table. */
const RULES = [...PAGE.matchAll(/^[|] `(\S+)` [|] `(\S+)` [|] `(\S+)` [|] (Ready|not Ready|suspended) [|]$/gm)].map(
  ([, name = "", source = "", target = "", state]) => {
    const rule = namedRule(source, target, {
      name,
      suspend: state === "suspended",
      ...(state !== "Ready" && { notReady: "the reason" }),
    });
    const conditions = rule.status?.conditions?.map((one) => ({
      ...one,
      message: "upstream ghcr.io: no answer within 5 s",
    }));
    return { ...rule, status: { ...rule.status, ...(conditions && { conditions }) } };
  },
);

const client = {
  async *pages<T extends KubeObject>(resource: unknown) {
    const items = resource === CACHE_REGISTRIES ? [MAIN_REGISTRY] : RULES;
    yield { items: items as unknown as readonly T[], resourceVersion: "1" };
  },
};

describe("docs/render.md", () => {
  const blocks = [...PAGE.matchAll(/^```\n[$] kubectl entrepot (render .*)\n([^`]*(?:`[^`]+)*?)^```$/gm)];

  it("shows every command", () => {
    expect(RULES.map(({ metadata }) => metadata.name)).to.deep.equal(["hub", "nginx", "team", "old"]);
    expect(blocks.map(([, command]) => command?.split(" ")[1])).to.deep.equal([
      "containerd",
      "helm-values",
      "helm-values",
      "kyverno",
    ]);
  });

  for (const [, command = "", output] of blocks)
    it(`shows what is printed: ${command}`, async () => {
      const parsed = parseCommand(command.split(" ")) as RenderCommand;
      const read = () => Promise.reject(new Error("there is nothing to read"));
      const { text } = await answerRender(client, parsed, { systemNamespace: "cosign-system", read });
      expect(`${text}\n`).to.equal(output);
    });
});
