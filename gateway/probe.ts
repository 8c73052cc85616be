import { asBackendError, type Backends } from "./backend.ts";

/** Whether a backend answered `/v2/`, and if not, why. */
export type BackendHealth = { readonly ready: true } | { readonly ready: false; readonly reason: string };

const PROBE_MS = 2_000;
const FRESH_MS = 2_000;

interface Sample {
  readonly at: number;
  readonly health: Promise<BackendHealth>;
}

/** Asks backends whether they serve, each at most once in two seconds however many ask. There is one backend per upstream host. */
export class BackendProbe {
  readonly #backends: Backends;
  readonly #samples = new Map<string, Sample>();

  constructor(backends: Backends) {
    this.#backends = backends;
  }

  /** The health of each origin, now or at most two seconds ago. Never rejects; takes two seconds at most. */
  async check(origins: Iterable<string>): Promise<ReadonlyMap<string, BackendHealth>> {
    const wanted = new Set(origins);
    for (const origin of this.#samples.keys()) if (!wanted.has(origin)) this.#samples.delete(origin);
    const entries = [...wanted].map(async (origin) => [origin, await this.#sample(origin)] as const);
    return new Map(await Promise.all(entries));
  }

  #sample(origin: string): Promise<BackendHealth> {
    const known = this.#samples.get(origin);
    const now = performance.now();
    if (known !== undefined && now - known.at < FRESH_MS) return known.health;
    const health = this.#ask(origin);
    this.#samples.set(origin, { at: now, health });
    return health;
  }

  async #ask(origin: string): Promise<BackendHealth> {
    try {
      const request = { origin, method: "GET", path: "/v2/", headers: {}, headersMs: PROBE_MS } as const;
      const { status, body } = await this.#backends.open({ ...request, signal: new AbortController().signal });
      void body.dump({ limit: 16 * 1024 }).catch(() => undefined);
      return status === 200
        ? { ready: true }
        : { ready: false, reason: `its backend answers /v2/ with status ${status}` };
    } catch (thrown) {
      return { ready: false, reason: asBackendError(thrown).message };
    }
  }
}
