import type { Clock } from "../../adapters/clock.ts";
import type { KubeClient } from "../../adapters/kube/types.ts";
import type { Log } from "../../adapters/telemetry/log.ts";
import { PUBLIC_GOOD_CONFIG_MAP, PUBLIC_GOOD_KEY, TRUST_ANNOTATION } from "../../core/trust/names.ts";
import type { Objects } from "../resources.ts";
import type { Reconcile } from "../runtime/controller.ts";
import { type ConfigMapContent, type ConfigMapObject, writeConfigMap } from "./configmap.ts";
import { type Reading, Readings } from "./readings.ts";
import type { PublicGoodSource } from "./source.ts";

/** What the reconciler of the public-good instance's root works with. */
export interface PublicGoodDependencies {
  readonly client: Pick<KubeClient, "get" | "create" | "replace">;
  readonly namespace: string;
  readonly configMaps: Pick<Objects<ConfigMapObject>, "get">;
  readonly source: PublicGoodSource;
  readonly resyncMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

const INSTALLATION = "installation";

interface Choice {
  readonly text: string | undefined;
  readonly origin: string;
}

/** What was read now; else what was last read of the same source; else the installation's copy. */
function choose(live: ConfigMapObject | undefined, text: string | undefined, source: PublicGoodSource): Choice {
  const tuf = `tuf ${source.id}`;
  if (text !== undefined) return { text, origin: tuf };
  const last = live?.data?.[PUBLIC_GOOD_KEY];
  if (last !== undefined && live?.metadata.annotations?.[TRUST_ANNOTATION.source] === tuf)
    return { text: last, origin: tuf };
  return source.copy === undefined ? { text: undefined, origin: "none" } : { text: source.copy, origin: INSTALLATION };
}

const STANDING: Readonly<Record<string, string>> = {
  [INSTALLATION]:
    "the copy in the installation is in use; in a cluster without a way out, start the operator with --disable-tuf",
  none: "until then, authorities that need the public-good instance refuse every image",
};

/** The content of `public-good-trusted-root` from what is there and what was read. Pure. */
export function editPublicGood(
  live: ConfigMapObject | undefined,
  { text: fresh, problem }: Pick<Reading, "text" | "problem">,
  source: PublicGoodSource,
): ConfigMapContent {
  const { text, origin } = choose(live, fresh, source);
  const standing = STANDING[origin] ?? "what was last read stays in use";
  return {
    data: text === undefined ? {} : { [PUBLIC_GOOD_KEY]: text },
    annotations: {
      [TRUST_ANNOTATION.source]: origin,
      [TRUST_ANNOTATION.problem]: problem === undefined ? undefined : `${problem}; ${standing}`,
    },
  };
}

/**
 * Keeps `public-good-trusted-root`: what TUF gives, refreshed every `resyncMs`; while it gives nothing, what it last gave, else the
 * installation's copy. The first write waits for no network: a mirror that does not answer holds nothing up.
 */
export function publicGoodReconciler(dependencies: PublicGoodDependencies): Reconcile {
  const { client, namespace, configMaps, source, resyncMs, clock, log } = dependencies;
  const readings = new Readings({ clock, resyncMs });
  const address = { namespace, name: PUBLIC_GOOD_CONFIG_MAP };
  let said: string | undefined;

  const write = async (reading: Pick<Reading, "text" | "problem">, signal: AbortSignal): Promise<void> => {
    const known = configMaps.get(`${namespace}/${PUBLIC_GOOD_CONFIG_MAP}`);
    const edit = (live: ConfigMapObject | undefined) => editPublicGood(live, reading, source);
    if (await writeConfigMap(client, address, known, edit, signal)) log.info("public-good trusted root written");
  };

  return async (_key, signal) => {
    const { read } = source;
    if (read === undefined) {
      await write({}, signal);
      return {};
    }
    const live = configMaps.get(`${namespace}/${PUBLIC_GOOD_CONFIG_MAP}`);
    // Reading may take a minute, and what there is may be of another source, or nothing.
    if (live?.data?.[PUBLIC_GOOD_KEY] !== choose(live, undefined, source).text) await write({}, signal);
    const reading = await readings.get(PUBLIC_GOOD_KEY, source.id, () => read(signal), signal);
    await write(reading, signal);
    const { problem, dueInMs } = reading;
    if (problem !== undefined && problem !== said) log.warn("public-good trusted root can't be refreshed", { problem });
    said = problem;
    return { requeueAfterMs: dueInMs };
  };
}
