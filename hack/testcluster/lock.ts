import { createHash } from "node:crypto";
import { unlinkSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

const POLL_MS = 200;

/**
 * Runs `work` while no other process of this machine holds the lock `name`; `onWait` is called once if it has to wait.
 * The lock is a listening local socket, so the kernel releases it when its holder dies, however it dies.
 */
export async function withLock<T>(name: string, work: () => Promise<T>, onWait: () => void = () => {}): Promise<T> {
  let server = await tryListen(name);
  if (server === undefined) onWait();
  while (server === undefined) {
    await delay(POLL_MS);
    server = await tryListen(name);
  }
  try {
    return await work();
  } finally {
    server.close();
  }
}

/** Takes the lock `name` until this process ends, however it ends; false where a process, this one too, has it already. */
export async function keepLock(name: string): Promise<boolean> {
  return (await tryListen(name)) !== undefined;
}

function address(name: string): { path: string; abstract: boolean } {
  const key = `entrepot-lock-${createHash("sha256").update(name).digest("hex").slice(0, 24)}`;
  const abstract = process.platform === "linux"; // a name in the kernel alone: there is no file to be left behind
  return { path: abstract ? `\0${key}` : join(tmpdir(), key), abstract };
}

async function tryListen(name: string): Promise<Server | undefined> {
  const { path, abstract } = address(name);
  const server = createServer((socket) => socket.destroy());
  const error = await new Promise<NodeJS.ErrnoException | undefined>((done) => {
    server.once("error", done).listen(path, () => done(undefined));
  });
  if (error === undefined) return server.unref();
  if (error.code !== "EADDRINUSE") throw error;
  if (!abstract && !(await answers(path))) unlinkSync(path);
  return undefined;
}

function answers(path: string): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(path);
    socket.once("error", () => done(false));
    socket.once("connect", () => {
      socket.destroy();
      done(true);
    });
  });
}
