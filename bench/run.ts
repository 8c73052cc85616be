import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "../core/errors.ts";
import { ClusterHandle } from "../hack/testcluster/handle.ts";
import { findDaemons } from "../hack/testcluster/processes.ts";
import { up } from "../hack/testcluster/up.ts";
import { ApiServer } from "../test/support/api-server.ts";
import { eventually } from "../test/support/kube.ts";
import { ownSettings } from "../test/support/own-clusters.ts";
import type { Bed, Contestant } from "./contestant.ts";
import { CONTESTANTS } from "./contestants.ts";
import { readCredentials } from "./credentials.ts";
import { type Images, makeImages } from "./images.ts";
import { Load } from "./load.ts";
import { thisMachine } from "./machine.ts";
import type { Options } from "./options.ts";
import { plot } from "./plot.ts";
import { pod } from "./pods.ts";
import { promisesText, verdicts } from "./promises.ts";
import { RegistryProxy } from "./proxy.ts";
import type { Results, RoundCell } from "./results.ts";
import { takeTurn } from "./session.ts";
import { imagesNeeded, Shelf } from "./shelf.ts";
import { summarize } from "./summary.ts";
import { table } from "./table.ts";
import { versionsOf } from "./versions.ts";

const IN_FORCE_MS = 60_000;
const say = (line: string) => console.error(line);

/** What does not change from one contestant to the next. */
interface Bench {
  readonly options: Options;
  readonly cluster: ClusterHandle;
  readonly api: ApiServer;
  readonly proxy: RegistryProxy;
  readonly images: Images;
}

/** Measures, prints the table and writes the results; gives what went wrong: a contestant that did not start, say. The others' figures stand. */
export async function run(options: Options): Promise<readonly string[]> {
  const began = new Date();
  const contestants = chosen(options.only);
  const bench = await prepare(options);
  const rounds: RoundCell[] = [];
  const troubles: string[] = [];
  for (let round = 0; round < options.rounds; round++) {
    for (const contestant of rotated(contestants, round)) {
      try {
        rounds.push(...(await turn(bench, contestant, round)));
      } catch (error) {
        troubles.push(`round ${round + 1}, ${contestant.name}: ${messageOf(error)}`);
        say(`  failed: ${messageOf(error)}`);
      }
    }
  }
  const cells = summarize(rounds);
  const results: Results = {
    began: began.toISOString(),
    seconds: Math.round((Date.now() - began.getTime()) / 1000),
    machine: thisMachine(),
    versions: await versionsOf(contestants),
    options: { ...options },
    troubles,
    promises: verdicts(cells),
    cells,
    rounds,
  };
  publish(results, options.out);
  return troubles;
}

function chosen(names: readonly string[]): readonly Contestant[] {
  const unknown = names.filter((wanted) => CONTESTANTS.every(({ name }) => name !== wanted));
  if (unknown.length > 0)
    throw new Error(`--only has no "${unknown}": there are ${CONTESTANTS.map(({ name }) => name).join(", ")}`);
  return CONTESTANTS.filter(({ name }) => names.length === 0 || names.includes(name));
}

function publish(results: Results, folder: string): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "results.json"), `${JSON.stringify(results, null, 2)}\n`);
  writeFileSync(join(folder, "latency.svg"), plot(results.cells));
  console.log(`${table(results)}\n\n${promisesText(results.promises)}\n\nWritten: ${folder}/results.json, latency.svg`);
}

async function prepare(options: Options): Promise<Bench> {
  const settings = await ownSettings("bench");
  const cluster = new ClusterHandle(settings, await up(settings, { node: false }, say));
  const proxy = await RegistryProxy.start(cluster.registry);
  const count = imagesNeeded(options);
  say(`Making ${count} signed images.`);
  const images = await makeImages(cluster.registry, proxy.host, count);
  return { options, cluster, api: await ApiServer.connect(cluster.kubeconfig), proxy, images };
}

/** Another one begins each round, so that none always follows the same. */
function rotated<T>(all: readonly T[], by: number): readonly T[] {
  const at = by % Math.max(1, all.length);
  return [...all.slice(at), ...all.slice(0, at)];
}

async function turn(bench: Bench, contestant: Contestant, round: number): Promise<readonly RoundCell[]> {
  const { options, cluster, api, proxy, images } = bench;
  const began = performance.now();
  say(`Round ${round + 1} of ${options.rounds}: ${contestant.name}`);
  await noWebhooks(api);
  // Of a namespace that was deleted within half a minute the API server reads the live object for every request (NamespaceLifecycle).
  const namespace = `bench-${contestant.name.replace(/[^a-z0-9]+/g, "-")}-${round}`;
  const bed: Bed = { cluster, api, registry: proxy.host, publicKey: images.publicKey, namespace };
  const running = await contestant.start(bed);
  const credentials = await readCredentials(cluster.kubeconfig, cluster.server);
  const load = new Load(credentials, namespace);
  try {
    if (contestant.baseline !== true) await inForce(bed, images);
    say(`  in force after ${((performance.now() - began) / 1000).toFixed(0)} s`);
    const gauges = { bed, running, proxy, apiServer: daemon(cluster, "kube-apiserver") };
    const manager = daemon(cluster, "kube-controller-manager");
    const controllers = {
      pause: () => process.kill(manager, "SIGSTOP"),
      resume: () => process.kill(manager, "SIGCONT"),
    };
    return await takeTurn({
      contestant,
      round,
      options,
      gauges,
      load,
      credentials,
      shelf: new Shelf(images.signed),
      controllers,
    });
  } finally {
    await load.close();
    await running.stop();
    say(`  ${((performance.now() - began) / 1000).toFixed(0)} s`);
  }
}

function daemon({ settings }: ClusterHandle, name: string): number {
  const found = findDaemons(settings.dir).find((one) => one.name === name);
  if (found === undefined) throw new Error(`${name} does not run`);
  return found.pid;
}

/** A contestant that another left something to would be measured with it. */
async function noWebhooks(api: ApiServer): Promise<void> {
  for (const plural of ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"]) {
    const path = `/apis/admissionregistration.k8s.io/v1/${plural}`;
    const { items } = (await api.must({ method: "GET", path })) as { items: { metadata: { name: string } }[] };
    if (items.length > 0) throw new Error(`${plural} that nobody removed: ${items.map((one) => one.metadata.name)}`);
  }
}

/** An unsigned image is refused, by tag and by digest, and a signed one is not: what is measured is a verification. */
async function inForce({ api, namespace }: Bed, { unsigned, signed }: Images): Promise<void> {
  const send = (image: string) =>
    api.send({ method: "POST", path: `/api/v1/namespaces/${namespace}/pods`, body: pod(image), dryRun: true });
  let last = "nothing";
  const holds = async () => {
    const admitted = await send(signed.at(-1)?.digest ?? "");
    const refused = await Promise.all([unsigned.tag, unsigned.digest].map(send));
    last = [admitted, ...refused].map(({ status, message }) => `${status} ${message}`).join("; ");
    return admitted.status < 300 && refused.every(({ status }) => status >= 400 && status < 500);
  };
  await eventually("an unsigned image refused and a signed one admitted", holds, IN_FORCE_MS).catch((error: Error) => {
    throw new Error(`${error.message}; the last answers: ${last}`, { cause: error });
  });
}
