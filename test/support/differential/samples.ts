// The policies of sigstore policy-controller's own tests, which are no part of this project.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { load } from "js-yaml";
import type { ClusterImagePolicySpec } from "../../../crds/types.ts";
import { SAMPLES } from "../conformance.ts";

export interface Sample {
  /** `valid/valid-policy.yaml`. */
  readonly name: string;
  readonly spec: ClusterImagePolicySpec;
  /** What its refusal says, line by line; none: it is accepted. */
  readonly refused: readonly string[];
}

/** All of them; none, and a line on the console, where they are not. */
export function samples(): readonly Sample[] {
  if (!existsSync(SAMPLES)) {
    console.error("      skipped: policy-controller's samples are not here (set ENTREPOT_CONFORMANCE to their folder)");
    return [];
  }
  return ["valid", "invalid", "e2e"].flatMap((folder) =>
    readdirSync(join(SAMPLES, folder)).map((file) => {
      const text = readFileSync(join(SAMPLES, folder, file), "utf8");
      const { spec } = load(text) as Pick<Sample, "spec">;
      const refused = [...text.matchAll(/^# ERROR:\s*(.*)$/gm)].map(([, line = ""]) => line.trim());
      return { name: `${folder}/${file}`, spec, refused };
    }),
  );
}
