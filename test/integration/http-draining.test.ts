import { once } from "node:events";
import { Agent } from "node:http";
import { connect } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { expect } from "chai";
import type { RunningServer } from "../../adapters/http/server.ts";
import { ask, closeAll, echo, serve } from "./http-harness.ts";

describe("The HTTP server", () => {
  afterEach(closeAll);

  describe("draining", () => {
    // Two servers behind one address, as a Service has: new connections go to `target`; kept ones stay where they are. As Go's
    // client does, these clients keep connections, and never send a POST a second time.
    async function underLoad(
      end: (server: RunningServer) => Promise<void>,
    ): Promise<{ failures: string[]; secondServed: number }> {
      let secondServed = 0;
      const slowly = async (response: { end(): void }): Promise<void> => {
        await delay(Math.random() * 10);
        response.end();
      };
      const first = await serve((_request, response) => slowly(response));
      const second = await serve((_request, response) => {
        secondServed += 1;
        return slowly(response);
      });
      let target = first.port;
      const failures: string[] = [];
      let ended = 0;
      let running = true;
      const worker = async (): Promise<void> => {
        const agent = new Agent({ keepAlive: true, maxSockets: 1 });
        agent.createConnection = (_options, callback) => {
          const socket = connect(target, "127.0.0.1");
          callback?.(null, socket);
          return socket;
        };
        while (running) {
          await ask({ port: 1, method: "POST", body: "x", agent }).catch((error: unknown) =>
            failures.push(String(error)),
          );
          ended += 1;
          await delay(Math.random() * 5);
        }
        agent.destroy();
      };
      const workers = Array.from({ length: 16 }, worker);
      await endedMore(200);
      const closed = end(first);
      await endedMore(100); // meanwhile the Service still leads here: its proxies hear of the end later
      target = second.port;
      await closed;
      await endedMore(100);
      running = false;
      await Promise.all(workers);
      return { failures, secondServed };

      async function endedMore(count: number): Promise<void> {
        const goal = ended + count;
        while (ended < goal) await delay(5);
      }
    }

    it("loses no request of clients that keep connections and never repeat", async () => {
      for (let round = 0; round < 3; round += 1) {
        const { failures, secondServed } = await underLoad((server) => server.drain(4_000));
        expect(failures).to.eql([]);
        expect(secondServed).to.be.greaterThan(100);
      }
    }).timeout(60_000);

    it("is what saves them: closing at once loses some", async () => {
      const { failures } = await underLoad((server) => server.drain(0));
      expect(failures).not.to.eql([]);
    });

    it("tells every client to close, also those whose request was already running", async () => {
      const { promise: drains, resolve: drain } = Promise.withResolvers<void>();
      let arrived = Promise.withResolvers<void>();
      const server = await serve(async ({ url }, response) => {
        arrived.resolve();
        if (url === "/slow") await drains;
        response.end();
      });
      const agent = new Agent({ keepAlive: true });
      const before = await ask({ port: server.port, agent });
      expect(before.headers.connection).to.equal("keep-alive");
      arrived = Promise.withResolvers();
      const running = ask({ port: server.port, path: "/slow", agent });
      await arrived.promise;
      const drained = server.drain(2_000);
      drain();
      expect((await running).headers.connection).to.equal("close");
      expect((await ask({ port: server.port, agent })).headers.connection).to.equal("close");
      await drained;
      expect(await ask({ port: server.port, agent }).catch((error: unknown) => error)).to.have.property(
        "code",
        "ECONNREFUSED",
      );
    });

    it("waits for a request that runs longer than the drain, but not for ever", async () => {
      let arrived = Promise.withResolvers<void>();
      const server = await serve(async (_request, response) => {
        arrived.resolve();
        await delay(300);
        response.end("whole");
      });
      const slow = ask({ port: server.port });
      await arrived.promise;
      await server.drain(10);
      expect((await slow).body).to.equal("whole");

      arrived = Promise.withResolvers();
      const stuck = await serve(() => {
        arrived.resolve();
        return new Promise(() => undefined);
      });
      const never = ask({ port: stuck.port }).catch((error: unknown) => error);
      await arrived.promise;
      await stuck.drain(10, 100);
      expect(await never).to.have.property("code", "ECONNRESET");
    });

    it("is not held up by connections that never say anything", async () => {
      const server = await serve(echo);
      const mute = connect(server.port, "127.0.0.1");
      await once(mute, "connect");
      await delay(20);
      const begin = performance.now();
      await server.drain(10, 5000);
      expect(performance.now() - begin).to.be.lessThan(4_000);
      mute.destroy();
    });
  });
});
