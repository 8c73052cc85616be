import { Client } from "undici";
import type { Bed } from "./contestant.ts";
import type { Credentials } from "./credentials.ts";
import type { Series } from "./load.ts";
import { workload } from "./pods.ts";

const LONGEST_MS = 60_000;

/** Creates a Deployment for real; one sample: the time until its last Pod exists, as a watch sees it. */
export async function rollOut(
  { api, namespace }: Bed,
  access: Credentials,
  name: string,
  image: string,
  replicas: number,
): Promise<Series> {
  const client = new Client(access.server, { connect: access.connect });
  try {
    const made = await watchPods(client, access, namespace);
    const began = performance.now();
    const path = `/apis/apps/v1/namespaces/${namespace}/deployments`;
    await api.must({ method: "POST", path, body: workload("Deployment", name, image, replicas) });
    const errors = await made(replicas);
    const elapsedMs = performance.now() - began;
    return { latencies: errors.length > 0 ? [] : [elapsedMs], elapsedMs, errors };
  } finally {
    await client.destroy();
  }
}

/** Watches the Pods of a namespace from now on; what it gives waits until `count` have been made and says why they have not been. */
async function watchPods(
  client: Client,
  { headers }: Credentials,
  namespace: string,
): Promise<(count: number) => Promise<readonly string[]>> {
  const pods = `/api/v1/namespaces/${namespace}/pods`;
  const ask = async (query: string) =>
    (await client.request({ path: `${pods}?${query}`, method: "GET", headers })).body;
  const { metadata } = (await (await ask("limit=1")).json()) as { metadata: { resourceVersion: string } };
  const events = await ask(`watch=true&resourceVersion=${metadata.resourceVersion}&timeoutSeconds=120`);
  return async (count) => {
    let seen = 0;
    const late = setTimeout(() => events.destroy(), LONGEST_MS);
    try {
      for await (const chunk of events) {
        seen += String(chunk).split('"type":"ADDED"').length - 1;
        if (seen >= count) return [];
      }
    } catch {
      // said below
    } finally {
      clearTimeout(late);
    }
    return [`${seen} of ${count} Pods after ${LONGEST_MS} ms`];
  };
}
