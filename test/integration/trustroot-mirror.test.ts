import type { ServerResponse } from "node:http";
import { expect } from "chai";
import { TrustRootResolver } from "../../adapters/trust/resolve.ts";
import { trustedRootJson, urisOf } from "../support/trusted-root.ts";
import { TufMirror, TufRepositoryMaker } from "../support/tuf-repository.ts";

const UID = "5f0e7a0c-0000-4000-8000-000000000002";
/** A busy machine is not to be taken for a mirror that means no good. */
const PATIENT: MirrorLimits = { fileMs: 60_000, refreshMs: 120_000 };
const LATE_MS = 30_000;

interface MirrorLimits {
  readonly fileMs: number;
  readonly refreshMs: number;
}

type Hostile = (path: string, response: ServerResponse) => boolean;

/** One file in the place of a mirror's: the others are as they should be. */
function instead(file: string, act: (response: ServerResponse) => void): Hostile {
  return (path, response) => {
    if (path !== file) return false;
    act(response);
    return true;
  };
}

describe("A mirror of a TUF repository that means no good", () => {
  const mirrors: TufMirror[] = [];
  let repository: TufRepositoryMaker;

  beforeEach(() => {
    repository = new TufRepositoryMaker();
    repository.targets.set("trusted_root.json", { content: trustedRootJson("https://good.example") });
    repository.publish();
  });

  afterEach(async () => {
    await Promise.all(mirrors.splice(0).map((mirror) => mirror.stop()));
  });

  async function serve(hostile?: Hostile): Promise<TufMirror> {
    const mirror = new TufMirror(repository.files);
    mirror.answer = hostile && ((path, _request, response) => hostile(path, response));
    mirrors.push(mirror);
    await mirror.start();
    return mirror;
  }

  const urlOf = (mirror: TufMirror) => `http://127.0.0.1:${mirror.port}`;

  async function resolve(url: string, limits = PATIENT, signal = new AbortController().signal): Promise<string> {
    const resolver = new TrustRootResolver(limits);
    return await resolver.resolve(UID, { remote: { mirror: url, root: repository.root() } }, signal);
  }

  /** The message, and after how many milliseconds it came. */
  async function refused(url: string, limits = PATIENT): Promise<{ message: string; ms: number }> {
    const start = performance.now();
    return await resolve(url, limits).then(
      (value) => expect.fail(`it was taken: ${value}`),
      (thrown: unknown) => ({ message: (thrown as Error).message, ms: performance.now() - start }),
    );
  }

  it("is taken when it means well", async () => {
    expect(urisOf(await resolve(urlOf(await serve())))).to.eql(["https://good.example"]);
    expect(urisOf(await resolve(`${urlOf(await serve())}/`))).to.eql(["https://good.example"]);
  });

  for (const file of ["timestamp.json", "2.root.json", "1.targets.json"]) {
    it(`is left when ${file} never ends`, async () => {
      let sent = 0;
      const mirror = await serve(
        instead(file, (response) => {
          const chunk = Buffer.alloc(64 * 1024, 0x20);
          const more = (): void => {
            if (response.destroyed) return;
            sent += chunk.length;
            if (response.write(chunk)) setImmediate(more);
            else response.once("drain", more);
          };
          more();
        }),
      );
      const { message } = await refused(urlOf(mirror));
      expect(message).to.match(
        new RegExp(`${file.replaceAll(".", "\\.")} is longer than the \\d+ bytes that it may have`),
      );
      expect(sent).to.be.below(16 * 1024 * 1024);
    });

    it(`is left when ${file} trickles`, async () => {
      const timers: NodeJS.Timeout[] = [];
      const mirror = await serve(
        instead(file, (response) => {
          response.writeHead(200);
          timers.push(setInterval(() => response.write(" "), 20));
        }),
      );
      const { message, ms } = await refused(urlOf(mirror), { ...PATIENT, fileMs: 3_000 });
      for (const timer of timers) clearInterval(timer);
      expect(message).to.contain(`${file}: it did not come within 3 s`);
      expect(ms).to.be.within(2_950, LATE_MS);
    });
  }

  it("is left when every file comes just in time and there is no end of roots", async () => {
    let version = 1;
    const mirror = await serve((path, response) => {
      if (!path.endsWith(".root.json")) return false;
      repository.rotateRoot();
      version += 1;
      setTimeout(() => response.end(repository.files.get(path)), 500);
      return true;
    });
    const { message, ms } = await refused(urlOf(mirror), { ...PATIENT, refreshMs: 8_000 });
    expect(message).to.contain(".root.json");
    expect(ms).to.be.within(7_900, LATE_MS);
    expect(version).to.be.above(3);
  });

  it("is left when a refresh is given up", async () => {
    const mirror = await serve(instead("timestamp.json", () => undefined));
    const controller = new AbortController();
    const promise = resolve(urlOf(mirror), PATIENT, controller.signal);
    setTimeout(() => controller.abort(new Error("the process is ending")), 20);
    const message = await promise.catch((thrown: unknown) => (thrown as Error).message);
    expect(message).to.contain("the process is ending");
  });

  it("says what it answers, and nothing of its body", async () => {
    const mirror = await serve(
      instead("timestamp.json", (response) => {
        response.writeHead(503);
        response.end("secret words");
      }),
    );
    const { message } = await refused(urlOf(mirror));
    expect(message).to.match(
      /^failed to update TUF client: http:\/\/127\.0\.0\.1:\d+\/timestamp\.json: HTTP status 503$/,
    );
    const noJson = await serve(instead("timestamp.json", (response) => response.end("secret words")));
    expect((await refused(urlOf(noJson))).message).to.equal("failed to update TUF client: timestamp.json is no JSON");
  });

  it("is taken when it says 403 of the root after the last, as stores do, but not of anything else", async () => {
    const forbid = (file: string) =>
      instead(file, (response) => {
        response.writeHead(403);
        response.end();
      });
    expect(urisOf(await resolve(urlOf(await serve(forbid("2.root.json")))))).to.eql(["https://good.example"]);
    expect((await refused(urlOf(await serve(forbid("timestamp.json"))))).message).to.contain("HTTP status 403");
  });

  it("may redirect on its own host, but not without end, to another scheme, or into the network", async () => {
    const honest = await serve();
    const to = async (location: string) =>
      await serve((path, response) => {
        response.writeHead(302, { location: location.replace("*", path) });
        response.end();
        return true;
      });
    expect(urisOf(await resolve(urlOf(await to(`${urlOf(honest)}/*`))))).to.eql(["https://good.example"]);
    const expected: Readonly<Record<string, string>> = {
      "/again": "redirects more than 3 times",
      "file:///etc/hostname": "redirects to a file: URL",
      [`http://localhost:${honest.port}/*`]: "no address that may be connected to",
      [`http://[::1]:${honest.port}/*`]: "no address that may be connected to",
      "http://169.254.169.254/latest/meta-data": "no address that may be connected to",
    };
    for (const [location, why] of Object.entries(expected))
      expect((await refused(urlOf(await to(location)))).message).to.contain(why);
  });

  it("is no file, and no data", async () => {
    for (const url of ["file:///etc", "data:text/plain,x", "tuf.example"])
      expect((await refused(url)).message).to.contain("is no http or https URL");
    expect((await refused("http://169.254.169.254")).message).to.contain("no address that may be connected to");
  });

  it("is said to be away when it is", async () => {
    const mirror = await serve();
    const url = urlOf(mirror);
    await mirror.stop();
    expect((await refused(url)).message).to.match(/^failed to update TUF client: http:.*2\.root\.json: .*ECONNREFUSED/);
  });
});
