import { expect } from "chai";
import type { Image } from "../../bench/images.ts";
import { readOptions } from "../../bench/options.ts";
import { BURST, FRESH_WARM_UP, imagesNeeded, ownersIn, Shelf } from "../../bench/shelf.ts";

describe("the bench's options", () => {
  it("are both delays, both concurrencies and enough samples for a 99th percentile, unless told otherwise", () => {
    const options = readOptions([]);
    expect(options.delays).to.deep.equal([0, 50]);
    expect(options.concurrency).to.deep.equal([1, 16]);
    expect(options.samples).to.be.at.least(500);
    expect(options.rounds).to.be.at.least(3);
  });

  it("--quick is less of everything, and what is named goes before it", () => {
    const options = readOptions(["--quick", "--rounds", "2", "--delays", "5", "--scenarios", "cold,restart"]);
    expect(options).to.deep.include({ rounds: 2, delays: [5], scenarios: ["cold", "restart"] });
    expect(options.samples).to.be.below(500);
  });

  it("refuses what it does not understand, and says what there is", () => {
    expect(() => readOptions(["--scenarios", "warm"])).to.throw('--scenarios has no "warm"');
    expect(() => readOptions(["--rounds", "many"])).to.throw("--rounds");
    expect(() => readOptions(["--delays", ""])).to.throw("--delays");
    expect(() => readOptions(["--delay", "5"])).to.throw("--delay");
  });
});

describe("the bench's images", () => {
  const images = (count: number): Image[] =>
    Array.from({ length: count }, (_, index) => ({ tag: `t${index}`, digest: `d${index}` }));

  it("are given to a contestant once each, and running out is an error, not an image that it has seen", () => {
    const shelf = new Shelf(images(3));
    expect([...shelf.take(2), shelf.one()]).to.deep.equal(images(3));
    expect(() => shelf.one()).to.throw("too few");
  });

  it("are enough for every scenario", () => {
    const options = readOptions([]);
    const cold = options.delays.length * options.concurrency.length * (options.fresh + FRESH_WARM_UP);
    const atOnce = 2 * options.delays.length; // burst and deployment
    const warm = 3;
    const forProbe = 1;
    expect(imagesNeeded(options)).to.equal(cold + ownersIn(options) + atOnce + warm + forProbe);
    expect(BURST).to.equal(200);
  });
});
