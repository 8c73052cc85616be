import { expect } from "chai";
import { FakeEcr } from "./fake.ts";
import { ACCOUNT, EcrHarness, HUB_SECRET, KEYS, REGION } from "./harness.ts";
import { ecrModel } from "./model.ts";

/** The fake and the product of the test that runs. */
export interface EcrSuite {
  readonly fake: FakeEcr;
  readonly harness: EcrHarness;
}

/**
 * Hooks of a `describe`: a fresh registry and product for each test, skipped without the contract. A test fails for whatever was not as
 * the contract has it.
 */
export function withFakeEcr(): EcrSuite {
  let fake: FakeEcr | undefined;
  let harness: EcrHarness | undefined;
  const needed = <T>(value: T | undefined): T => {
    if (value === undefined) throw new Error("the hooks did not run");
    return value;
  };

  before(async function () {
    const model = await ecrModel();
    if (model === undefined) {
      console.log("      skipped: botocore's wheel, which has ECR's service model, can't be had");
      return this.skip();
    }
    fake = new FakeEcr(model, ACCOUNT, REGION, KEYS);
    await fake.start();
  });
  beforeEach(() => {
    needed(fake).reset();
    needed(fake).state.secrets.add(HUB_SECRET);
    needed(fake).keys = KEYS;
    harness = new EcrHarness();
  });
  afterEach(() => {
    if (fake !== undefined) expect(fake.deviations.splice(0), "deviations from ECR's service model").to.deep.equal([]);
  });
  after(async () => await fake?.stop());

  return {
    get fake() {
      return needed(fake);
    },
    get harness() {
      return needed(harness);
    },
  };
}
