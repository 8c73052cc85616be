import { lookup } from "node:dns";
import { BlockList, isIP, type LookupFunction } from "node:net";

/** How close an address is: a closer network is more trusting, and so more worth reaching for an attacker. */
export type Nearness = "public" | "private" | "loopback" | "never";

const ORDER: readonly Nearness[] = ["public", "private", "loopback", "never"];

function blockList(...networks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const network of networks) {
    const [address = "", prefix = ""] = network.split("/");
    list.addSubnet(address, Number(prefix), isIP(address) === 6 ? "ipv6" : "ipv4");
  }
  return list;
}

// IANA's special-purpose registries. Link-local carries the clouds' metadata services; the IPv6 prefixes that embed an IPv4
// address (NAT64, 6to4, Teredo) could lead to any of them.
const NEVER = blockList(
  "0.0.0.0/8",
  "169.254.0.0/16",
  "224.0.0.0/4",
  "240.0.0.0/4",
  "::/128",
  "fe80::/10",
  "ff00::/8",
  "fd00:ec2::254/128",
  "64:ff9b::/96",
  "64:ff9b:1::/48",
  "2002::/16",
  "2001::/32",
);
const LOOPBACK = blockList("127.0.0.0/8", "::1/128");
const PRIVATE = blockList(
  "10.0.0.0/8",
  "100.64.0.0/10",
  "172.16.0.0/12",
  "192.168.0.0/16",
  "192.0.0.0/24",
  "198.18.0.0/15",
  "fc00::/7",
  "fec0::/10",
);

/** Classifies an IP address; what is none is `never`. IPv4-mapped IPv6 addresses count as the IPv4 address. */
export function nearnessOf(address: string): Nearness {
  const family = isIP(address);
  if (family === 0) return "never";
  const type = family === 6 ? "ipv6" : "ipv4";
  if (NEVER.check(address, type)) return "never";
  if (LOOPBACK.check(address, type)) return "loopback";
  return PRIVATE.check(address, type) ? "private" : "public";
}

/** Whether an address may be connected to by a request that may reach as near as `reach`. */
export function isWithinReach(address: string, reach: Nearness): boolean {
  const nearness = nearnessOf(address);
  return nearness !== "never" && ORDER.indexOf(nearness) <= ORDER.indexOf(reach);
}

/** The code of the error for a name that resolves to nothing that may be connected to. */
export const OUT_OF_REACH = "ERR_ADDRESS_OUT_OF_REACH";

function outOfReach(hostname: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${hostname} has no address that may be connected to`), { code: OUT_OF_REACH });
}

/** The farthest of some addresses: a host that is public too is public. */
export function farthestOf(addresses: readonly string[]): Nearness {
  return ORDER.find((nearness) => addresses.some((address) => nearnessOf(address) === nearness)) ?? "never";
}

/**
 * Name resolution that gives only addresses within reach. It is used by the connection itself, so that a name cannot resolve to
 * one address for a check and to another for the connection; `onResolved` is told what the name resolved to.
 */
export function lookupWithin(
  reach: Nearness,
  onResolved: (hostname: string, addresses: readonly string[]) => void = () => undefined,
): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return callback(error, "", 0);
      const allowed = addresses.filter(({ address }) => isWithinReach(address, reach));
      const first = allowed[0];
      if (first === undefined) return callback(outOfReach(hostname), "", 0);
      onResolved(
        hostname,
        allowed.map(({ address }) => address),
      );
      return options.all === true ? callback(null, allowed) : callback(null, first.address, first.family);
    });
  };
}

/** The host of a URL without the brackets of IPv6. */
export function literalOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, "");
}

/** Throws for an IP literal out of reach: literals are never resolved, so `lookupWithin` does not see them. */
export function checkLiteral(url: URL, reach: Nearness): void {
  const host = literalOf(url);
  if (isIP(host) !== 0 && !isWithinReach(host, reach)) throw outOfReach(url.hostname);
}
