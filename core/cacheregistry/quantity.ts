const SHAPE = /^([0-9]+)(?:\.([0-9]{1,9}))?(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$/;
const NANO = 1_000_000_000n;
const DECIMAL: Readonly<Record<string, bigint>> = {
  n: 1n,
  u: 1_000n,
  m: 1_000_000n,
  k: NANO * 10n ** 3n,
  M: NANO * 10n ** 6n,
  G: NANO * 10n ** 9n,
  T: NANO * 10n ** 12n,
  P: NANO * 10n ** 15n,
  E: NANO * 10n ** 18n,
};
const BINARY: Readonly<Record<string, bigint>> = { Ki: 10n, Mi: 20n, Gi: 30n, Ti: 40n, Pi: 50n, Ei: 60n };

function unit(suffix: string): bigint {
  const power = BINARY[suffix];
  return power === undefined ? (DECIMAL[suffix] ?? NANO) : NANO << power;
}

/** A Kubernetes quantity (`resource.Quantity`) in billionths, or undefined for what is none. Exponents (`1e3`) are not read. */
export function quantity(text: string): bigint | undefined {
  const match = SHAPE.exec(text);
  if (match === null) return undefined;
  const [, whole = "0", fraction = "", suffix = ""] = match;
  return (BigInt(whole + fraction) * unit(suffix)) / 10n ** BigInt(fraction.length);
}
