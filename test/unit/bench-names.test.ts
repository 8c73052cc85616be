import { expect } from "chai";
import { SAMPLE_REGISTRY, sampleImages, sampleRules } from "../../bench/names-sample.ts";
import { buildNames } from "../../core/cachenames/names.ts";
import { canonicalName } from "../../core/image/reference.ts";

describe("the names of images among many rules", () => {
  for (const count of [1, 100, 10_000])
    it(`are the most specific rule's, and lead back: ${count}`, () => {
      const names = buildNames(sampleRules(count), [SAMPLE_REGISTRY]);
      expect(names.size).to.equal(count);
      const images = sampleImages(count);
      expect(images).to.have.length(count === 1 ? 2 : 8);
      for (const { image, cached } of images) {
        const [first] = names.cachedAs(image);
        expect(first?.reference.asWritten).to.equal(cached);
        const origin = first && names.originOf(first.reference);
        expect(origin && canonicalName(origin.reference)).to.equal(canonicalName(image));
      }
    });
});
