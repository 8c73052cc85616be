#!/usr/bin/env node
import { systemClock } from "../adapters/clock.ts";
import { messageOf } from "../core/errors.ts";
import { type Command, parseCommand, USAGE } from "./cache-arguments.ts";
import { flushCache, flushText } from "./cache-flush.ts";
import { showCache } from "./cache-show.ts";
import { render } from "./cache-text.ts";
import { readText, verifyCache } from "./cache-verify.ts";
import { type UserCluster, userCluster } from "./cluster.ts";
import { readCliConfig } from "./config.ts";
import { answerRender } from "./render.ts";
import { answerRules } from "./rules.ts";

type ClusterCommand = Extract<Command, { readonly kind: "show" | "flush" }>;

async function inCluster(
  command: ClusterCommand,
  { client, namespace, systemNamespace }: UserCluster,
): Promise<string> {
  const now = systemClock.now();
  if (command.kind === "flush") return flushText(await flushCache(client, systemNamespace, now), systemNamespace);
  const { workload, name, output } = command;
  const at = { workload, name, namespace: command.namespace ?? namespace, systemNamespace, now };
  return render([await showCache(client, at)], output);
}

/** Runs one command and gives the exit status. */
async function run(command: Command): Promise<number> {
  switch (command.kind) {
    case "help":
      console.log(USAGE);
      return 0;
    case "verify": {
      const jwks = await readText(command.jwks, process.stdin);
      const { holds, reports } = await verifyCache(
        await readText(command.file, process.stdin),
        jwks,
        systemClock.now(),
      );
      console.log(render(reports, command.output));
      return holds ? 0 : 1;
    }
    case "rules": {
      const { client } = await userCluster(command.cluster, readCliConfig());
      try {
        const { text, holds } = await answerRules(client, command, {
          now: systemClock.now(),
          width: process.stdout.isTTY ? process.stdout.columns : undefined,
        });
        console.log(text);
        return holds ? 0 : 1;
      } finally {
        await client.close();
      }
    }
    case "render": {
      const { client, systemNamespace } = await userCluster(command.cluster, readCliConfig());
      try {
        const read = (file: string) => readText(file, process.stdin);
        const { text, holds } = await answerRender(client, command, { systemNamespace, read });
        console.log(text);
        return holds ? 0 : 1;
      } finally {
        await client.close();
      }
    }
    case "show":
    case "flush": {
      const cluster = await userCluster(command.cluster, readCliConfig());
      try {
        console.log(await inCluster(command, cluster));
        return 0;
      } finally {
        await cluster.client.close();
      }
    }
  }
}

async function main(args: readonly string[]): Promise<number> {
  let command: Command;
  try {
    command = parseCommand(args);
  } catch (thrown) {
    console.error(`error: ${messageOf(thrown)}\n\n${USAGE}`);
    return 2;
  }
  try {
    return await run(command);
  } catch (thrown) {
    console.error(`error: ${messageOf(thrown)}`);
    return 1;
  }
}

process.exitCode = await main(process.argv.slice(2));
