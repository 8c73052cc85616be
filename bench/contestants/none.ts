import type { Contestant } from "../contestant.ts";
import { makeNamespace, removeNamespace } from "../namespace.ts";

/** No webhook at all: what the API server alone takes. */
export const none: Contestant = {
  name: "none",
  version: () => Promise.resolve("no webhook"),
  warm: true,
  baseline: true,
  async start(bed) {
    await makeNamespace(bed);
    return { pids: [], restart: () => Promise.resolve(), stop: () => removeNamespace(bed) };
  },
};
