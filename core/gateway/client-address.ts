/** IPv6 networks are given out as /64 at the least: one client has as many addresses as it likes in its own. */
const IPV6_GROUPS = 4;

/** What counts as one client: an IPv4 address, or the /64 of an IPv6 one. `address` as the socket gives it; absent is one client, too. */
export function clientKey(address: string | undefined): string {
  const plain = (address ?? "").replace(/^::ffff:(?=[0-9.]+$)/i, "").replace(/%.*$/, "");
  if (!plain.includes(":")) return plain;
  const [head = "", tail] = plain.split("::", 2);
  const before = head === "" ? [] : head.split(":");
  const after = tail === undefined || tail === "" ? [] : tail.split(":");
  const gap = tail === undefined ? 0 : Math.max(0, 8 - before.length - after.length);
  const groups = [...before, ...Array.from({ length: gap }, () => "0"), ...after];
  const normal = groups.slice(0, IPV6_GROUPS).map((group) => Number.parseInt(group, 16).toString(16));
  return `${normal.join(":")}::/64`;
}
