import { expect } from "chai";
import { digestOf, type GatewayProcess } from "../integration/gateway-harness.ts";

/** One sentence of the distribution specification, the request that it is about, and what must come back. */
export interface Row {
  readonly spec: string;
  readonly method?: string;
  readonly path: () => string;
  readonly headers?: Record<string, string>;
  /** Headers that are known only when the content is. */
  readonly headersLater?: () => Record<string, string>;
  readonly status?: number;
  /** `Content-Type`, without parameters ("The registry SHOULD NOT include parameters"). */
  readonly type?: string;
  /** `Docker-Content-Digest`; of a whole body it is also computed. */
  readonly digest?: () => string;
  readonly range?: string;
  readonly body?: () => Buffer;
  /** The code of the error, in the specification's format. */
  readonly error?: string;
  /** A HEAD whose headers must be those of the GET, `Content-Length` included. */
  readonly sameAsGet?: boolean;
}

type Answer = Awaited<ReturnType<GatewayProcess["get"]>>;

const CODES = [
  ...["BLOB_UNKNOWN", "BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN", "DIGEST_INVALID", "MANIFEST_BLOB_UNKNOWN"],
  ...["MANIFEST_INVALID", "MANIFEST_UNKNOWN", "NAME_INVALID", "NAME_UNKNOWN", "SIZE_INVALID", "UNAUTHORIZED"],
  ...["DENIED", "UNSUPPORTED", "TOOMANYREQUESTS"],
];

/** The code of an error answer; fails unless the body has the specification's format ("Error Codes"). */
export function ociErrorOf(answer: Answer): string {
  const { errors, ...rest } = JSON.parse(answer.body.toString()) as { errors: { code: string; message: string }[] };
  expect(rest).to.deep.equal({});
  expect(answer.headers.get("content-type")).to.equal("application/json");
  const [error] = errors;
  expect(CODES).to.include(error?.code);
  expect(error?.message).to.be.a("string").and.not.equal("");
  return error?.code ?? "";
}

async function judge(row: Row, gateway: GatewayProcess): Promise<void> {
  const { method = "GET" } = row;
  const headers = { ...row.headers, ...row.headersLater?.() };
  const answer = await gateway.get(row.path(), { method, headers });
  expect(answer.status, answer.body.toString("latin1").slice(0, 300)).to.equal(row.status);
  if (method === "HEAD") expect(answer.body).to.have.length(0);
  else if (answer.status !== 304)
    expect(Number(answer.headers.get("content-length") ?? Number.NaN)).to.equal(answer.body.length);
  if (row.type !== undefined) expect(answer.headers.get("content-type")).to.equal(row.type);
  if (row.digest !== undefined) expect(answer.headers.get("docker-content-digest")).to.equal(row.digest());
  if (row.digest !== undefined && method === "GET") expect(digestOf(answer.body)).to.equal(row.digest());
  if (row.range !== undefined) expect(answer.headers.get("content-range")).to.equal(row.range);
  if (row.body !== undefined) expect(answer.body.equals(row.body())).to.equal(true);
  if (row.error !== undefined && method !== "HEAD") expect(ociErrorOf(answer)).to.equal(row.error);
  if (row.sameAsGet !== true) return;
  const { range: _ignored, ...plain } = headers;
  const get = await gateway.get(row.path(), { headers: plain });
  for (const name of ["content-length", "content-type", "docker-content-digest"])
    expect(answer.headers.get(name), name).to.be.a("string").and.equal(get.headers.get(name));
}

/** One test a row. */
export function serveRows(section: string, rows: readonly Row[], gateway: () => GatewayProcess): void {
  describe(section, () => {
    for (const row of rows) {
      const asked = [
        row.method ?? "GET",
        ...Object.entries(row.headers ?? {}).map(([name, value]) => `${name}: ${value}`),
      ];
      it(`${row.spec} (${asked.join(", ").slice(0, 100)})`, () => judge(row, gateway()));
    }
  });
}
