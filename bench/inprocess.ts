// Times admission inside one webhook process: what an admission costs in CPU, apart from the API server and the network.
import { APP, Outside, owned, type Replica, replica, workload } from "../test/support/scripted-admission.ts";

const ROUNDS = 5;
const ADMISSIONS = 400;

interface Scenario {
  readonly name: string;
  /** Makes the replica and gives what is timed. */
  prepare(): Promise<(index: number) => Promise<unknown>>;
}

async function rolledOut(by: Replica, outside: Outside): Promise<void> {
  const { object: deployment } = await by.send("CREATE", workload("Deployment", "app", APP));
  const copied = { annotations: { ...deployment.metadata.annotations }, ...owned("app", "Deployment") };
  const { object: replicaSet } = await by.send("CREATE", workload("ReplicaSet", "app-1", APP, copied));
  outside.owners.set("app", deployment).set("app-1", replicaSet);
}

const pod = (index: number) => workload("Pod", `p${index}`, APP, owned("app-1", "ReplicaSet"));

const SCENARIOS: readonly Scenario[] = [
  {
    name: "static policy",
    async prepare() {
      const by = await replica(new Outside(), { spec: { authorities: [{ static: { action: "pass" } }] } });
      return (index) => by.send("CREATE", pod(index));
    },
  },
  {
    name: "hit: memory",
    async prepare() {
      const outside = new Outside();
      const by = await replica(outside);
      await rolledOut(by, outside);
      return (index) => by.send("CREATE", pod(index));
    },
  },
  {
    name: "hit: owner's annotation, right after a restart",
    async prepare() {
      const outside = new Outside();
      await rolledOut(await replica(outside), outside);
      const fresh = await Promise.all(Array.from({ length: ADMISSIONS }, () => replica(outside)));
      return async (index) => await fresh[index]?.send("CREATE", pod(index));
    },
  },
  {
    name: "cold (a registry that answers at once)",
    async prepare() {
      const fresh = await Promise.all(Array.from({ length: ADMISSIONS }, () => replica(new Outside())));
      return async (index) => await fresh[index]?.send("CREATE", workload("Pod", `p${index}`, APP));
    },
  },
];

async function microseconds(scenario: Scenario): Promise<number> {
  const run = await scenario.prepare();
  const before = process.cpuUsage();
  for (let index = 0; index < ADMISSIONS; index++) await run(index);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / ADMISSIONS;
}

const times = new Map<string, number[]>(SCENARIOS.map(({ name }) => [name, []]));
for (let round = 0; round < ROUNDS; round++) {
  for (const scenario of SCENARIOS) times.get(scenario.name)?.push(await microseconds(scenario));
}
const median = (values: readonly number[]) =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
const base = median(times.get("static policy") ?? []);
console.log(
  `CPU per admission (mutate and validate, the test's own JSON Patch included), median of ${ROUNDS} interleaved rounds of ${ADMISSIONS}:`,
);
for (const [name, values] of times) {
  console.log(
    `  ${(median(values) / base).toFixed(2).padStart(6)} ×  ${median(values).toFixed(0).padStart(6)} µs  ${name}`,
  );
}
