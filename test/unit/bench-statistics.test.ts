import { expect } from "chai";
import fc from "fast-check";
import { countRequests } from "../../bench/kube-requests.ts";
import { median, percentile } from "../../bench/statistics.ts";
import { cpuTicks } from "../../bench/usage.ts";

describe("the bench's percentiles", () => {
  const hundred = Array.from({ length: 100 }, (_, index) => 100 - index);

  it("are values that were measured: the smallest that so many are not above", () => {
    expect([50, 90, 99, 100].map((percent) => percentile(hundred, percent))).to.deep.equal([50, 90, 99, 100]);
    expect(percentile([3, 1, 2], 50)).to.equal(2);
    expect(percentile([7], 99)).to.equal(7);
    expect(percentile([...hundred, 1000], 99)).to.equal(100);
  });

  it("compare numbers as numbers", () => {
    expect(percentile([9, 10, 100], 100)).to.equal(100);
  });

  it("are not a number when nothing was measured", () => {
    expect(percentile([], 50)).to.be.NaN;
    expect(median([])).to.be.NaN;
  });

  it("leave the values as they were", () => {
    const values = [3, 1, 2];
    percentile(values, 50);
    median(values);
    expect(values).to.deep.equal([3, 1, 2]);
  });

  it("never fall as the percentage grows", () => {
    const values = fc.array(fc.double({ noNaN: true, min: 0, max: 1e6 }), { minLength: 1 });
    const percents = fc.tuple(fc.integer({ min: 1, max: 100 }), fc.integer({ min: 1, max: 100 }));
    fc.assert(
      fc.property(values, percents, (all, [a, b]) => {
        expect(percentile(all, Math.min(a, b))).to.be.at.most(percentile(all, Math.max(a, b)));
      }),
    );
  });

  it("median: the middle one, or the mean of both", () => {
    expect(median([5, 1, 3])).to.equal(3);
    expect(median([4, 1, 3, 2])).to.equal(2.5);
  });
});

describe("the bench's count of requests to the API server", () => {
  const line = (labels: string, value: number) => `apiserver_request_total{${labels}} ${value}`;

  it("leaves out Pods on trial, leases, watches and requests for no resource", () => {
    const page = [
      "# HELP apiserver_request_total Counter of apiserver requests",
      line('code="201",dry_run="All",resource="pods",verb="POST"', 1000),
      line('code="201",dry_run="",resource="pods",verb="POST"', 20),
      line('code="200",dry_run="",resource="leases",verb="PUT"', 7),
      line('code="200",dry_run="",resource="secrets",verb="WATCH"', 5),
      line('code="200",dry_run="",resource="secrets",verb="GET"', 3),
      line('code="200",dry_run="",resource="",verb="GET"', 11),
      "apiserver_request_duration_seconds_count 9999",
    ].join("\n");
    expect(countRequests(page)).to.equal(23);
  });
});

describe("the bench's CPU time", () => {
  it("is read after the command, whatever the command is called", () => {
    const stat = "42 (a) R 1 (b)) S 1 42 42 0 -1 4194560 1 2 3 4 150 25 7 8 20 0 11 0 12345";
    expect(cpuTicks(stat)).to.equal(175);
  });
});
