import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { load } from "js-yaml";
import { validateClusterImagePolicy } from "../../core/policy/validate.ts";
import type { IClusterImagePolicy } from "../../crds/index.ts";
import { SAMPLES } from "../support/conformance.ts";

const OPTIONS = { systemNamespace: "cosign-system", failOnEmptyAuthorities: true };

function files(kind: string): readonly string[] {
  const folder = join(SAMPLES, kind);
  return existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : [];
}

function read(file: string): { policy: IClusterImagePolicy; expected: readonly string[] } {
  const text = readFileSync(file, "utf8");
  const expected = [...text.matchAll(/^# ERROR:\s*(.*)$/gm)].map(([, line = ""]) => line.trim());
  return { policy: load(text) as IClusterImagePolicy, expected };
}

describe("policy-controller's sample policies", () => {
  if (!existsSync(SAMPLES)) {
    it("are accepted and refused alike", function () {
      console.log(`      skipped: policy-controller's samples are not here (set ENTREPOT_CONFORMANCE to their folder)`);
      this.skip();
    });
  }

  for (const file of [...files("valid"), ...files("e2e")]) {
    it(`accepts ${file.slice(SAMPLES.length + 1)}`, () => {
      expect(validateClusterImagePolicy(read(file).policy, OPTIONS)).to.deep.equal({ errors: undefined, warnings: [] });
    });
  }

  for (const file of files("invalid")) {
    it(`refuses ${file.slice(SAMPLES.length + 1)} in the same words`, () => {
      const { policy, expected } = read(file);
      const text = `validation failed: ${validateClusterImagePolicy(policy, OPTIONS).errors}`;
      expect(expected).to.not.be.empty;
      for (const line of expected) expect(text).to.include(line);
    });
  }
});
