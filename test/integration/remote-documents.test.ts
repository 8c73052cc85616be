import { createHash } from "node:crypto";
import { expect } from "chai";
import { RemoteDocuments, type RemoteOptions } from "../../adapters/remote/documents.ts";
import { RemoteError, type RemoteErrorCode } from "../../adapters/remote/errors.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { FakeHttps, type Received } from "../support/fake-https.ts";

const CUE = 'predicateType: "https://example.com/x"\n';

function sum(body: string | Buffer): string {
  return createHash("sha256").update(body).digest("hex");
}

/** A clock on which waiting takes no time, and says how long it would have been. */
class ImpatientClock extends FakeClock {
  readonly waits: number[] = [];

  override async sleep(ms: number): Promise<void> {
    this.waits.push(ms);
  }
}

describe("A policy document behind a URL", () => {
  const server = new FakeHttps();
  const other = new FakeHttps(server.identity);
  const { signal } = new AbortController();
  let clock: ImpatientClock;
  let remote: RemoteDocuments;

  function reader(options: Partial<RemoteOptions> = {}): RemoteDocuments {
    clock = new ImpatientClock();
    return new RemoteDocuments({ clock, ca: server.ca, reach: "loopback", random: () => 0, ...options });
  }

  async function refused(code: RemoteErrorCode, url: string, sha256sum = sum(CUE), by = remote): Promise<string> {
    const thrown = await by.fetch({ url, sha256sum }, signal).catch((error: unknown) => error);
    if (thrown instanceof RemoteError && thrown.code === code) return thrown.message;
    throw new Error(`expected ${code}, got ${String(thrown)}`, { cause: thrown });
  }

  const url = (path = "/a.cue", host = server.host) => `https://${host}${path}`;

  before(async () => await Promise.all([server.start(), other.start()]));
  after(async () => await Promise.all([server.stop(), other.stop()]));
  beforeEach(() => {
    server.received.length = 0;
    other.received.length = 0;
    server.answer = () => ({ body: CUE });
    remote = reader();
  });
  afterEach(async () => await remote.close());

  it("is its text, byte for byte", async () => {
    expect(await remote.fetch({ url: url("/a.cue?raw=1"), sha256sum: sum(CUE) }, signal)).to.equal(CUE);
    expect(server.received.map(({ path }) => path)).to.deep.equal(["/a.cue?raw=1"]);
    const marked = "\uFEFFx: 1\n";
    server.answer = () => ({ body: marked });
    expect(await remote.fetch({ url: url(), sha256sum: sum(marked) }, signal)).to.equal(marked);
  });

  it("must have its sum, in lower-case digits", async () => {
    const message = await refused("REMOTE_MISMATCH", url(), "0".repeat(64));
    expect(message).to.contain(sum(CUE)).and.contain("0".repeat(64));
    await refused("REMOTE_MISMATCH", url(), sum(CUE).toUpperCase());
    expect(server.received, "a wrong sum is not asked for again").to.have.length(2);
  });

  for (const bad of ["http://localhost/a", "ftp://x/a", "file:///etc/passwd", "https://", "nonsense", ""]) {
    it(`is not fetched from ${JSON.stringify(bad)}`, async () => {
      await refused("REMOTE_URL_INVALID", bad);
    });
  }

  it("is not fetched from loopback or link-local addresses, which are the operator's own", async () => {
    const strict = reader();
    const usual = new RemoteDocuments({ clock, ca: server.ca });
    await refused("REMOTE_REFUSED", url(), sum(CUE), usual);
    await refused("REMOTE_REFUSED", "https://127.0.0.1:1/", sum(CUE), usual);
    await refused("REMOTE_REFUSED", "https://169.254.169.254/latest", sum(CUE), strict);
    await Promise.all([usual.close(), strict.close()]);
    expect(server.received).to.deep.equal([]);
  });

  it("is fetched where https redirects lead, and nowhere else", async () => {
    const redirect = (location: string) => (request: Received) =>
      request.path === "/a.cue" ? { status: 302, headers: { location } } : { body: CUE };
    other.answer = () => ({ body: CUE });
    for (const location of ["/b.cue", url("/b.cue", other.host)]) {
      server.answer = redirect(location);
      expect(await remote.fetch({ url: url(), sha256sum: sum(CUE) }, signal)).to.equal(CUE);
    }
    for (const location of [`http://${server.host}/b.cue`, "file:///etc/passwd", "", "https://"]) {
      server.answer = redirect(location);
      if (location !== "") expect(await refused("REMOTE_REFUSED", url())).to.contain("redirects");
    }
    server.answer = () => ({ status: 302, headers: { location: "/a.cue" } });
    expect(await refused("REMOTE_REFUSED", url())).to.contain("more than 5 times");
  });

  it("sends a URL's user to its own host alone, and names it in no message", async () => {
    const named = url().replace("https://", "https://user:s3cret@");
    server.answer = () => ({ status: 302, headers: { location: url("/b.cue", other.host) } });
    other.answer = () => ({ status: 404 });
    const message = await refused("REMOTE_REFUSED", named);
    expect(message).to.contain("404").and.not.contain("s3cret");
    const basic = `Basic ${Buffer.from("user:s3cret").toString("base64")}`;
    expect(server.received[0]?.headers.authorization).to.equal(basic);
    expect(other.received[0]?.headers.authorization).to.equal(undefined);
  });

  it("is asked for again when that may help, a few times, with longer and longer pauses", async () => {
    let failures = 2;
    server.answer = () => (failures-- > 0 ? { status: 503 } : { body: CUE });
    expect(await remote.fetch({ url: url(), sha256sum: sum(CUE) }, signal)).to.equal(CUE);
    expect(clock.waits).to.deep.equal([300, 900]);
    server.answer = () => ({ status: 503 });
    server.received.length = 0;
    expect(await refused("REMOTE_FAILED", url())).to.contain("503");
    expect(server.received).to.have.length(3);
  });

  it("is not asked for again when that can't help", async () => {
    server.answer = () => ({ status: 404 });
    await refused("REMOTE_REFUSED", url());
    expect(server.received).to.have.length(1);
    expect(clock.waits).to.deep.equal([]);
  });

  it("is bounded, whether its length is announced or not", async () => {
    const small = reader({ limit: 100 });
    const long = "x".repeat(101);
    server.answer = () => ({ body: long });
    await refused("REMOTE_TOO_LARGE", url(), sum(long), small);
    server.answer = () => ({ body: long, headers: { "transfer-encoding": "chunked" } });
    await refused("REMOTE_TOO_LARGE", url(), sum(long), small);
    const most = "x".repeat(100);
    server.answer = () => ({ body: most });
    expect(await small.fetch({ url: url(), sha256sum: sum(most) }, signal)).to.equal(most);
    await small.close();
  });

  it("must come in time, and is given up with whoever asked", async () => {
    server.answer = () => ({ hang: true });
    const quick = reader({ attemptMs: 100, attempts: 2 });
    expect(await refused("REMOTE_TIMEOUT", url(), sum(CUE), quick)).to.contain("0.1 s");
    const stop = new AbortController();
    const asked = quick.fetch({ url: url(), sha256sum: sum(CUE) }, stop.signal).catch((thrown: unknown) => thrown);
    stop.abort(new Error("gone"));
    expect(await asked).to.equal(stop.signal.reason);
    await quick.close();
  });

  it("must be UTF-8", async () => {
    const bytes = Buffer.from([0x78, 0xff]);
    server.answer = () => ({ body: bytes });
    await refused("REMOTE_NOT_TEXT", url(), sum(bytes));
  });

  it("comes from a server with a certificate that is believed", async () => {
    const strict = new RemoteDocuments({ clock, reach: "loopback", attempts: 1 });
    expect(await refused("REMOTE_UNREACHABLE", url(), sum(CUE), strict)).to.match(/SELF_SIGNED|UNABLE_TO_VERIFY/);
    await strict.close();
    expect(await refused("REMOTE_UNREACHABLE", "https://localhost:1/")).to.contain("ECONNREFUSED");
  });
});
