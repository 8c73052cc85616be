import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { messageOf } from "../../core/errors.ts";
import { exec, requireRecord } from "./exec.ts";
import { existingCluster } from "./external.ts";
import { ensureCosign } from "./layout.ts";
import { runInside } from "./node-up.ts";
import { buildProduct, installProduct } from "./product.ts";
import { type Settings, settingsFrom } from "./settings.ts";
import { down, up } from "./up.ts";

const USAGE = `Usage: ./hack/cluster COMMAND

  up [--no-node] [--bare]   start the test cluster and install Entrepot from this checkout into it
                            --no-node  the control plane alone    --bare  without Entrepot
  down                      end it and remove everything but its logs
  exec -- CMD...            run a command in its network, KUBECONFIG set, kubectl, cosign and registry on the PATH
  logs [COMPONENT]          print a component's log (registry: the access log too; operator, webhook, gateway, cache:
                            those of the Pods); without one, list those of the cluster
  registry                  print the address, valid inside, of a registry that anyone may push to

Environment: ENTREPOT_CLUSTER (name, default dev), ENTREPOT_CACHE, ENTREPOT_STATE, KUBEBUILDER_ASSETS (ready-made etcd,
kube-apiserver and kubectl), KUBECONFIG with ENTREPOT_REGISTRY (an existing cluster: nothing is started).
`;

const say = (line: string) => process.stderr.write(`${line}\n`);

async function main(argv: readonly string[]): Promise<number> {
  const [command, ...rest] = argv;
  const settings = settingsFrom(process.env);
  switch (command) {
    case "up":
      return upCommand(settings, rest);
    case "down":
      if (settings.kubeconfig !== undefined)
        say(`KUBECONFIG is ${settings.kubeconfig}: nothing of that cluster is touched.`);
      else await down(settings, say);
      return 0;
    case "exec":
      return exec(settings, rest[0] === "--" ? rest.slice(1) : rest, process.env);
    case "logs":
      return logs(settings, rest[0]);
    case "registry":
      process.stdout.write(`${registryAddress(settings)}\n`);
      return 0;
    default:
      (command === undefined || command === "help" || command === "--help" ? process.stdout : process.stderr).write(
        USAGE,
      );
      return command === undefined || command.includes("help") ? 0 : 2;
  }
}

async function upCommand(settings: Settings, args: string[]): Promise<number> {
  const { values } = parseArgs({ args, options: { "no-node": { type: "boolean" }, bare: { type: "boolean" } } });
  if (settings.kubeconfig !== undefined) {
    say(`Using the cluster of KUBECONFIG=${settings.kubeconfig}; nothing is started.`);
    if (values.bare) return 0;
    const existing = await existingCluster(settings, settings.kubeconfig, registryAddress(settings));
    await installProduct(settings, existing, await buildProduct(settings), say);
    return 0;
  }
  const record = await up(settings, { node: values["no-node"] !== true }, say);
  await ensureCosign(settings);
  if (values.bare) return 0;
  const images = await buildProduct(settings);
  if (record.mode === "node") await runInside(settings, ["install", JSON.stringify(images)]);
  else await installProduct(settings, record, images, say);
  return 0;
}

function registryAddress(settings: Settings): string {
  if (settings.kubeconfig === undefined) return requireRecord(settings).registry;
  if (settings.registry !== undefined) return settings.registry;
  throw new Error(
    "KUBECONFIG names an existing cluster: set ENTREPOT_REGISTRY to a registry (host:port) that it can pull from",
  );
}

const PODS = ["operator", "webhook", "gateway", "cache"];

async function logs(settings: Settings, component: string | undefined): Promise<number> {
  if (component !== undefined && PODS.includes(component)) {
    const selector = `app.kubernetes.io/component=${component}`;
    return exec(
      settings,
      ["kubectl", "-n", "cosign-system", "logs", "-l", selector, "--prefix", "--tail=-1"],
      process.env,
    );
  }
  const folder = join(settings.dir, "logs");
  const files = existsSync(folder) ? readdirSync(folder).sort() : [];
  const components = [...new Set(files.map((file) => file.replace(/(\.access)?\.log$/, "")))];
  if (component === undefined) {
    process.stdout.write(`${components.join("\n")}\n`);
    return 0;
  }
  if (!components.includes(component))
    throw new Error(`no log of "${component}"; there are: ${components.join(", ") || "none"}`);
  for (const file of [`${component}.log`, `${component}.access.log`].filter((name) => files.includes(name))) {
    process.stdout.write(readFileSync(join(folder, file)));
  }
  return 0;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  say(`cluster: ${messageOf(error)}`);
  process.exitCode = 1;
}
