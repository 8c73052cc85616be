// The proxy before the registry, in a thread of its own: it must not share an event loop with the client that takes the times.
import { Agent, createServer, request } from "node:http";
import { setTimeout as pause } from "node:timers/promises";
import { parentPort, workerData } from "node:worker_threads";

/** Cells of the shared array, as in proxy.ts: a counter to add to, and the delay to obey. */
const [REQUESTS, DELAY_MS] = [0, 1];

interface Start {
  readonly target: string;
  readonly shared: Int32Array;
}

const { target, shared } = workerData as Start;
const [host, port] = target.split(":");
const agent = new Agent({ keepAlive: true });

const server = createServer((incoming, outgoing) => {
  Atomics.add(shared, REQUESTS, 1);
  const delayMs = Atomics.load(shared, DELAY_MS);
  void (delayMs > 0 ? pause(delayMs) : Promise.resolve()).then(() => {
    const { method, url: path, headers } = incoming;
    const onward = request({ agent, host, port, method, path, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
    });
    onward.on("error", () => outgoing.destroy());
    incoming.pipe(onward);
  });
});
server.keepAliveTimeout = 60_000;
server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  parentPort?.postMessage(typeof address === "object" && address !== null ? address.port : 0);
});
