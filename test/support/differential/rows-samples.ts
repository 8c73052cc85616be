// policy-controller's own end-to-end policies, as far as they ask for nothing outside.
import { pod, type Row, type Scenario } from "./model.ts";
import { samples } from "./samples.ts";

const DIGEST = `sha256:${"4".repeat(64)}`;
const DEMO = `example.invalid/demo@${DIGEST}`;
const SERVER = `ghcr.io/sigstore/timestamp-server@${DIGEST}`;

const ROWS: Readonly<Record<string, readonly Row[]>> = {
  "cip-static-pass": [{ name: "a demo", ask: () => pod(DEMO), theirs: "admitted" }],
  "cip-static-fail": [{ name: "a demo", ask: () => pod(DEMO), theirs: { refused: "disallowed by static policy" } }],
  "cip-match-resource-label": [
    { name: "without the label", ask: () => pod(DEMO), theirs: { refused: "no matching policies" } },
  ],
  "cip-include-spec": [{ name: "a server", ask: () => pod(SERVER), theirs: "admitted" }],
  "cip-include-spec-fails": [
    {
      name: "a server",
      ask: () => pod(SERVER),
      theirs: { refused: 'spec.serviceAccount: conflicting values "default" and "non-default"' },
    },
  ],
};

export const sampled: readonly Scenario[] = samples().flatMap(({ name, spec }) => {
  const file = /^e2e\/(.*)\.yaml$/.exec(name)?.[1] ?? "";
  const rows = ROWS[file];
  return rows === undefined
    ? []
    : [{ name: file, alone: true, images: [], policies: () => ({ p: spec }), unready: true, rows }];
});
